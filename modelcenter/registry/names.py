"""What accounts, repositories, paths and refs may be called. Checked at the border, trusted inside."""

from __future__ import annotations

import re

from modelcenter.errors import Invalid, InvalidPath, RepositoryNotFound

MAX_NAME = 96  # characters, as the Hub's clients check
MAX_PATH, MAX_SEGMENT = 1000, 255  # bytes: what index keys and file systems hold

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The first segments of the hub's own addresses: an account of that name could not be reached.
RESERVED = frozenset(
    {"api", "datasets", "health", "join", "lang", "login", "logout", "models", "new", "oauth", "search"}
    | {"settings", "spaces", "static", "uploads", "v1", "v2"}
)


def check_name(name: str, what: str = "a name") -> str:
    """`name`, if an account or a repository may be called so. Raises Invalid."""
    if not (_NAME.fullmatch(name) and len(name) <= MAX_NAME) or "--" in name or ".." in name:
        raise Invalid(
            f"{name!r} cannot be {what}: expected at most {MAX_NAME} ASCII letters, digits, '.', '_', '-', "
            "beginning and ending with a letter or digit, without '--' and '..'."
        )
    if name.lower().endswith((".git", ".ipynb")):
        raise Invalid(f"{name!r} cannot be {what}: it must not end in '.git' or '.ipynb'.")
    return name


def check_account(name: str) -> str:
    """`name`, if a new account may be called so. Raises Invalid."""
    if name.lower() in RESERVED:
        raise Invalid(f"{name!r} cannot be an account's name: the hub uses it for its own pages.")
    return check_name(name, "an account's name")


def split_id(repo_id: str) -> tuple[str, str]:
    """Namespace and name of `OWNER/NAME`, checked for a new repository. Raises Invalid."""
    namespace, slash, name = repo_id.partition("/")
    if not slash:
        raise Invalid(f"{repo_id!r} is no repository id: expected OWNER/NAME.")
    return check_name(namespace, "a repository's owner"), check_name(name, "a repository's name")


def key_of(repo_id: str) -> str:
    """What `repo_id` is looked up by. Raises RepositoryNotFound for what never names a repository."""
    if repo_id.count("/") != 1 or not repo_id.isascii() or not repo_id.isprintable():
        raise RepositoryNotFound(repo_id)
    return repo_id.lower()


def check_path(path: str) -> str:
    """`path`, if a file may lie there in every checkout of the repository. Raises InvalidPath."""
    problem = _problem(path)
    if problem:
        raise InvalidPath(path, problem)
    return path


def _problem(path: str) -> str | None:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "it is no valid Unicode"
    segments = path.split("/")
    if length > MAX_PATH or any(len(segment.encode()) > MAX_SEGMENT for segment in segments):
        return f"at most {MAX_PATH} bytes, {MAX_SEGMENT} between slashes"
    if _CONTROL.search(path) or "\\" in path:
        return "it has a control character or a backslash"
    if any(segment in ("", ".", "..") for segment in segments):
        return "it has an empty segment, '.' or '..'"
    if any(segment.rstrip(" .").lower() in (".git", "git~1") for segment in segments):
        return "'.git' belongs to Git"
    return None
