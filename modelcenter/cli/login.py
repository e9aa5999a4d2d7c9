"""`modelcenter login`: a token checked against its hub and kept."""

from __future__ import annotations

import sys

import click

from modelcenter.cli.options import endpoint_option
from modelcenter.cli.output import say


@click.command("login")
@endpoint_option
@click.option(
    "--token", help="The token. Better asked for or piped: arguments are seen by all on the machine."
)
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin.")
def command(endpoint: str | None, token: str | None, token_stdin: bool) -> None:
    """Log in to a hub with an access token and make it the default hub.

    The token is asked for, checked with the hub, and kept in a file that only you can read.
    """
    from modelcenter.client import Hub, logins

    if token and token_stdin:
        raise click.UsageError("Give the token by --token or by --token-stdin, not by both.")
    place = logins.endpoint(endpoint)
    if token_stdin:
        token = sys.stdin.readline().strip()
    elif not token:
        token = click.prompt(f"Token for {place}", hide_input=True, err=True).strip()
    if not token:
        raise click.UsageError("The token is empty.")
    person = Hub(place, token).whoami()
    saved = logins.Logins.read()
    saved.endpoint = place
    saved.tokens[place] = token
    path = saved.save()
    role = person.get("auth", {}).get("accessToken", {}).get("role", "")
    say(f"Logged in to {place} as {person['name']}{f' ({role})' if role else ''}. Kept in {path}.")
