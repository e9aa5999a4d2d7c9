"""Models that are asked for and not here, fetched from the upstream: history first, files as they are read.

What comes is a mirror that follows its upstream by itself. Its large files are awaited, which gives no right
to anything, until their bytes have come from there and were hashed.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelcenter.errors import (
    AccessDenied,
    AlreadyExists,
    BlobMismatch,
    HubRefused,
    HubUnreachable,
    Invalid,
    ModelCenterError,
    NotFetched,
    NotSupported,
    RepositoryNotFound,
    RevisionNotFound,
)
from modelcenter.registry import (
    accounts,
    activity,
    adopting,
    lifecycle,
    names,
    operations,
    quotas,
    revisions,
    snapshots,
)
from modelcenter.registry.access import THE_HUB
from modelcenter.registry.blobs.interface import MOST_BYTES, Blob
from modelcenter.registry.contents import RevisionFiles
from modelcenter.registry.database import insert_missing
from modelcenter.registry.git import importing, packs
from modelcenter.registry.git.importing import Arrival
from modelcenter.registry.git.packs import WHOLE_BYTES, Pack
from modelcenter.registry.hub import Hub
from modelcenter.registry.revisions import HEADS, TAGS
from modelcenter.registry.spool import Draft, Spool, alone
from modelcenter.registry.tables import (
    Account,
    AwaitedFile,
    Commit,
    FormerId,
    Membership,
    Mirror,
    Repository,
    now,
)
from modelcenter.registry.upstream import Described, Upstream

ATTEMPTS = 2  # of a file that nothing comes of: a client waits
AWAY_SECONDS = 15.0  # for which an upstream that did not answer is left in peace
_ID_BEGINS = re.compile(r"[0-9a-f]{7,40}", re.IGNORECASE)  # of a commit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to look for: by which id, and into what; None: nothing of it is here."""

    repo_id: str
    upstream_id: str
    repository: Repository | None

    @property
    def is_here(self) -> bool:
        """Whether there is something to serve without the upstream."""
        return self.repository is not None and not self.repository.is_linked


def look(hub: Hub, repo_id: str, revision: str | None = None) -> None:
    """Brings the history of the model, where this hub has an upstream and its own is not there or not new.

    Nothing happens for what is no such model: what lives here, is no name of one, or whose namespace belongs
    to people here. What is here is served when the upstream is away. Raises HubUnreachable, HubRefused,
    Invalid, TooLarge, NotSupported where nothing is here and the upstream fails to bring it.
    """
    if hub.settings.upstream is None or _wanted(hub, repo_id, revision) is None:
        return
    with alone(_folder(hub) / f"{_name(repo_id.lower())}.lock"):
        wanted = _wanted(hub, repo_id, revision)  # another may just have brought it
        if wanted is None:
            return
        try:
            _unless_away(hub)
            _follow(hub, hub.settings.upstream, wanted, revision)
        except AlreadyExists:  # another machine's was first
            return
        except RepositoryNotFound:
            if wanted.is_here:
                _close(hub, wanted)
        except ModelCenterError as error:
            if isinstance(error, HubUnreachable):
                _away(hub).touch()
            if not wanted.is_here:
                raise
            log.warning("%s is served as it is: %s", wanted.repo_id, error)


def offers(hub: Hub, repo_id: str) -> bool:
    """Whether `look` would ask the upstream for the model."""
    return hub.settings.upstream is not None and _wanted(hub, repo_id, None) is not None


class PulledFiles(RevisionFiles):
    """The files of a commit, those that have not come as the upstream has them: for a look at their headers.

    Of those only the bytes that are read come, and nothing of them is kept: nothing has hashed them.
    """

    def __init__(self, hub: Hub, repository: Repository, commit: Commit) -> None:
        super().__init__(hub, repository, commit)
        self._hub, self._repository = hub, repository

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes from `start` up to `stop`. Raises EntryNotFound, and what the upstream answers."""
        entry = self.entry(name)
        if not entry.awaited:
            return super().read(name, start, stop)
        file, mirror = _source(self._hub, self._repository, entry.oid)
        stop = entry.size if stop is None else min(stop, entry.size)
        with Upstream(mirror.endpoint, self._hub.settings.upstream_token, attempts=ATTEMPTS) as upstream:
            return b"".join(upstream.read(mirror.upstream_id, file.commit_oid, file.path, start, stop))


def opened(hub: Hub, repository: Repository, oid: str) -> Spool:
    """A large file that has not come yet, to be read while it comes; what comes is stored and hashed once.

    Raises NotFetched where there is no upstream to ask, and what the upstream answers in place of the file.
    """
    file, mirror = _source(hub, repository, oid)
    blob = Blob(file.sha256, file.size)
    with hub.database.session() as session:
        quotas.require_room(session, THE_HUB, repository, [blob])

    def bring(draft: Draft) -> None:
        with Upstream(mirror.endpoint, hub.settings.upstream_token, attempts=ATTEMPTS) as upstream:
            coming = upstream.read(mirror.upstream_id, file.commit_oid, file.path, draft.size, blob.size)
            stream = itertools.chain(draft.kept(), draft.passing(coming))
            try:
                hub.blobs.put(stream, sha256=blob.sha256, size=blob.size)
            except BlobMismatch as error:
                problem = f"{file.path} of {mirror.upstream_id} is not what its pointer says. {error}"
                raise HubRefused(mirror.endpoint, 200, problem) from error
        _keep(hub, repository, operations.Stored(oid, blob, is_lfs=True))

    def logged(draft: Draft) -> None:
        try:
            bring(draft)
        except Exception as error:
            log.warning("%s of %s did not come: %s", file.path, repository.repo_id, error)
            raise

    spool = Spool(
        _folder(hub) / _name(f"{repository.id}\n{blob.sha256}"),
        blob.size,
        logged,
        lambda: HubUnreachable(mirror.endpoint, "its transfer broke off"),
    )
    try:
        spool.wait()
    except BaseException:
        spool.close()
        raise
    return spool


def _source(hub: Hub, repository: Repository, oid: str) -> tuple[AwaitedFile, Mirror]:
    """Where a large file is that has not come. Raises NotFetched where there is no upstream to ask."""
    with hub.database.session() as session:
        file = session.get(AwaitedFile, (repository.id, oid))
        mirror = session.get(Mirror, repository.id)
    if file is None or mirror is None or mirror.endpoint != hub.settings.upstream:
        raise NotFetched(repository.repo_id, file.path if file else oid)
    return file, mirror


def _keep(hub: Hub, repository: Repository, file: operations.Stored) -> None:
    """Writes down that a large file has come, and queues the look at what is now known of the model."""
    with hub.database.transaction() as session:
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repository.repo_id)
        operations.keep_files(session, THE_HUB, repository, [file])
        lifecycle.queue_head(session, THE_HUB, repository)


def _wanted(hub: Hub, repo_id: str, revision: str | None) -> _Wanted | None:
    """What is to be asked of the upstream now; None: nothing."""
    with hub.database.session() as session:
        repository = lifecycle.find(session, repo_id)
        if repository is None:
            return _Wanted(repo_id, repo_id, None) if _is_free(session, repo_id) else None
        if repository.is_linked:
            # One that is private is a mirror on its way.
            upstream_id = None if repository.private else repository.upstream
            return _Wanted(repository.repo_id, upstream_id, repository) if upstream_id else None
        mirror = session.get(Mirror, repository.id)
        if mirror is None or not mirror.pulls or mirror.endpoint != hub.settings.upstream:
            return None
        is_known = revision is None or _is_known(session, repository, revision)
        if is_known and revision is not None and revisions.is_full_id(revision):
            return None
        expiry = timedelta(seconds=hub.settings.upstream_expiry)
        if is_known and mirror.checked_at is not None and now() - mirror.checked_at < expiry:
            return None
        return _Wanted(repository.repo_id, mirror.upstream_id, repository)


def _is_known(session: Session, repository: Repository, revision: str) -> bool:
    try:
        revisions.resolve(session, repository, revision, as_it_is=True)
    except RevisionNotFound:
        return False
    return True


def _is_free(session: Session, repo_id: str) -> bool:
    """Whether a model of that id may come: its name is one and nobody's here."""
    try:
        namespace, _ = names.split_id(repo_id)
        names.check_account(namespace)
    except Invalid:
        return False
    if session.get(FormerId, repo_id.lower()) is not None:
        return False
    # An account of the hub's own making has no members.
    has_members = exists().where(Membership.organization_id == Account.id)
    owned = select(Account.id).where(
        Account.key == namespace.lower(), (Account.kind != "organization") | has_members
    )
    return session.scalar(owned) is None


def _follow(hub: Hub, endpoint: str, wanted: _Wanted, revision: str | None) -> None:
    """Brings branches and tags, and where `revision` is a commit that none of them leads to, that."""
    try:
        _bring(hub, endpoint, wanted, revision)
    except RevisionNotFound:
        if revision is None:
            raise
        _bring(hub, endpoint, wanted, None)
        return
    again = _wanted(hub, wanted.repo_id, revision)
    if again is not None and revision is not None and again.is_here:
        _bring(hub, endpoint, again, revision)


def _bring(hub: Hub, endpoint: str, wanted: _Wanted, revision: str | None) -> None:
    """Fetches what is new of the model's branches and tags; where nothing is, the commit of `revision`."""
    repository = wanted.repository
    if repository is None:  # in whose place a row comes with all the rest; none has this id
        namespace, _, name = wanted.repo_id.partition("/")
        repository = Repository(id=0, namespace=namespace, name=name)
    is_here = wanted.is_here
    with (
        Upstream(endpoint, hub.settings.upstream_token) as upstream,
        tempfile.TemporaryFile() as received,
        tempfile.TemporaryFile() as file,
    ):
        try:
            described = upstream.describe(wanted.upstream_id, revision or "main")
        except AccessDenied as error:
            raise RepositoryNotFound(wanted.repo_id) from error
        if described.private:
            raise RepositoryNotFound(wanted.repo_id)  # for whom the hub's token was given does not follow
        if is_here and described.gated:
            _gate(hub, repository, described)
        with hub.database.session() as session:
            own = {ref.name: ref.tag or ref.target for ref in revisions.refs(session, repository)}
            has_commit = session.get(Commit, (repository.id, described.commit)) is not None
            haves = {ref.target for ref in revisions.refs(session, repository)}
        refs: dict[str, str] = {}
        tips: set[str] = set()
        head = described.commit

        def choose(known: Mapping[str, str]) -> list[str]:
            refs.update((name, oid) for name, oid in known.items() if _follows(name) and own.get(name) != oid)
            tips.update(refs.values())
            if not (tips or has_commit):
                tips.add(described.commit)
            return sorted(tips)

        try:
            upstream.fetch(described.repo_id, choose, haves, received)
        except NotSupported:
            if described.gated and not is_here:  # the hub's token, if any, has not been let in
                raise RepositoryNotFound(wanted.repo_id) from None
            branch = _branch(wanted, revision)
            head = snapshots.write(hub, upstream, described, repository, own.get(branch), received)
            if own.get(branch) != head:
                refs[branch] = head
                tips.add(head)
        pack = None
        arrival, files = Arrival(), list[operations.Stored]()
        if received.tell():
            received.seek(0)
            packs.spool(received, file)
            pack = Pack(file, importing.outside(hub, repository.id))
            with hub.database.session() as session:
                arrival = importing.examine(
                    hub, session, repository, pack, sorted(tips), regular_max=WHOLE_BYTES
                )
            if not is_here and head in tips:
                refs.setdefault(f"{HEADS}main", head)
        awaited = _awaited(arrival)
        if head != described.commit:  # a commit of ours, which the upstream does not know
            awaited = [{**row, "commit_oid": described.commit} for row in awaited]
        if pack is not None:
            files = importing.store(hub, pack, arrival)
        with hub.database.transaction() as session:
            into = wanted.repository or _entry(session, wanted, described)
            _found(session, into)
            adopting.adopt(session, THE_HUB, into, refs, pack, arrival, files, force=True)
            current = session.get_one(Repository, into.id)
            rows = [{"repository_id": into.id, **row} for row in awaited]
            insert_missing(session, AwaitedFile, rows)
            _note(session, current, endpoint, described)


def _branch(wanted: _Wanted, revision: str | None) -> str:
    """The branch that follows `revision` of an upstream without Git. Raises RevisionNotFound for a commit."""
    name = (revision or "main").removeprefix(HEADS)
    if name.startswith("refs/") or _ID_BEGINS.fullmatch(name) or not _follows(HEADS + name):
        raise RevisionNotFound(wanted.repo_id, name)  # its commits have other ids here
    return HEADS + name


def _awaited(arrival: Arrival) -> list[dict[str, object]]:
    """Takes the large files out of what arrived: rows that say where they are. Raises Invalid."""
    rows: list[dict[str, object]] = []
    for oid, blob in sorted(arrival.large.items()):
        path = arrival.files.pop(oid)
        if blob.size > MOST_BYTES:
            raise Invalid(f"{path} is said to have {blob.size} bytes, which no file has.")
        where = {"commit_oid": arrival.origins[oid], "path": path}
        rows.append({"oid": oid, "sha256": blob.sha256, "size": blob.size, **where})
    arrival.large.clear()
    return rows


def _follows(name: str) -> bool:
    """Whether a ref of the upstream's is one here."""
    if not name.startswith((HEADS, TAGS)) or name.endswith("^{}"):
        return False
    try:
        revisions.check_name(name)
    except Invalid:
        return False
    return True


def _entry(session: Session, wanted: _Wanted, described: Described) -> Repository:
    """The linked entry of a model that is new here, spelled as the upstream does."""
    is_same = described.repo_id.lower() == wanted.repo_id.lower()
    return lifecycle.link(session, described.repo_id if is_same else wanted.repo_id, described.repo_id)


def _found(session: Session, repository: Repository) -> None:
    """Makes the account of the repository's namespace where there is none: an organisation of nobody."""
    known = session.scalar(select(Account.id).where(Account.key == repository.namespace.lower()))
    if known is None:
        account = accounts.add(session, repository.namespace, "organization")
        activity.record(session, None, "organization.create", account.name)


def _note(session: Session, repository: Repository, endpoint: str, described: Described) -> None:
    """Writes down where the model comes from, that it is up to date, and gated where it is there."""
    row = session.get(Mirror, repository.id)
    if row is None:
        row = Mirror(repository_id=repository.id, pulls=True)
        session.add(row)
    row.endpoint, row.upstream_id, row.checked_at = endpoint, described.repo_id, now()
    repository.gated = repository.gated or described.gated


def _gate(hub: Hub, repository: Repository, described: Described) -> None:
    """Gates a model that is gated there, whatever else can be brought of it."""
    with hub.database.transaction() as session:
        locked = lifecycle.lock(session, repository.id)
        if locked is not None and locked.gated is None:
            locked.gated = described.gated
            activity.record(
                session,
                None,
                "repository.settings",
                locked.repo_id,
                locked,
                private=None,
                gated=described.gated,
            )


def _close(hub: Hub, wanted: _Wanted) -> None:
    """Closes a model that is no longer everybody's there, and follows it no further."""
    assert wanted.repository is not None
    with hub.database.transaction() as session:
        repository = lifecycle.lock(session, wanted.repository.id)
        mirror = session.get(Mirror, wanted.repository.id)
        if repository is None or mirror is None:
            return
        repository.private, mirror.pulls = True, False
        activity.record(
            session, None, "repository.settings", repository.repo_id, repository, private=True, gated=None
        )
    log.warning("%s is no longer public on %s: it is private here now.", wanted.repo_id, mirror.endpoint)


def _unless_away(hub: Hub) -> None:
    """Raises HubUnreachable where the upstream did not answer a moment ago."""
    with suppress(FileNotFoundError):
        if time.time() - _away(hub).stat().st_mtime < AWAY_SECONDS:
            raise HubUnreachable(hub.settings.upstream or "", "it did not answer a moment ago")


def _away(hub: Hub) -> Path:
    return _folder(hub) / "away"


def _folder(hub: Hub) -> Path:
    folder = hub.settings.data / "pulling"
    folder.mkdir(exist_ok=True)
    return folder


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
