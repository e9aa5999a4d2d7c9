"""Xet uploads: xorbs are taken as they come, files put together from their chunks and kept whole.

A xorb's bytes wait in the staging store until every one of its chunks lies in a file. From then on the places
of its chunks in those files answer for it, because clients refer to what they sent once for weeks.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO, Self

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from modelcenter.errors import BlobNotFound, Invalid, RepositoryNotFound
from modelcenter.registry import jobs, lifecycle, quotas, uploads
from modelcenter.registry.access import Actor, may
from modelcenter.registry.blobs.interface import Blob, BlobStore, Readable
from modelcenter.registry.database import insert_missing
from modelcenter.registry.hub import Hub
from modelcenter.registry.tables import Repository, Xorb, XorbPlace, XorbSender, now
from modelcenter.registry.xet.format import (
    XORB_BYTES,
    ChunkTable,
    Incoming,
    Merkle,
    Recipe,
    Term,
    read_shard,
    text_of,
    unpack_stored,
)

KIND = "xorbs"
GRACE = timedelta(days=30)  # clients refer to what they sent for three weeks
_WINDOW = 64  # terms looked up at once
_OPEN = 8  # files held open while one is put together
_AGED = 100  # xorbs dropped in one transaction

Progress = Callable[[int], object]


def receive_xorb(hub: Hub, actor: Actor, repo_id: str, name: str, stream: Readable) -> None:
    """Takes a xorb called `name` (its hash, as printed) from somebody who may send files to the repository.

    When it returns the bytes are durable, and `actor` may refer to them from any repository; with a limited
    token, from those it is good for, as may others of the same reach. Raises Invalid or TooLarge and keeps
    nothing where they are not what the name says, and QuotaExceeded where the repository's owner has no room
    left.
    """
    incoming = Incoming(stream, name)
    with hub.database.session() as session:
        repository = _open(session, actor, repo_id)
        quotas.require_room(session, actor, repository, coming=1 + _waiting(session, actor, repository))
        known = session.get(Xorb, name) is not None
    if known:  # made new before its bytes come again: what ages out in between would take them along
        with hub.database.transaction() as session:
            session.execute(update(Xorb).where(Xorb.hash == name).values(created_at=now()))
    stored = hub.staging.put(incoming)
    with hub.database.transaction() as session:
        _open(session, actor, repo_id)
        row = {"hash": name, "chunks": bytes(incoming.table.packed), "sha256": stored.sha256}
        insert_missing(session, Xorb, [{**row, "created_at": now()}])
        sender = {"hash": name, "account_id": actor.account_id, "reach": actor.reach}
        insert_missing(session, XorbSender, [sender])
        xorb = session.scalars(_locked([name])).one()
        if xorb.sha256 is None and name not in _settled(session, {name: len(incoming.table)}):
            xorb.sha256, xorb.chunks = stored.sha256, row["chunks"]
        is_spare = xorb.sha256 != stored.sha256
        jobs.enqueue(session, KIND, {}, key=KIND, run_after=now() + GRACE)
    if is_spare:  # all its chunks lie in blobs, or it is here packed another way
        hub.staging.delete(stored.sha256)


def receive_shard(
    hub: Hub, actor: Actor, repo_id: str, shard: BinaryIO, progress: Progress = lambda count: None
) -> list[Blob]:
    """Puts the files of a shard together and returns them: `actor` may then refer to them in the repository.

    `shard` stands at its beginning and can be sought. The files are hashed while they are written, and kept
    where all are what the shard says. Their chunks come from xorbs that `actor` sent, or lie in files that
    `actor` may place in the repository without sending them.
    `progress` gets the bytes written since it was last called; what it raises abandons the shard.

    Raises Invalid for a shard that is malformed, refers to other chunks, or has other hashes than they;
    BlobMismatch where the bytes are others than it says; QuotaExceeded where the repository's owner has no
    room for the files. Then none of them can be referred to.
    """
    wanted = [Blob(recipe.sha256, recipe.size) for recipe in read_shard(shard)]
    shard.seek(0)
    with hub.database.session() as session:
        repository = _open(session, actor, repo_id)
        quotas.require_room(session, actor, repository, wanted)
    blobs: list[Blob] = []
    places: dict[tuple[str, int, int, str], int] = {}
    with _Sources(hub, actor, repository) as sources:
        for recipe in read_shard(shard):
            assembly = _Assembly(sources, recipe, progress)
            blobs.append(hub.blobs.put(assembly, sha256=recipe.sha256, size=recipe.size))
            for run in assembly.runs:
                places.setdefault((run.xorb, run.start, run.stop, recipe.sha256), run.offset)
    with hub.database.transaction() as session:
        repository = _open(session, actor, repo_id)
        if not lifecycle.hold(session, repository.id):
            raise RepositoryNotFound(repo_id)
        uploads.remember(session, actor, repository, blobs)
        columns = ("hash", "start", "stop", "sha256")
        rows = [{**dict(zip(columns, key, strict=True)), "offset": places[key]} for key in sorted(places)]
        insert_missing(session, XorbPlace, rows)
        spare = _settle(session, {key[0] for key in places})
    for sha256 in spare:
        hub.staging.delete(sha256)
    return blobs


def forget_aged(hub: Hub, _: Mapping[str, Any]) -> None:
    """The job `xorbs`: drops the bytes of xorbs whose chunks no file has named within the grace."""
    while True:
        with hub.database.transaction() as session:
            aged = (
                select(Xorb.hash)
                .where(Xorb.sha256.is_not(None), Xorb.created_at < now() - GRACE)
                .order_by(Xorb.created_at)
                .limit(_AGED)
            )
            xorbs = session.scalars(_locked(session.scalars(aged).all())).all()
            for xorb in xorbs:
                # Before the transaction ends: who sends the xorb again waits for the row, and then finds it
                # without bytes rather than with bytes that are about to go.
                if xorb.sha256 is not None and xorb.created_at < now() - GRACE:
                    hub.staging.delete(xorb.sha256)
                    xorb.sha256 = None
            session.flush()
            placed = exists().where(XorbPlace.hash == Xorb.hash)
            names = [xorb.hash for xorb in xorbs]
            session.execute(delete(Xorb).where(Xorb.hash.in_(names), Xorb.sha256.is_(None), ~placed))
            if len(xorbs) < _AGED:
                oldest = session.scalar(select(func.min(Xorb.created_at)).where(Xorb.sha256.is_not(None)))
                if oldest is not None:
                    jobs.enqueue(session, KIND, {}, key=KIND, run_after=oldest + GRACE)
                return


def _waiting(session: Session, actor: Actor, repository: Repository) -> int:
    """The bytes, at most, that somebody who only proposes has sent already and no file has used up yet."""
    if may(actor, "write", repository):
        return 0
    sent = (
        select(func.count())
        .select_from(XorbSender)
        .join(Xorb, Xorb.hash == XorbSender.hash)
        .where(XorbSender.account_id == actor.account_id, Xorb.sha256.is_not(None))
    )
    return XORB_BYTES * (session.scalar(sent) or 0)


def _open(session: Session, actor: Actor, repo_id: str) -> Repository:
    """The repository, if `actor` may send content to it."""
    repository = lifecycle.get(session, actor, repo_id)
    uploads.require_sending(actor, repository)
    return repository


def _locked(names: Sequence[str]) -> Any:
    """The xorbs of these names, this transaction's alone to change; places may still be added to them."""
    chosen = select(Xorb).where(Xorb.hash.in_(names)).order_by(Xorb.hash).with_for_update(key_share=True)
    return chosen.execution_options(populate_existing=True)


def _settle(session: Session, names: Iterable[str]) -> list[str]:
    """Lets go of the staged bytes of those xorbs whose every chunk has a place; returns their addresses."""
    wanted, spare = sorted(names), []
    for start in range(0, len(wanted), 1000):
        xorbs = [xorb for xorb in session.scalars(_locked(wanted[start : start + 1000])) if xorb.sha256]
        settled = _settled(session, {xorb.hash: len(ChunkTable(xorb.chunks)) for xorb in xorbs})
        for xorb in xorbs:
            if xorb.sha256 is not None and xorb.hash in settled:
                spare.append(xorb.sha256)
                xorb.sha256 = None
    return spare


def _settled(session: Session, counts: Mapping[str, int]) -> set[str]:
    """Those xorbs (with how many chunks each has) whose every chunk lies in a blob."""
    reached: dict[str, int] = defaultdict(int)
    places = select(XorbPlace.hash, XorbPlace.start, XorbPlace.stop).where(XorbPlace.hash.in_(counts))
    for name, start, stop in session.execute(places.order_by(XorbPlace.hash, XorbPlace.start)):
        if start <= reached[name]:
            reached[name] = max(reached[name], stop)
    return {name for name, count in counts.items() if reached[name] >= count}


@dataclass(slots=True)
class _Run:
    """Chunks of a xorb that follow one another in a file, from `offset`."""

    xorb: str
    start: int
    stop: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A xorb as far as somebody may read it: its staged bytes, and its chunks' places in blobs."""

    table: ChunkTable
    staged: str | None
    places: Sequence[XorbPlace] = ()


@dataclass
class _Sources:
    """Where chunks are read from for one shard: what was looked up last, and the files that are open."""

    hub: Hub
    actor: Actor
    repository: Repository
    _held: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    _files: OrderedDict[str, BinaryIO] = field(default_factory=OrderedDict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def held(self, names: Iterable[str]) -> dict[str, _Held]:
        """What may be read of these xorbs. Most files need no statement: they share a xorb with the last."""
        wanted = set(names)
        found = {name: self._held.pop(name) for name in wanted if name in self._held}
        if wanted - found.keys():
            found |= self._look(wanted - found.keys())
        self._held |= found
        while len(self._held) > _WINDOW:
            self._held.popitem(last=False)
        return found

    def settled(self, name: str) -> _Held | None:
        """The same of one whose staged bytes have gone since: its places now."""
        found = self._look([name], staged=False)
        self._held |= found
        return found.get(name)

    def opened(self, store: BlobStore, sha256: str) -> BinaryIO:
        """The blob as a file that stays open until others are needed more. Raises BlobNotFound."""
        file = self._files.pop(sha256, None) or store.open(sha256)
        self._files[sha256] = file
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)[1].close()
        return file

    def _look(self, names: Iterable[str], *, staged: bool = True) -> dict[str, _Held]:
        """What may be read of these xorbs. A few statements, whatever their number."""
        wanted = sorted(set(names))
        mine = exists().where(XorbSender.hash == Xorb.hash, XorbSender.account_id == self.actor.account_id)
        if self.actor.resources is not None:
            mine = mine.where(XorbSender.reach == self.actor.reach)
        rows = select(Xorb.hash, Xorb.chunks, Xorb.sha256, mine).where(Xorb.hash.in_(wanted))
        with self.hub.database.session() as session:
            found = {
                name: (ChunkTable(chunks), sha256 if is_mine and staged else None, is_mine)
                for name, chunks, sha256, is_mine in session.execute(rows)
            }
            elsewhere = [name for name, (_, sha256, _) in found.items() if sha256 is None]
            chosen = select(XorbPlace).where(XorbPlace.hash.in_(elsewhere)).order_by(XorbPlace.start)
            places: dict[str, list[XorbPlace]] = defaultdict(list)
            for place in session.scalars(chosen) if elsewhere else ():
                places[place.hash].append(place)
            # Who never sent a xorb may use it as far as its chunks lie in files that are open to them.
            others = {
                place.sha256
                for name, (_, _, is_mine) in found.items()
                if not is_mine
                for place in places[name]
            }
            known = uploads.known_sizes(session, self.actor, self.repository, others) if others else {}
        return {
            name: _Held(table, sha256, [place for place in places[name] if is_mine or place.sha256 in known])
            for name, (table, sha256, is_mine) in found.items()
        }


@dataclass
class _Assembly:
    """A file being put together: iterating gives its bytes, chunk by chunk; afterwards `runs` is complete.

    Raises Invalid where a chunk is not to be had, or the chunks make another file than the shard says.
    """

    sources: _Sources
    recipe: Recipe
    progress: Progress
    runs: list[_Run] = field(default_factory=list)

    def __iter__(self) -> Iterator[bytes]:
        merkle, offset = Merkle(), 0
        terms = self.recipe.terms()
        while window := list(islice(terms, _WINDOW)):
            found = self.sources.held(term.xorb for term in window)
            for term in window:
                held = found.get(term.xorb)
                chunks = list(held.table.chunks(term.start, term.stop)) if held else []
                if held is None or not 0 < term.stop - term.start == len(chunks):
                    raise self._unknown(term)
                if sum(chunk.raw for chunk in chunks) != term.size:
                    raise Invalid(
                        f"Chunks {term.start} to {term.stop} of xorb {term.xorb} are not {term.size} bytes."
                    )
                for chunk in chunks:
                    merkle.add(chunk.hash, chunk.raw)
                for content in self._contents(held, term):
                    self.progress(len(content))
                    yield content
                self._note(term, offset)
                offset += term.size
        made = merkle.file()
        if made != self.recipe.hash:
            raise Invalid(
                f"The chunks of file {self.recipe.sha256} have the hash {text_of(made)}, "
                f"the shard says {text_of(self.recipe.hash)}."
            )

    def _note(self, term: Term, offset: int) -> None:
        last = self.runs[-1] if self.runs else None
        if last is not None and last.xorb == term.xorb and last.stop == term.start:
            last.stop = term.stop
        else:
            self.runs.append(_Run(term.xorb, term.start, term.stop, offset))

    def _contents(self, held: _Held, term: Term) -> Iterator[bytes]:
        """The raw bytes of the term's chunks."""
        if held.staged is not None:
            with contextlib.suppress(BlobNotFound):
                file = self.sources.opened(self.sources.hub.staging, held.staged)
                file.seek(sum(chunk.stored for chunk in held.table.chunks(0, term.start)))
                for chunk in held.table.chunks(term.start, term.stop):
                    yield unpack_stored(_whole(file, chunk.stored, term), chunk.raw)
                return
            # Another shard settled it since we looked, or it aged out.
            held = self.sources.settled(term.xorb) or held
        position = term.start
        while position < term.stop:
            place, file = self._place(held, position, term)
            stop = min(place.stop, term.stop)
            before = held.table.chunks(place.start, position)
            file.seek(place.offset + sum(chunk.raw for chunk in before))
            for chunk in held.table.chunks(position, stop):
                yield _whole(file, chunk.raw, term)
            position = stop

    def _place(self, held: _Held, position: int, term: Term) -> tuple[XorbPlace, BinaryIO]:
        """The place that goes furthest from chunk `position`, of those whose blob is still there."""
        candidates = [place for place in held.places if place.start <= position < place.stop]
        for place in sorted(candidates, key=lambda place: -place.stop):
            with contextlib.suppress(BlobNotFound):
                return place, self.sources.opened(self.sources.hub.blobs, place.sha256)
        raise self._unknown(term)

    def _unknown(self, term: Term) -> Invalid:
        return Invalid(
            f"File {self.recipe.sha256} refers to chunks {term.start} to {term.stop} of xorb {term.xorb}, "
            "which are not here, or not yours to refer to. Remove the folder `xet` of your cache (HF_HOME) "
            "and upload again: the chunks are then sent."
        )


def _whole(file: BinaryIO, length: int, term: Term) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise Invalid(
            f"Xorb {term.xorb} is shorter here than its table says. Ask the hub's operator to check it."
        )
    return data
