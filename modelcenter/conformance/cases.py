"""What a case is, how it ends, and the words in which it tells what it wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from modelcenter.conformance.target import Target

Status = Literal["passed", "failed", "missing", "skipped"]
Raised = TypeVar("Raised", bound=BaseException)

LONGEST = 600  # characters of a value that are told


@dataclass(frozen=True)
class Case:
    """One thing asked of a server: a function that raises Wrong, or lets the client's error through.

    required: clients in wide use break without it; else it is a feature that a server may lack.
    long: it moves hundreds of megabytes or thousands of files.
    others: it needs the token of a second person.
    """

    check: Callable[[Target], None]
    required: bool = True
    long: bool = False
    others: bool = False

    @property
    def name(self) -> str:
        """The function's name: unique within its group."""
        return self.check.__name__

    @property
    def title(self) -> str:
        """What is asked, in a sentence."""
        return (self.check.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True)
class Outcome:
    """How a case went. missing: the server does not have the feature; failed: what it answers is wrong."""

    group: str
    case: str
    title: str
    required: bool
    status: Status
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_fine(self) -> bool:
        """Whether a server that conforms may end a case like this."""
        return self.status in ("passed", "skipped") or (self.status == "missing" and not self.required)

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON, from which `Outcome(**value)` is made again."""
        return asdict(self)


class Wrong(Exception):
    """The server's answer is not what the protocol says."""


class Missing(Exception):
    """The server does not have what the case is about."""


class Skipped(Exception):
    """The case cannot be tried from here: a program or a token is lacking."""


def expect(what: str, found: object, expected: object) -> None:
    """Raises Wrong unless `found` equals `expected`."""
    if found != expected:
        raise Wrong(f"{what}: expected {told(expected)}, found {told(found)}.")


def expect_that(holds: object, what: str, found: object = None) -> None:
    """Raises Wrong with the sentence `what` unless it holds."""
    if not holds:
        raise Wrong(f"Expected: {what}. Found: {told(found)}." if found is not None else f"Expected: {what}.")


def expect_raises(kind: type[Raised], call: Callable[[], object], what: str) -> Raised:
    """What `call` raises. Raises Wrong unless that is exactly a `kind`: derived ones mean something else."""
    try:
        returned = call()
    except Exception as error:
        if isinstance(error, kind) and (type(error).__name__.endswith(kind.__name__)):
            return error
        raise Wrong(
            f"{what}: expected the client to raise {kind.__name__}, "
            f"found {type(error).__name__}: {told(error)}."
        ) from error
    raise Wrong(
        f"{what}: expected the client to raise {kind.__name__}, found that it returned {told(returned)}."
    )


def told(value: object) -> str:
    """A value as reports show it: on one line, cut where it is long."""
    text = " ".join(str(value).split()) if isinstance(value, BaseException) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
