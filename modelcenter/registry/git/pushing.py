"""What `git push` sends, and what comes of it: all refs of a push move, or none does.

Source: git's Documentation/gitprotocol-pack.txt (reference update request, report status).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from modelcenter.errors import AccessDenied, Conflict, Invalid, ModelCenterError, RepositoryNotFound
from modelcenter.registry import lifecycle, pulls, revisions, uploads
from modelcenter.registry.access import Actor, may, require
from modelcenter.registry.blobs.interface import CHUNK, Readable
from modelcenter.registry.git import importing, lines, packs
from modelcenter.registry.git.importing import Arrival
from modelcenter.registry.git.lines import Mark
from modelcenter.registry.git.packs import Pack
from modelcenter.registry.hub import Hub
from modelcenter.registry.operations import Stored
from modelcenter.registry.revisions import HEADS, REQUESTS, TAGS
from modelcenter.registry.tables import Commit, Discussion, Ref, Repository, now

CAPABILITIES = "report-status delete-refs side-band-64k quiet atomic ofs-delta"
COMMANDS = 1000  # refs of one push
NONE = "0" * 40


@dataclass(frozen=True, slots=True)
class Command:
    """A ref to move from one object to another. NONE: before it is made, after it is deleted."""

    old: str
    new: str
    name: str


@dataclass(frozen=True, slots=True)
class Push:
    """The refs to move, and what the client can hear. problem: why none is moved, and not all may be here."""

    commands: Sequence[Command]
    capabilities: frozenset[str]
    problem: Invalid | None = None


def may_push(session: Session, actor: Actor, repository: Repository) -> None:
    """Raises unless `actor` may push to some ref: a branch, or a pull request of their own."""
    own = exists().where(
        Discussion.repository_id == repository.id,
        Discussion.author_id == actor.account_id,
        Discussion.is_pull_request,
        Discussion.status != "merged",
    )
    if may(actor, "write", repository) or not session.scalar(select(own)):
        require(actor, "write", repository)
    else:
        uploads.require_sending(actor, repository)


def read(stream: Readable) -> Push:
    """The commands of a push; the pack follows them. Raises Invalid where there is nobody to answer."""
    commands: dict[str, Command] = {}
    capabilities: frozenset[str] = frozenset()
    try:
        for asked in lines.read_until(stream, Mark.FLUSH):
            if asked.startswith("shallow "):
                continue  # what the client lacks is told by what it sends
            asked, _, said = asked.partition("\0")
            capabilities |= frozenset(said.split())
            old, _, rest = asked.partition(" ")
            new, _, name = rest.partition(" ")
            if not (revisions.is_full_id(old) and revisions.is_full_id(new) and name):
                raise Invalid(f"{asked[:200]!r} is no command of a push.")
            if name in commands:
                raise Invalid("The push moves the same ref twice.")
            commands[name] = Command(old, new, name)
            if len(commands) > COMMANDS:
                raise Invalid(f"The push has more than {COMMANDS} refs. Push in several parts.")
    except Invalid as problem:
        if not commands:
            raise
        return Push(list(commands.values()), capabilities, problem)
    return Push(list(commands.values()), capabilities)


def receive(hub: Hub, actor: Actor, repo_id: str, push: Push, stream: Readable) -> None:
    """Takes the pack that `stream` brings and moves the refs.

    When it returns all of it is durable. Raises, and keeps nothing, where one ref may not move or one object
    may not come: RepositoryNotFound, NotHosted, AccessDenied, NotAuthenticated, AlreadyExists, Conflict,
    Invalid, TooLarge.
    """
    if push.problem is not None:
        while stream.read(CHUNK):  # a client that cannot send hears nothing
            pass
        raise push.problem
    with tempfile.TemporaryFile(dir=hub.settings.data) as file:
        tips = [command.new for command in push.commands if command.new != NONE]
        if tips:
            packs.spool(stream, file)  # before anything is refused: a client that cannot send hears nothing
        with hub.database.session() as session:
            repository = _open(session, actor, repo_id)
            for command in push.commands:
                _require(session, actor, repository, command)
        pack = Pack(file, importing.outside(hub, repository.id)) if tips else None
        with hub.database.session() as session:
            arrival = importing.examine(hub, session, repository, pack, tips)
        files = importing.store(hub, pack, arrival) if pack else []
        with hub.database.transaction() as session:
            _apply(session, actor, repo_id, push, pack, arrival, files)


def report(push: Push, problem: ModelCenterError | None = None) -> Iterator[bytes]:
    """The answer to a push: what became of each ref, and the sentence that says why not."""
    unpacked = "unpack ok"
    told = [
        f"ng {command.name} {' '.join(str(problem).split())}" if problem else f"ok {command.name}"
        for command in push.commands
    ]
    status = b"".join([*(lines.line(text) for text in (unpacked, *told)), lines.FLUSH])
    if "side-band-64k" in push.capabilities:
        if "report-status" in push.capabilities:
            yield from lines.band(lines.PACK, [status])
        yield lines.FLUSH
    elif "report-status" in push.capabilities:
        yield status


def _open(session: Session, actor: Actor, repo_id: str) -> Repository:
    repository = lifecycle.get(session, actor, repo_id)
    may_push(session, actor, repository)
    revisions.require_hosted(repository)
    return repository


def _require(session: Session, actor: Actor, repository: Repository, command: Command) -> None:
    """Raises unless `actor` may do this to the ref, wherever it is now."""
    name = command.name
    pulls.require_push(session, actor, repository, name)
    if name.startswith(REQUESTS):
        if NONE in (command.old, command.new):
            raise AccessDenied(f"{name} is opened and closed with its pull request, not by a push.")
    elif not name.startswith((HEADS, TAGS)):
        raise AccessDenied(f"{name} cannot be pushed: expected a branch ({HEADS}…) or a tag ({TAGS}…).")
    if command.new == NONE and name == HEADS + repository.default_branch:
        raise AccessDenied(f"Cannot delete {name}: it is the default branch.")
    revisions.check_name(name)


def _apply(
    session: Session,
    actor: Actor,
    repo_id: str,
    push: Push,
    pack: Pack | None,
    arrival: Arrival,
    files: Sequence[Stored],
) -> None:
    """Keeps what arrived and moves the refs, in the order in which all writers lock them."""
    repository = _open(session, actor, repo_id)
    if not lifecycle.hold(session, repository.id):
        raise RepositoryNotFound(repo_id)
    commands = sorted(push.commands, key=lambda command: command.name)
    requests = {}
    for command in commands:
        _require(session, actor, repository, command)
        requests[command.name] = pulls.require_push(session, actor, repository, command.name, lock=True)
    wanted = select(Ref).where(Ref.repository_id == repository.id, Ref.name.in_([c.name for c in commands]))
    locked = session.scalars(wanted.order_by(Ref.name).with_for_update())
    refs = {ref.name: ref for ref in locked}
    for command in commands:
        ref = refs.get(command.name)
        found = (ref.tag or ref.target) if ref else NONE
        if found != command.old:
            raise Conflict(command.name, command.old, found)
        if command.new in arrival.annotated and not command.name.startswith(TAGS):
            raise Invalid(f"{command.name} is a branch and cannot be at a tag: push the tag's commit.")
    if pack is not None:
        importing.keep(session, actor, repository, pack, arrival, files)
    # What goes makes room: `a` in place of `a/b`.
    for command in commands:
        if command.new == NONE:
            revisions.remove(session, actor, repository, command.name)
    for command in commands:
        if command.new == NONE:
            continue
        head = point(session, actor, repository, refs.get(command.name), command.name, command.new, arrival)
        request = requests[command.name]
        if request is not None:
            pulls.note_commit(session, actor, request, head)


def point(
    session: Session,
    actor: Actor,
    repository: Repository,
    ref: Ref | None,
    name: str,
    tip: str,
    arrival: Arrival,
) -> Commit:
    """Moves `ref`, which is locked, to the commit or annotated tag `tip`, or makes it; returns the commit.

    Raises Frozen, and AlreadyExists where it was made by another meanwhile or cannot stand beside another.
    """
    head = session.get_one(Commit, (repository.id, arrival.heads[tip]))
    annotation = tip if tip in arrival.annotated else None
    if ref is None:
        ref = revisions.make(session, repository, name, head.oid, annotation)
        lifecycle.moved(session, actor, repository, ref, head, "ref.create")
    else:
        revisions.require_movable(ref)
        ref.target, ref.tag, ref.updated_at = head.oid, annotation, now()
        lifecycle.moved(session, actor, repository, ref, head)
    return head
