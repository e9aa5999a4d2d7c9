"""Every error we raise: a type per reason, with a stable code, its data and a sentence that says what to do.

Raised from where the fact is known; three borders translate them (hub_web/api, hub_web/pages, cli).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

SHOWN = 10  # names in a sentence; the rest is counted


def listed(names: Iterable[object], shown: int = SHOWN) -> str:
    """The first names and how many more there are: `a, b, c and 12 more`."""
    words = [str(name) for name in names]
    head = ", ".join(words[:shown])
    return f"{head} and {len(words) - shown} more" if len(words) > shown else head


class RevisionWithdrawn(UserWarning):
    """A commit that was asked for by its id, and that its owners took back."""

    def __init__(self, repository: str, commit: str, reason: str) -> None:
        self.repository, self.commit, self.reason = repository, commit, reason
        super().__init__(f"{commit[:12]} of {repository} was withdrawn by its owners: {reason}")


class ModelCenterError(Exception):
    """The base of all. `code` is stable and documented; `str(error)` is a sentence for people."""

    code = "error"


class ExtraMissing(ModelCenterError):
    """An optional part that is not installed."""

    code = "extra-missing"

    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(
            f"This needs {module}, which is not installed. Install it: pip install 'modelcenter[{extra}]'"
        )


# --- checkpoints and loading


class CheckpointError(ModelCenterError):
    """A checkpoint cannot be read as it stands."""

    code = "checkpoint"


class CheckpointNotFound(CheckpointError):
    """No file that holds tensors."""

    code = "checkpoint-not-found"

    def __init__(self, place: object, looked_for: Sequence[str]) -> None:
        self.place, self.looked_for = place, tuple(looked_for)
        super().__init__(f"{place} holds no checkpoint: expected one of {', '.join(looked_for)}.")


class CheckpointDamaged(CheckpointError):
    """A file contradicts its own header or index."""

    code = "checkpoint-damaged"

    def __init__(self, file: str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file} is damaged: {problem}.")


class CheckpointUnsafe(CheckpointError):
    """A pickle asks for more than tensors."""

    code = "checkpoint-unsafe"

    def __init__(self, file: str, found: str) -> None:
        self.file, self.found = file, found
        super().__init__(
            f"{file} asks to run {found}: only tensors are read from pickles. Ask its author for safetensors."
        )


class UnknownArchitecture(CheckpointError):
    """No family claims the checkpoint."""

    code = "unknown-architecture"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)


class ConfigurationInvalid(CheckpointError):
    """config.json lacks a value, or has one that cannot be meant."""

    code = "configuration-invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(f"config.json {problem}.")


class Mismatch(CheckpointError):
    """A checkpoint whose tensors are not those that its configuration implies. `audit` has the names."""

    code = "mismatch"

    def __init__(self, sentence: str, audit: object) -> None:
        self.audit = audit
        super().__init__(sentence)


class CopyDiffers(CheckpointError):
    """A tensor that should repeat another one holds other values."""

    code = "copy-differs"

    def __init__(self, copy: str, original: str, file: str) -> None:
        self.copy, self.original, self.file = copy, original, file
        super().__init__(
            f"{copy} in {file} should repeat {original} and holds other values: "
            "the model that wrote it did not tie them. Save it with the two tied, or as an untied model."
        )


class HeadNotFound(CheckpointError):
    """A head was asked for that the checkpoint does not carry."""

    code = "head-not-found"

    def __init__(self, head: str, carried: Sequence[str]) -> None:
        self.head, self.carried = head, tuple(carried)
        there = ", ".join(repr(name) for name in carried) or "none"
        super().__init__(
            f"The checkpoint carries no head {head!r}; it carries {there}. "
            "Use head='none' for the model alone."
        )


class BeyondRange(ModelCenterError):
    """A weight is too large for the dtype that was asked for."""

    code = "beyond-range"

    def __init__(self, tensor: str, parameter: str, value: float) -> None:
        self.tensor, self.parameter, self.value = tensor, parameter, value
        super().__init__(
            f"{tensor} (our {parameter}) holds {value:.6g}; float16 ends at 65504. Load it in bfloat16 or "
            "float32, or with clamp=True, which takes the largest values there are."
        )


class CannotShard(ModelCenterError):
    """A parameter does not split evenly over the ranks."""

    code = "cannot-shard"

    def __init__(self, parameter: str, units: int, world: int) -> None:
        self.parameter, self.units, self.world = parameter, units, world
        super().__init__(
            f"{parameter} has {units} units that stay together (groups of heads or blocks of rows) "
            f"and cannot be split over {world} ranks: use a number of ranks that divides {units}."
        )


class IndexContradiction(CheckpointDamaged):
    """An index and its shards disagree on which tensors there are."""

    code = "checkpoint-index"

    def __init__(
        self, file: str, problem: str, missing: Sequence[str] = (), unexpected: Sequence[str] = ()
    ) -> None:
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        super().__init__(file, problem)


class CheckpointUnsupported(CheckpointError):
    """A file is sound and harmless, and of a kind that is not read here."""

    code = "checkpoint-unsupported"

    def __init__(self, file: str, found: str, instead: str) -> None:
        self.file, self.found, self.instead = file, found, instead
        super().__init__(f"{file} {found}, which is not read here: {instead}.")


class ConversionError(ModelCenterError):
    """A checkpoint was not converted; nothing of the attempt is left."""

    code = "conversion"


class NothingToConvert(ConversionError):
    """The tensors are in safetensors already."""

    code = "nothing-to-convert"

    def __init__(self, place: object, found: str) -> None:
        self.place, self.found = place, found
        super().__init__(f"{place} holds {found} already: there is nothing to convert.")


class ConversionStopped(ConversionError):
    """The process that reads the pickles ended before it had a result: a limit, a crash, a forbidden act."""

    code = "conversion-stopped"

    def __init__(self, place: object, reason: str) -> None:
        self.place, self.reason = place, reason
        super().__init__(f"The conversion of {place} was stopped: {reason}.")


class ConversionDiffers(ConversionError):
    """What was written is not bit for bit what was read."""

    code = "conversion-differs"

    def __init__(self, place: object, identical: int, differences: Sequence[str]) -> None:
        self.place, self.identical, self.differences = place, identical, tuple(differences)
        total = identical + len(differences)
        super().__init__(
            f"The conversion of {place} is not exact: {identical} of {total} tensors are identical, "
            f"not {listed(differences)}. Nothing of it was kept. Is the storage sound?"
        )


class CannotConvert(ConversionError):
    """The other form cannot hold this model."""

    code = "cannot-convert"


class TokenizerError(ModelCenterError):
    """A tokeniser cannot be read as it stands."""

    code = "tokenizer"


class TokenizerNotFound(TokenizerError):
    """No file that holds a vocabulary."""

    code = "tokenizer-not-found"

    def __init__(self, place: object, looked_for: Sequence[str]) -> None:
        self.place, self.looked_for = place, tuple(looked_for)
        super().__init__(f"{place} holds no tokeniser: expected one of {', '.join(looked_for)}.")


class TokenizerDamaged(TokenizerError):
    """A tokeniser's file is not what its name says."""

    code = "tokenizer-damaged"

    def __init__(self, file: str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file} is damaged: {problem}.")


class TokenizerUnsupported(TokenizerError):
    """A vocabulary whose rules are not known here: ids made by guessing would be wrong silently."""

    code = "tokenizer-unsupported"

    def __init__(self, file: str, found: str, instead: str) -> None:
        self.file, self.found = file, found
        super().__init__(f"{file} belongs to {found}, which is not read here: {instead}.")


# --- the hub's registry


class NotFound(ModelCenterError):
    """The base of what does not exist, or is not the caller's to see."""

    code = "not-found"


class RepositoryNotFound(NotFound):
    """No such repository, or a private one the caller may not read: the two are told alike."""

    code = "repository-not-found"

    def __init__(self, repository: str, place: str = "here") -> None:
        self.repository, self.place = repository, place
        super().__init__(
            f"Repository {repository} does not exist {place}, or is private and not yours to read."
        )


class RepositoryMoved(RepositoryNotFound):
    """The repository has another id now; those who may read it are told which."""

    code = "repository-moved"

    def __init__(self, repository: str, target: str) -> None:
        self.repository, self.place, self.target = repository, "here", target
        ModelCenterError.__init__(self, f"Repository {repository} has moved: it is {target} now.")


class RevisionNotFound(NotFound):
    """No branch, tag or commit of that name."""

    code = "revision-not-found"

    def __init__(self, repository: str, revision: str) -> None:
        self.repository, self.revision = repository, revision
        super().__init__(
            f"Invalid rev id {revision}: {repository} has no branch, tag or commit of that name."
        )


class AllWithdrawn(RevisionNotFound):
    """A branch or tag of which no commit stands: their owners withdrew them all."""

    code = "all-withdrawn"

    def __init__(self, repository: str, revision: str, commit: str, reason: str) -> None:
        """commit: where the revision is, which may still be named by its id; reason: the owners'."""
        self.repository, self.revision, self.commit, self.reason = repository, revision, commit, reason
        ModelCenterError.__init__(
            self,
            f"All of {revision} in {repository} was withdrawn by its owners: {reason.rstrip('.')}. Name "
            "another revision.",
        )


class EntryNotFound(NotFound):
    """No such file or folder at that revision."""

    code = "entry-not-found"

    def __init__(self, repository: str, revision: str, path: str, commit: str | None = None) -> None:
        self.repository, self.revision, self.path, self.commit = repository, revision, path, commit
        super().__init__(f"{path} does not exist in {repository} at {revision}.")


class NotHosted(NotFound):
    """A catalogue entry whose files are on another hub."""

    code = "not-hosted"

    def __init__(self, repository: str, upstream: str) -> None:
        self.repository, self.upstream = repository, upstream
        super().__init__(
            f"{repository} is a catalogue entry without files here; they are at https://huggingface.co/{upstream}."
        )


class NotFetched(NotFound):
    """A large file of a mirror whose content has not come from the upstream."""

    code = "not-fetched"

    def __init__(self, repository: str, path: str) -> None:
        self.repository, self.path = repository, path
        super().__init__(
            f"{path} of {repository} is not here yet: it comes from the upstream when it is downloaded by "
            "its path, or when the hub's operator runs `modelcenter mirror`."
        )


class AccountNotFound(NotFound):
    """No person or organisation of that name."""

    code = "account-not-found"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no account {name} here.")


class AccessRequestNotFound(NotFound):
    """Nobody of that name has asked to read a gated model's files, or it is in that list already."""

    code = "access-request-not-found"

    def __init__(self, repository: str, who: str, status: str | None = None) -> None:
        self.repository, self.who, self.status = repository, who, status
        problem = f"is {status} already" if status else "does not exist"
        super().__init__(f"The access request of {who} to {repository} {problem}.")


class DiscussionNotFound(NotFound):
    """No discussion or pull request of that number, or no such comment in it."""

    code = "discussion-not-found"

    def __init__(self, repository: str, num: int, comment: str | None = None) -> None:
        self.repository, self.num, self.comment = repository, num, comment
        what = f"comment {comment} in #{num}" if comment else f"discussion or pull request #{num}"
        super().__init__(f"{repository} has no {what}.")


class BlobNotFound(NotFound):
    """The store holds no such content."""

    code = "blob-not-found"

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(f"The store holds no blob {sha256}.")


class BlobDamaged(ModelCenterError):
    """Stored bytes that are not what they were when they came; they are kept aside and not served."""

    code = "blob-damaged"

    def __init__(self, sha256: str, problem: str) -> None:
        self.sha256, self.problem = sha256, problem
        super().__init__(
            f"The stored content {sha256} {problem}. It is not served; who has the file may send it again."
        )


class BlobMismatch(ModelCenterError):
    """Bytes that are not what their sender said; nothing was kept of them."""

    code = "blob-mismatch"

    def __init__(self, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            f"The bytes received are {found}, announced was {expected}: nothing was kept. Send them again."
        )


class AccessDenied(ModelCenterError):
    """The caller is known and may see the thing, but not do this to it."""

    code = "access-denied"


class Frozen(AccessDenied):
    """A branch or tag that its owners froze: nobody may move or delete it."""

    code = "frozen"

    def __init__(self, ref: str) -> None:
        self.ref = ref
        super().__init__(
            f"{ref} is frozen: nobody may move or delete it. Those who administer the model may thaw it."
        )


class Gated(AccessDenied):
    """A model that may be seen, whose files are for those whom its owner lets in."""

    code = "gated"
    ADVICE: ClassVar[Mapping[str, str]] = {
        "login": "Log in with an account that was let in.",
        "resource": "Your token is limited to other repositories: use another.",
        "request": "Ask for access on its page.",
        "pending": "Your request waits for its owners to answer it.",
        "rejected": "Its owners have rejected your request.",
    }

    def __init__(self, repository: str, missing: str = "request") -> None:
        """missing: what stands between the caller and the files: a key of ADVICE."""
        self.repository, self.missing = repository, missing
        super().__init__(
            f"Access to model {repository} is restricted and you are not in the authorized list. "
            f"{self.ADVICE[missing]}"
        )


class NotAuthenticated(ModelCenterError):
    """The act needs to know who asks."""

    code = "not-authenticated"


class InvalidToken(NotAuthenticated):
    """A token that is unknown, expired or revoked."""

    code = "invalid-token"

    def __init__(self, sentence: str = "Invalid credentials in Authorization header") -> None:
        super().__init__(sentence)


class TooManyAttempts(ModelCenterError):
    """So many wrong passwords that none is looked at for a while. `seconds` says how long."""

    code = "too-many-attempts"

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"Too many wrong passwords. Try again in {-(-seconds // 60)} minutes.")


class AlreadyExists(ModelCenterError):
    """The name is taken."""

    code = "already-exists"

    def __init__(self, thing: str, name: str, beside: str = "") -> None:
        self.thing, self.name = thing, name
        clash = f", and {beside} cannot stand beside it: one would be a folder of the other" if beside else ""
        super().__init__(f"{thing} {name} already exists{clash}.")


class Conflict(ModelCenterError):
    """Another writer was first: the ref is no longer where the caller saw it."""

    code = "conflict"

    def __init__(self, ref: str, expected: str, found: str) -> None:
        self.ref, self.expected, self.found = ref, expected, found
        super().__init__(
            f"{ref} moved: you built on {expected}, it is at {found}. "
            "The branch was updated since you opened this page. Please refresh and try again."
        )


class MergeConflict(ModelCenterError):
    """A pull request and its branch changed the same files in different ways."""

    code = "merge-conflict"

    def __init__(self, num: int, branch: str, files: Sequence[str]) -> None:
        self.num, self.branch, self.files = num, branch, tuple(files)
        super().__init__(
            f"Pull request #{num} cannot be merged: {branch} has changed the same files in another way: "
            f"{listed(files)}. Merge {branch} into refs/pr/{num} with git, or open a new pull request "
            f"that starts from {branch} as it is now."
        )


class Invalid(ModelCenterError):
    """A request or value that cannot be meant: says what was found and what was expected."""

    code = "invalid"


class InvalidPath(Invalid):
    """No file may lie at that path: not in every checkout of the repository."""

    code = "invalid-path"

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path[:200]!r} cannot be a path in a repository: {problem}.")


class TooLarge(ModelCenterError):
    """More bytes than are taken on this way: says the limit and the other way."""

    code = "too-large"


class QuotaExceeded(ModelCenterError):
    """An account's files would take more than they may."""

    code = "quota-exceeded"

    def __init__(self, owner: str, quota: int, used: int, new: int, *, proposed: bool = False) -> None:
        self.owner, self.quota, self.used, self.new = owner, quota, used, new
        if proposed:
            has = f"{owner} may have proposed {_size(quota)} to models of others and has {_size(used)}"
            advice = "Wait until pull requests are merged"
        else:
            has = f"{owner} may store {_size(quota)} and has stored {_size(used)}"
            advice = "Delete models, or ask who runs the hub for more room"
        super().__init__(f"{has}: there is no room for {_size(new)} more. {advice}.")


def _size(count: int) -> str:
    return f"{count / 10**9:,.2f} GB" if count >= 10**7 else f"{count:,} bytes"


class NotSupported(ModelCenterError):
    """A part of the protocol that this hub does not speak; refused rather than half done."""

    code = "not-supported"


# --- the hub from outside: what a client is told


class HubError(ModelCenterError):
    """The hub cannot do what a client asks of it."""

    code = "hub"


class EndpointMissing(HubError):
    """Nothing says which hub is meant."""

    code = "endpoint-missing"

    def __init__(self) -> None:
        super().__init__(
            "No hub is configured. Pass endpoint=… (--endpoint on the command line), set "
            "MODELCENTER_ENDPOINT or HF_ENDPOINT, or run `modelcenter login --endpoint http://HOST:PORT`."
        )


class HubUnreachable(HubError):
    """No answer from the hub."""

    code = "hub-unreachable"

    def __init__(self, endpoint: str, problem: str) -> None:
        self.endpoint, self.problem = endpoint, problem
        super().__init__(
            f"{endpoint} does not answer ({problem}). Is the hub running, and the address right?"
        )


class HubUntrusted(HubUnreachable):
    """The hub shows a certificate that nobody vouches for whom this machine trusts."""

    code = "hub-untrusted"

    def __init__(self, endpoint: str, problem: str) -> None:
        self.endpoint, self.problem = endpoint, problem
        ModelCenterError.__init__(
            self,
            f"The certificate of {endpoint} cannot be trusted ({problem}), so nothing was sent. If an "
            "authority of your own signed it, or a proxy of yours replaces it, name the file with that "
            "authority's certificate by --ca FILE, REQUESTS_CA_BUNDLE (for commands) or SSL_CERT_FILE.",
        )


def unreachable(endpoint: str, error: Exception) -> HubUnreachable:
    """The error of ours for one of the network."""
    problem = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in problem:
        reason = problem.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return HubUntrusted(endpoint, reason or problem)
    if type(error).__name__ == "ProxyError":
        problem = f"the proxy in between says: {problem}"
    elif type(error).__name__ in ("ConnectError", "ConnectTimeout") and (proxy := _proxy(endpoint)):
        problem = f"the proxy {proxy} in between cannot be reached: {problem}"
    return HubUnreachable(endpoint, problem)


def _proxy(endpoint: str) -> str | None:
    """The proxy that connections to `endpoint` go to, without its password; None where none is set."""
    import urllib.request  # slow to import, and only for what went wrong
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    known = urllib.request.getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return proxy.rpartition("@")[2].rpartition("://")[2].rstrip("/")


class HubRefused(HubError):
    """The hub answered that it will not."""

    code = "hub-refused"

    def __init__(self, endpoint: str, status: int, problem: str) -> None:
        self.endpoint, self.status, self.problem = endpoint, status, problem
        super().__init__(f"{endpoint} answered {status}: {problem.rstrip('.')}.")


class NotCached(HubError):
    """The network was forbidden and the files are not here."""

    code = "not-cached"

    def __init__(self, repository: str, revision: str, folder: object) -> None:
        self.repository, self.revision, self.folder = repository, revision, folder
        super().__init__(
            f"{repository} at {revision} is not whole in {folder}: load it once with the hub in reach."
        )


class UploadRefused(HubError):
    """The checkpoint would not load for those who fetch it."""

    code = "upload-refused"

    def __init__(self, place: object, problem: str) -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place} was not sent: {problem.rstrip('.')}. Send it as it is with --force.")


class SettingsError(ModelCenterError):
    """A setting or combination of settings that cannot work."""

    code = "settings"
