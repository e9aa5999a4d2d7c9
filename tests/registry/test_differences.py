"""What a commit changed."""

from __future__ import annotations

from modelcenter.registry import repositories
from modelcenter.registry.differences import differences
from modelcenter.registry.repositories import AddFile, Delete, DeleteFolder, Operation
from tests.support.registry import commit, person


def test_files_are_added_changed_and_removed(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    commit(hub, ann, "ann/m", {"a": b"1", "b": b"2", "old/x": b"3", "old/deep/y": b"44", "turns": b"5"})
    operations: list[Operation] = [
        AddFile("a", b"other"),
        Delete("b"),
        DeleteFolder("old"),
        AddFile("new/z", b"6"),
        Delete("turns"),
        AddFile("turns/into", b"7"),
    ]
    result = repositories.commit(hub, ann, "ann/m", "main", operations, title="Change")
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        head = repositories.resolve(session, repository, result.oid)
        found = differences(session, head, limit=100)
        few = differences(session, head, limit=2)
    assert {item.path: (item.kind, item.size) for item in found} == {
        "a": ("changed", 5),
        "b": ("removed", 1),
        "new/z": ("added", 1),
        "old/deep/y": ("removed", 2),
        "old/x": ("removed", 1),
        "turns": ("removed", 1),
        "turns/into": ("added", 1),
    }
    assert few == found[:2]
