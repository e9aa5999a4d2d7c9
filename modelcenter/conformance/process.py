"""One group of cases, in the process that has the client. Started by `suite`; speaks JSON lines.

stdin: {"endpoint", "token", "other_token", "group", "quick", "long", "folder"}; stdout: an Outcome a line.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import IO

from huggingface_hub.errors import HfHubHTTPError

from modelcenter.conformance.cases import Case, Missing, Outcome, Skipped, Status, Wrong, told
from modelcenter.conformance.groups import cases_of
from modelcenter.conformance.target import Target

NOT_THERE = (404, 405, 501)  # without an X-Error-Code: the address itself is unknown


def main() -> None:
    """Try the cases of the group that stdin names."""
    asked = json.load(sys.stdin)
    group, folder = asked["group"], Path(asked["folder"])
    # What clients print is not ours to read.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as outcomes:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        target = Target(asked["endpoint"], asked["token"], asked["other_token"], folder)
        for case in cases_of(group):
            if asked["long" if case.long else "quick"]:
                tell(outcomes, attempt(target, group, case))


def tell(outcomes: IO[str], outcome: Outcome) -> None:
    """Write an outcome as a line."""
    outcomes.write(json.dumps(outcome.to_json()) + "\n")
    outcomes.flush()


def attempt(target: Target, group: str, case: Case) -> Outcome:
    """How one case goes; what it made is gone afterwards."""
    begun = time.monotonic()
    status, detail = judged(target, case)
    target.clean()
    seconds = round(time.monotonic() - begun, 3)
    return Outcome(group, case.name, case.title, case.required, status, detail, seconds)


def judged(target: Target, case: Case) -> tuple[Status, str]:
    """How one case ends, and why where it does not pass."""
    if case.others and target.other_token is None:
        return "skipped", "It takes a second person: give --token2."
    try:
        case.check(target)
    except Skipped as reason:
        return "skipped", str(reason)
    except Missing as reason:
        return "missing", str(reason)
    except Wrong as reason:
        return "failed", str(reason)
    except HfHubHTTPError as error:
        answer = error.response
        if answer is not None and answer.status_code in NOT_THERE and "X-Error-Code" not in answer.headers:
            return "missing", told(error)
        return "failed", f"{type(error).__name__}: {told(error)}"
    except Exception as error:  # noqa: BLE001 - whatever the client raises is the case's failure
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "failed", f"{type(error).__name__}: {told(error)} ({Path(place.filename).name}:{place.lineno})"
    return "passed", ""


if __name__ == "__main__":
    main()
