"""What `git fetch` and `git clone` ask for, in versions 0 and 2 of Git's protocol, and their answers.

Rights are the caller's to check: whoever may read a repository's files may fetch all its commits, as the API
reads any commit by its id. No session is open while bytes stream.
Source: git's Documentation/gitprotocol-v2.txt, gitprotocol-pack.txt, gitprotocol-http.txt.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter import __version__
from modelcenter.errors import BlobNotFound, Invalid
from modelcenter.registry import objects, revisions
from modelcenter.registry.blobs.interface import CHUNK, Readable
from modelcenter.registry.contents import Known, known_files
from modelcenter.registry.git import graph, lines, packs
from modelcenter.registry.git.graph import INFINITE, Graph
from modelcenter.registry.git.lines import Mark
from modelcenter.registry.git.packs import Kind
from modelcenter.registry.hub import Hub
from modelcenter.registry.revisions import HEADS
from modelcenter.registry.tables import GitObject, Ref, Repository

AGENT = f"agent=modelcenter/{__version__}"
OPTIONS = 100  # words of a request
BATCH = 100  # objects read at once
_FETCHES = (
    "multi_ack_detailed no-done side-band side-band-64k thin-pack ofs-delta no-progress include-tag shallow "
    "deepen-since deepen-not deepen-relative allow-tip-sha1-in-want allow-reachable-sha1-in-want"
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Request:
    """What a client wants and has. `shallow`: commits of its own whose parents it lacks."""

    wants: list[str] = field(default_factory=list)
    haves: list[str] = field(default_factory=list)
    shallow: set[str] = field(default_factory=set)
    depth: int = 0
    since: int | None = None
    without: list[str] = field(default_factory=list)
    options: set[str] = field(default_factory=set)
    has_told: bool = False  # what it has, or a part of it: in version 0 the first request does not
    is_done: bool = False

    @property
    def deepens(self) -> bool:
        """Whether the depth of the client's history is to change."""
        return bool(self.depth or self.since is not None or self.without)

    @property
    def clones(self) -> bool:
        """Whether the client now gets all of something, of which it has nothing: a clone ends so, once."""
        return self.is_done and bool(self.wants) and not (self.haves or self.shallow)

    def take(self, asked: str) -> None:
        """Notes a line. Raises Invalid."""
        word, _, rest = asked.partition(" ")
        match word:
            case "want":
                self.wants.append(_oid(rest))
            case "have":
                self.haves.append(_oid(rest))
            case "shallow":
                self.shallow.add(_oid(rest))
            case "deepen" | "deepen-since" if rest.isdecimal() and len(rest) < 12:
                if word == "deepen":
                    self.depth = int(rest)
                else:
                    self.since = int(rest)
            case "deepen-not":
                self.without.append(rest)
            case "done":
                self.is_done = True
            case "filter" | "want-ref" | "packfile-uris" | "deepen" | "deepen-since":
                raise Invalid(f"{asked[:200]!r} was not offered.")
            case _:
                self.options.add(asked)
        if len(self.options) > OPTIONS:
            raise Invalid(f"The request has more than {OPTIONS} options.")


# --- refs


def advertise(session: Session, repository: Repository, capabilities: str = _FETCHES) -> Iterator[bytes]:
    """All refs with what the hub can do, as version 0 begins; by default for a fetch."""
    known = revisions.refs(session, repository)
    head = HEADS + repository.default_branch
    offered = f"{capabilities} symref=HEAD:{head} object-format=sha1 {AGENT}"
    rows = [(ref.tag or ref.target, ref.name, ref.target if ref.tag else None) for ref in known]
    if capabilities is _FETCHES:
        rows = [(ref.target, "HEAD", None) for ref in known if ref.name == head] + rows
    for oid, name, peeled in rows:
        yield lines.line(f"{oid} {name}\0{offered}" if offered else f"{oid} {name}")
        offered = ""
        if peeled and capabilities is _FETCHES:
            yield lines.line(f"{peeled} {name}^{{}}")
    if offered:
        yield lines.line(f"{'0' * 40} capabilities^{{}}\0{offered}")
    yield lines.FLUSH


def capabilities() -> Iterator[bytes]:
    """What the hub can do, as version 2 begins."""
    for offered in ("version 2", AGENT, "ls-refs", "fetch=shallow wait-for-done", "object-format=sha1"):
        yield lines.line(offered)
    yield lines.FLUSH


def list_refs(session: Session, repository: Repository, asked: Iterable[str]) -> Iterator[bytes]:
    """The answer to `ls-refs` of version 2."""
    wanted = list(asked)
    prefixes = tuple(line.removeprefix("ref-prefix ") for line in wanted if line.startswith("ref-prefix "))
    head = HEADS + repository.default_branch
    known = revisions.refs(session, repository)
    for ref in [ref for ref in known if ref.name == head]:
        if not prefixes or "HEAD".startswith(prefixes):
            yield lines.line(f"{ref.target} HEAD" + (f" symref-target:{head}" if "symrefs" in wanted else ""))
    for ref in known:
        if not prefixes or ref.name.startswith(prefixes):
            peeled = f" peeled:{ref.target}" if ref.tag and "peel" in wanted else ""
            yield lines.line(f"{ref.tag or ref.target} {ref.name}{peeled}")
    yield lines.FLUSH


# --- fetching


def refusal(problem: Invalid) -> bytes:
    """The answer to a fetch that cannot be: git shows the sentence, and of any other status the number."""
    return lines.line(f"ERR {' '.join(str(problem).split())}")


def read_request(stream: Readable) -> Request:
    """A fetch of version 0. Raises Invalid."""
    request = Request()
    for asked in lines.read_until(stream, Mark.FLUSH):
        if asked.startswith("want ") and len(asked) > 45:
            request.options.update(asked[45:].split())
            asked = asked[:45]
        request.take(asked)
    while request.wants and not request.is_done:
        told = list(lines.read_until(stream, Mark.FLUSH))
        if not told:
            break
        request.has_told = True
        for asked in told:
            request.take(asked)
    return request


def fetch(hub: Hub, session: Session, repository: Repository, request: Request) -> Iterator[bytes]:
    """The answer of version 0: decided now, streamed when it is read. Raises Invalid."""
    if not request.wants:
        return iter(())
    work = _Work(session, repository, request)
    before = b"".join([*work.depths(), lines.FLUSH]) if request.deepens else b""
    if not request.has_told and not request.is_done:
        return iter((before,))  # the client has not yet said what it has
    detailed = "multi_ack_detailed" in request.options
    ready = "ready" if detailed and work.is_ready else ""
    answers = [f"ACK {oid} common" for oid in work.common] if detailed else []
    if ready:
        answers.append(f"ACK {work.common[-1]} ready")
    if not request.is_done:
        early = not detailed and work.common
        answers.append(f"ACK {work.common[0]}" if early else "NAK")
        if not (ready and "no-done" in request.options):
            return iter((before, *map(lines.line, answers)))
        answers.append(f"ACK {work.common[-1]}")
    else:
        answers.append(f"ACK {work.common[-1]}" if work.common else "NAK")
    number = (
        999 if "side-band" in request.options and "side-band-64k" not in request.options else lines.BAND_BYTES
    )
    banded = bool({"side-band", "side-band-64k"} & request.options)
    pack = _pack(hub, repository.id, work.selection())
    body = _in_bands(pack, number) if banded else pack
    return _chain((before, *map(lines.line, answers)), body, (lines.FLUSH,) if banded else ())


def request_2(asked: Iterable[str]) -> Request:
    """A `fetch` of version 2. Raises Invalid."""
    request = Request()
    for line in asked:
        request.take(line)
    return request


def fetch_2(hub: Hub, session: Session, repository: Repository, request: Request) -> Iterator[bytes]:
    """The answer to `fetch` of version 2: decided now, streamed when it is read. Raises Invalid."""
    work = _Work(session, repository, request)
    before: list[bytes] = []
    if not request.is_done:
        before.append(lines.line("acknowledgments"))
        before += [lines.line(f"ACK {oid}") for oid in work.common] or [lines.line("NAK")]
        if not work.is_ready or "wait-for-done" in request.options:
            return iter((*before, lines.FLUSH))
        before += [lines.line("ready"), lines.DELIMITER]
    if request.deepens:
        before += [lines.line("shallow-info"), *work.depths(), lines.DELIMITER]
    before.append(lines.line("packfile"))
    return _chain(before, _in_bands(_pack(hub, repository.id, work.selection())), (lines.FLUSH,))


def whole(
    hub: Hub, session: Session, repository: Repository, wants: Iterable[str]
) -> tuple[Iterator[bytes], list[str]]:
    """All that these commits and annotated tags mean, as one pack, and the ids of the files in it."""
    selection = _Work(session, repository, Request(wants=list(wants), is_done=True)).selection()
    return _pack(hub, repository.id, selection), selection.files


@dataclass(frozen=True, slots=True)
class _Selection:
    """The ids of the objects to send."""

    tags: list[str]
    commits: list[str]
    trees: list[str]
    files: list[str]


class _Work:
    """One fetch: the graph of what is wanted and had, and what follows from it."""

    def __init__(self, session: Session, repository: Repository, request: Request) -> None:
        self.session, self.repository, self.request = session, repository, request
        self.tags, commits = self._peel(request.wants)
        without = [self._tip(name) for name in request.without]
        self.graph: Graph = graph.load(
            session, repository.id, [*commits, *request.haves, *request.shallow, *without]
        )
        for oid in commits:
            if oid not in self.graph.parents:
                raise Invalid(f"upload-pack: not our ref {oid}: {repository.repo_id} has no such commit.")
        self.wanted = list(dict.fromkeys(commits))
        self.common = [oid for oid in dict.fromkeys(request.haves) if oid in self.graph.parents]
        self.shallow = self._boundary(without)

    @property
    def is_ready(self) -> bool:
        """Whether each wanted commit builds on something that the client has."""
        if not self.common:
            return False
        had = set(self.common)
        return all(had & self.graph.before([oid]) for oid in self.wanted)

    def depths(self) -> Iterator[bytes]:
        """Which commits become the ends of the client's history, and which cease to be."""
        old = self.request.shallow
        for oid in sorted(self.shallow - old):
            yield lines.line(f"shallow {oid}")
        for oid in sorted((old - self.shallow) & self.graph.before(self.wanted, self.shallow)):
            yield lines.line(f"unshallow {oid}")

    def selection(self) -> _Selection:
        """What the client lacks."""
        request = self.request
        cut = self.shallow if request.deepens else request.shallow
        had = self.graph.before(self.common, request.shallow)
        new = self.graph.before(self.wanted, cut) - had
        ordered = sorted(new, key=lambda oid: (-self.graph.times[oid], oid))
        edge = {parent for oid in new if oid not in cut for parent in self.graph.parents[oid]} & had
        edge |= request.shallow & had if request.deepens else set()
        seen, files = self._contents(edge, set(), set())
        known_trees, known_files = set(seen), set(files)
        seen, files = self._contents(ordered, known_trees, known_files)
        return _Selection(self._tags(new), ordered, seen, files)

    def _contents(
        self, commits: Iterable[str], trees: set[str], files: set[str]
    ) -> tuple[list[str], list[str]]:
        """Trees and files of `commits` that are not in these sets, which they join; a level at a time."""
        found: tuple[list[str], list[str]] = [], []
        level = list(
            dict.fromkeys(
                objects.decode_commit(data).tree
                for batch in _batches(list(commits), BATCH)
                for data in objects.read(self.session, self.repository.id, batch).values()
            )
        )
        while level := [oid for oid in dict.fromkeys(level) if oid not in trees]:
            trees.update(level)
            found[0].extend(level)
            below: list[str] = []
            for batch in _batches(level, BATCH):
                for items in objects.trees(self.session, self.repository.id, batch).values():
                    for item in items.values():
                        if item.is_folder:
                            below.append(item.oid)
                        elif item.oid not in files:
                            files.add(item.oid)
                            found[1].append(item.oid)
            level = below
        return found

    def _tags(self, new: set[str]) -> list[str]:
        """The annotated tags asked for, and those of commits that are sent where they come along."""
        along = select(Ref.tag, Ref.target).where(
            Ref.repository_id == self.repository.id, Ref.tag.is_not(None)
        )
        found = dict.fromkeys(self.tags)
        if "include-tag" in self.request.options:
            found.update((tag, None) for tag, target in self.session.execute(along) if tag and target in new)
        return list(found)

    def _peel(self, wants: list[str]) -> tuple[list[str], list[str]]:
        """The annotated tags among `wants`, and the commits that all of them mean."""
        tags: dict[str, str] = {}
        for batch in _batches(sorted(set(wants)), 1000):
            rows = self.session.execute(
                select(GitObject.oid, GitObject.data).where(
                    GitObject.repository_id == self.repository.id,
                    GitObject.oid.in_(batch),
                    GitObject.kind == "tag",
                )
            )
            tags.update((oid, objects.decode_tag(data).target) for oid, data in rows)
        return list(tags), [tags.get(oid, oid) for oid in wants]

    def _tip(self, name: str) -> str:
        ref = revisions.find_ref(self.session, self.repository, name)
        if ref is None:
            raise Invalid(f"{self.repository.repo_id} has no branch or tag {name[:200]}.")
        return ref.target

    def _boundary(self, without: list[str]) -> set[str]:
        """The commits at which the client's history will end before its beginning."""
        request = self.request
        if request.since is not None or request.without:
            left_out = self.graph.before(without)
            return self.graph.boundary_since(self.wanted, request.since or 0, left_out)
        if not request.depth:
            return set()
        if "deepen-relative" not in request.options:
            return set() if request.depth >= INFINITE else self.graph.boundary(self.wanted, request.depth)
        ends = request.shallow & self.graph.before(self.wanted)
        return self.graph.boundary(sorted(ends) or self.wanted, request.depth + bool(ends))


def _pack(hub: Hub, repository_id: int, selection: _Selection) -> Iterator[bytes]:
    total = len(selection.tags) + len(selection.commits) + len(selection.trees) + len(selection.files)
    return packs.parts(_objects(hub, repository_id, selection), total)


def _objects(
    hub: Hub, repository_id: int, selection: _Selection
) -> Iterator[tuple[Kind, int, Iterable[bytes]]]:
    """The objects as a pack takes them, some at a time. No session is open while they are sent."""
    kinds: tuple[tuple[Kind, list[str]], ...] = (
        ("tag", selection.tags),
        ("commit", selection.commits),
        ("tree", selection.trees),
    )
    for kind, oids in kinds:
        for batch in _batches(oids, BATCH):
            with hub.database.session() as session:
                found = objects.read(session, repository_id, batch)
            found.setdefault(objects.EMPTY_TREE, b"")
            for oid in batch:
                yield kind, len(found[oid]), (found[oid],)
    for batch in _batches(selection.files, 1000):
        with hub.database.session() as session:
            files = known_files(session, repository_id, batch)
        for oid in batch:
            yield "blob", *content(hub, files[oid])


def content(hub: Hub, file: Known) -> tuple[int, Iterable[bytes]]:
    """Size and bytes of a file as Git has it: of a large file the pointer."""
    if file.is_lfs:
        pointer = objects.pointer(file.sha256, file.size)
        return len(pointer), (pointer,)
    return file.size, _read(hub, file.sha256)


def _read(hub: Hub, sha256: str) -> Iterator[bytes]:
    with hub.blobs.open(sha256) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _in_bands(pack: Iterator[bytes], most: int = lines.BAND_BYTES) -> Iterator[bytes]:
    """The pack in a side band, so that a failure on the way reaches the client as a sentence."""
    try:
        yield from lines.band(lines.PACK, pack, most)
    except (KeyError, BlobNotFound):  # the repository was deleted meanwhile
        log.warning("A fetch broke off: an object was gone before it was sent", exc_info=True)
        yield from lines.band(lines.FATAL, [b"The repository was deleted while it was fetched.\n"])


def _chain(*parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part


def _batches(found: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]


def _oid(text: str) -> str:
    if not revisions.is_full_id(text):
        raise Invalid(f"{text[:100]!r} is no id of a commit.")
    return text
