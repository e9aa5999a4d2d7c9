"""What goes over the wire, and its errors: those of huggingface_hub and of the network, told as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from modelcenter import __version__
from modelcenter.errors import (
    AccessDenied,
    HubError,
    HubRefused,
    HubUnreachable,
    Invalid,
    InvalidToken,
    ModelCenterError,
    NotAuthenticated,
    NotFound,
    NotHosted,
    RepositoryNotFound,
    RevisionNotFound,
    unreachable,
)

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

# What hf_xet, which sends large files, says before the hub's own words, and around a status.
XET_SAID, XET_STATUS = "Internal error: ", re.compile(r"HTTP status \w+ error \((\d{3}) [^)]*\)")
# The sentence of errors.NotHosted, as it comes over the wire.
NOT_HOSTED = re.compile(r"catalogue entry without files here; they are at https://huggingface\.co/(\S+?)\.?$")


def get(
    address: str,
    token: str | None,
    *,
    query: Mapping[str, str | list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    """The answer to a GET, over huggingface_hub's connections. Raises its errors: call it inside `told`."""
    return ask("GET", address, token, query=query, headers=headers)


def ask(
    method: str,
    address: str,
    token: str | None,
    *,
    query: Mapping[str, str | list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, str] | None = None,
) -> httpx2.Response:
    """The answer to a request with a body of JSON, as `get`."""
    from huggingface_hub import get_session, hf_raise_for_status

    sent = {**introduced(token), **(headers or {})}
    response = get_session().request(
        method, address, params=query, headers=sent, json=body, follow_redirects=True
    )
    hf_raise_for_status(response)
    return response


def introduced(token: str | None) -> dict[str, str]:
    """The headers that say what asks, and for whom; a redirect to another host is not followed with them."""
    who = {"User-Agent": f"modelcenter/{__version__}"}
    return {**who, "Authorization": f"Bearer {token}"} if token else who


@contextmanager
def told(endpoint: str, repository: str = "", revision: str | None = None) -> Iterator[None]:
    """Raises what goes wrong inside as a ModelCenterError that names hub, repository and revision."""
    try:
        yield
    except ModelCenterError:
        raise
    except Exception as error:
        ours = translated(error, endpoint, repository, revision or "main")
        if ours is None:
            raise
        raise ours from error


def translated(
    error: BaseException, endpoint: str, repository: str, revision: str
) -> ModelCenterError | None:
    """Our error for theirs; None for what is neither the hub's nor the network's doing."""
    import httpx2
    from huggingface_hub import errors as theirs

    if isinstance(error, theirs.RevisionNotFoundError):
        return RevisionNotFound(repository, revision)
    if isinstance(error, theirs.GatedRepoError):
        return AccessDenied(f"{endpoint} refused: {sentence(error).rstrip('.')}.")
    if isinstance(error, theirs.RepositoryNotFoundError):
        return RepositoryNotFound(repository, f"on {endpoint}")
    if isinstance(error, theirs.RemoteEntryNotFoundError):
        upstream = NOT_HOSTED.search(error.server_message or "")
        return NotHosted(repository, upstream[1]) if upstream else NotFound(sentence(error))
    if isinstance(error, theirs.HfHubHTTPError):
        return refusal(error, endpoint)
    if isinstance(error, theirs.HFValidationError):
        return Invalid(str(error))
    if isinstance(error, (httpx2.TransportError, theirs.OfflineModeIsEnabled)):
        return unreachable(endpoint, error)
    if isinstance(error, ConnectionError):
        status = XET_STATUS.search(str(error))
        return (
            HubRefused(endpoint, int(status[1]), str(error))
            if status
            else HubUnreachable(endpoint, str(error))
        )
    if isinstance(error, RuntimeError) and str(error).startswith(XET_SAID):
        return HubError(f"{endpoint} refused: {str(error).removeprefix(XET_SAID)}")
    if error.__cause__ is not None and isinstance(
        error, (RuntimeError, theirs.LocalEntryNotFoundError, theirs.RevisionResolutionError)
    ):
        # huggingface_hub wraps what happened while it sent a file or looked one up; the reason is underneath.
        return translated(error.__cause__, endpoint, repository, revision)
    return None


def refusal(error: HfHubHTTPError, endpoint: str) -> ModelCenterError:
    """The hub's own sentence, with what to do where that is known."""
    status, said = error.response.status_code, sentence(error).rstrip(".")
    if status == 401:
        advice = f"Log in with `modelcenter login --endpoint {endpoint}`."
        if "Authorization" not in error.response.request.headers:
            return NotAuthenticated(f"{endpoint} was asked without a token: {said}. {advice}")
        return InvalidToken(f"{endpoint} does not know this token: {said}. {advice}")
    if status == 403:
        return AccessDenied(f"{endpoint} refused: {said}.")
    return HubRefused(endpoint, status, said)


def sentence(error: HfHubHTTPError) -> str:
    """What the hub said, without what huggingface_hub says around it."""
    return error.server_message or str(error).splitlines()[0]
