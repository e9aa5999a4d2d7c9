from __future__ import annotations

import random

import pytest
from sqlalchemy import event

from modelcenter.errors import EntryNotFound
from modelcenter.registry import contents, objects, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.repositories import AddFile, Delete
from tests.support.registry import commit, person


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return ann


@pytest.fixture
def files(hub, ann):
    commit(hub, ann, "ann/m", {"config.json": b"{}", "sub/a.txt": b"aa"}, title="first")
    commit(hub, ann, "ann/m", {"sub/deep/b.txt": b"bbb"}, large={"模型.bin": b"large" * 10}, title="second")
    commit(hub, ann, "ann/m", {"config.json": b"{ }"}, title="third")


class Listing:
    """What the registry lists, by path."""

    def __init__(self, hub, revision="main"):
        self.hub, self.revision, self.queries = hub, revision, 0

    def __call__(self, path="", **options):
        with self.hub.database.session() as session:
            repository = repositories.get(session, ANONYMOUS, "ann/m")
            head = repositories.resolve(session, repository, self.revision)
            self.queries = 0
            event.listen(session.connection(), "before_cursor_execute", self.count)
            return repositories.tree(session, repository, head, path, **options)

    def count(self, *_) -> None:
        self.queries += 1


def test_a_folder_lists_files_and_folders(hub, files):
    found = {entry.path: (entry.kind, entry.size, entry.is_lfs) for entry in Listing(hub)()}
    assert found == {
        ".gitattributes": ("file", found[".gitattributes"][1], False),
        "config.json": ("file", 3, False),
        "sub": ("directory", 0, False),
        "模型.bin": ("file", 50, True),
    }
    assert [entry.path for entry in Listing(hub)("sub")] == ["sub/a.txt", "sub/deep"]
    assert [entry.name for entry in Listing(hub)("/sub/deep/")] == ["b.txt"]


def test_all_folders_at_once(hub, files):
    paths = [entry.path for entry in Listing(hub)(recursive=True)]
    assert paths == [
        ".gitattributes",
        "config.json",
        "sub",
        "sub/a.txt",
        "sub/deep",
        "sub/deep/b.txt",
        "模型.bin",
    ]
    assert [entry.path for entry in Listing(hub)("sub", recursive=True)] == paths[3:6]


def test_pages_in_any_size(hub, ann):
    names = ["a", "a-b", "a.b/c", "a/b/c/d", "a/b0/x", "a0/y", "b/a/a", "b/z", "z"]
    commit(hub, ann, "ann/m", {name + ("/f" if name == "a" else ""): b"" for name in names})
    listing = Listing(hub)
    whole = [entry.path for entry in listing(recursive=True)]
    assert whole == sorted(whole)
    for limit in range(1, len(whole) + 2):
        found: list[str] = []
        while page := listing(recursive=True, after=found[-1] if found else None, limit=limit):
            assert len(page) <= limit
            found += [entry.path for entry in page]
        assert found == whole, limit
    for after in ("", "A", "a/", "a/b/", "a/b/c/zz", "b/", "zz"):
        assert [entry.path for entry in listing(recursive=True, after=after)] == [
            path for path in whole if path > after
        ]


def test_a_page_reads_few_folders_beside_its_own(hub, ann, monkeypatch):
    names = [f"d{folder:03}/f{folder}-{number}" for folder in range(300) for number in range(3)]
    commit(hub, ann, "ann/m", dict.fromkeys(names, b"x"))
    read: list[int] = []
    whole = objects.trees

    def counted(session, repository_id, oids):
        wanted = set(oids)
        read.append(len(wanted))
        return whole(session, repository_id, wanted)

    monkeypatch.setattr(contents, "TOGETHER", 8)
    monkeypatch.setattr(objects, "trees", counted)
    listing, found = Listing(hub), list[str]()
    while page := listing(recursive=True, after=found[-1] if found else None, limit=100):
        assert sum(read) <= 1 + 8 + 16 + 32  # a page of 100 entries has 25 folders
        assert len(read) <= 4
        read.clear()
        found += [entry.path for entry in page]
    assert found == [".gitattributes", *sorted({*names, *(name.split("/")[0] for name in names)})]


def test_pages(hub, files):
    whole = [entry.path for entry in Listing(hub)(recursive=True)]
    found: list[str] = []
    while page := Listing(hub)(recursive=True, after=found[-1] if found else None, limit=2):
        found += [entry.path for entry in page]
    assert found == whole


@pytest.mark.parametrize(
    "path", ["nothing", "config.json", "sub/nothing", "config.json/x", "sub/a.txt", "..", "su"]
)
def test_what_is_no_folder_is_not_found(hub, files, path):
    with pytest.raises(EntryNotFound) as found:
        Listing(hub)(path)
    assert found.value.commit is not None


def test_each_entry_knows_its_last_commit(hub, files):
    found = {entry.path: entry.last_commit.title for entry in Listing(hub)(recursive=True, expand=True)}
    assert found == {
        ".gitattributes": "initial commit",
        "config.json": "third",
        "sub": "second",
        "sub/a.txt": "first",
        "sub/deep": "second",
        "sub/deep/b.txt": "second",
        "模型.bin": "second",
    }


def test_the_last_commit_is_one_of_the_revisions_own(hub, ann, files):
    """The same path changed on another branch, later and alike: it is no ancestor."""
    with hub.database.transaction() as session:
        repositories.create_branch(session, ann, "ann/m", "dev")
    commit(hub, ann, "ann/m", {"sub/a.txt": b"on dev"}, revision="dev", title="dev one")
    commit(hub, ann, "ann/m", {"sub/a.txt": b"aa"}, revision="dev", title="dev two")
    commit(hub, ann, "ann/m", {"other": b""}, title="fourth")
    on_main = {entry.path: entry.last_commit.title for entry in Listing(hub)("sub", expand=True)}
    on_dev = {entry.path: entry.last_commit.title for entry in Listing(hub, "dev")("sub", expand=True)}
    assert on_main["sub/a.txt"] == "first"
    assert on_dev["sub/a.txt"] == "dev two"


def test_the_last_commit_after_random_histories(hub, ann):
    """Against the definition: the newest commit whose entry differs from its parent's."""
    chance = random.Random(7)
    names = ["a", "b/c", "b/d", "b/e/f", "g"]
    present: set[str] = set()
    history: list[tuple[str, dict[str, str]]] = []
    for number in range(25):
        path = chance.choice(names)
        delete = path in present and chance.random() < 0.4
        present ^= {path} if delete or path not in present else set()
        operation = Delete(path) if delete else AddFile(path, str(number).encode())
        repositories.commit(hub, ann, "ann/m", "main", [operation], title=f"c{number}")
        history.append((f"c{number}", {entry.path: entry.oid for entry in Listing(hub)(recursive=True)}))
    expected: dict[str, str] = {}
    before: dict[str, str] = {}
    for title, after in history:
        expected |= {path: title for path, oid in after.items() if before.get(path) != oid}
        before = after
    found = {entry.path: entry.last_commit.title for entry in Listing(hub)(recursive=True, expand=True)}
    assert {path: found[path] for path in found if path != ".gitattributes"} == {
        path: expected[path] for path in found if path != ".gitattributes"
    }


def test_queries_do_not_grow_with_the_number_of_entries(hub, ann):
    listing = Listing(hub)
    commit(hub, ann, "ann/m", {"f/1": b"1"})
    listing("f", expand=True)
    few = listing.queries
    commit(hub, ann, "ann/m", {f"f/{number}": str(number).encode() for number in range(200)})
    assert len(listing("f", expand=True)) == 200
    assert listing.queries == few <= 5
    commit(hub, ann, "ann/m", {f"f/{number}/x": b"" for number in range(200, 300)})
    listing(recursive=True)
    assert listing.queries <= 6


def test_named_paths_in_their_order_without_those_that_are_not_there(hub, files):
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        head = repositories.resolve(session, repository)
        wanted = ["模型.bin", "nothing", "sub/", "sub/a.txt", "sub/a.txt", "", "config.json/x"]
        found = repositories.paths(session, repository, head, wanted, expand=True)
        assert [(entry.path, entry.kind) for entry in found] == [
            ("模型.bin", "file"),
            ("sub", "directory"),
            ("sub/a.txt", "file"),
        ]
        assert [entry.last_commit.title for entry in found if entry.last_commit] == [
            "second",
            "second",
            "first",
        ]
        assert repositories.entry(session, repository, head, "sub").kind == "directory"
        with pytest.raises(EntryNotFound, match="nothing does not exist in ann/m"):
            repositories.entry(session, repository, head, "nothing")


def test_a_revisions_files_are_read_in_ranges(hub, files):
    with hub.database.session() as session:
        repository = repositories.get(session, ANONYMOUS, "ann/m")
        head = repositories.resolve(session, repository)
    found = repositories.RevisionFiles(hub, repository, head)
    assert set(found.names()) == {".gitattributes", "config.json", "sub/a.txt", "sub/deep/b.txt", "模型.bin"}
    assert found.size("模型.bin") == 50
    assert found.read("模型.bin", 3, 8) == b"gelar"
    assert found.read("模型.bin", 48) == b"ge"
    assert found.read("模型.bin", 48, 1000) == b"ge"
    assert found.read("模型.bin", 60, 70) == b""
    for ask in (found.size, found.read):
        with pytest.raises(EntryNotFound):
            ask("nothing")
