"""`python -m modelcenter.cli`: the command where its script is not on the path."""

from modelcenter.cli import main

main()
