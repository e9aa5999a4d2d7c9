"""A commit's lines: understood, or refused with the number of the line."""

from __future__ import annotations

import base64
import io
import json

import pytest

from hub_web.api import ndjson
from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.blobs.interface import Blob
from modelcenter.registry.repositories import AddFile, AddLfs, Delete, DeleteFolder
from tests.support.blobs import MemoryBlobStore

HEADER = {"key": "header", "value": {"summary": "Add", "description": "More", "parentCommit": "c" * 40}}
OID = "a" * 64


def spelled(*items: object) -> io.BytesIO:
    return io.BytesIO(
        b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in items)
    )


def read(stream: io.BytesIO) -> ndjson.CommitRequest:
    return ndjson.read_commit(stream, lambda data: MemoryBlobStore().put([data]))


def file(path: str = "a.txt", content: bytes = b"hello", **more: object) -> dict:
    value = {"path": path, "encoding": "base64", "content": base64.b64encode(content).decode(), **more}
    return {"key": "file", "value": value}


def test_every_kind_of_line_becomes_its_operation():
    request = read(
        spelled(
            HEADER,
            file(),
            b"",
            {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": OID, "size": 3}},
            {"key": "lfsFile", "value": {"path": "copy.bin", "algo": "sha256", "oid": OID}},
            {"key": "deletedFile", "value": {"path": "old"}},
            {"key": "deletedFolder", "value": {"path": "folder/"}},
        )
    )
    assert (request.title, request.message, request.parent) == ("Add", "More", "c" * 40)
    assert request.operations == (
        AddFile("a.txt", b"hello"),
        AddLfs("w.bin", OID, 3),
        AddLfs("copy.bin", OID, None),
        Delete("old"),
        DeleteFolder("folder"),
    )


def test_a_missing_description_and_parent_are_empty():
    request = read(spelled({"key": "header", "value": {"summary": "Add", "parentCommit": None}}))
    assert (request.message, request.parent, request.operations) == ("", None, ())


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty"),
        ([file()], "Line 1"),
        ([HEADER, HEADER], "Line 2"),
        ([HEADER, file(), HEADER], "Line 3"),
        ([HEADER, b'{"key": "file", "value": {"path": "a", "content": "aGVs'], "no JSON"),
        ([HEADER, b"[1]"], "no key"),
        ([HEADER, b"[" * 100_000], "no JSON"),
        ([HEADER, {"key": "file"}], "no value"),
        ([HEADER, {"key": "file", "value": {"content": ""}}], "path"),
        ([HEADER, {"key": "file", "value": {"path": 5, "content": ""}}], "path is int"),
        ([HEADER, file(content=b"", encoding="rot13")], "rot13"),
        ([HEADER, {"key": "file", "value": {"path": "a", "content": "%%%"}}], "base64"),
        ([HEADER, {"key": "file", "value": {"path": "a\0b", "content": ""}}], "characters"),
        ([HEADER, b'{"key": "deletedFile", "value": {"path": "\\ud800"}}'], "characters"),
        ([HEADER, {"key": "lfsFile", "value": {"path": "a", "algo": "md5", "oid": OID}}], "md5"),
        ([HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": OID, "size": -1}}], "size"),
        ([HEADER, {"key": "lfsFile", "value": {"path": "a", "oid": OID, "size": True}}], "size"),
        ([HEADER, {"key": "copyFile", "value": {"path": "a"}}], "copyFile"),
    ],
)
def test_a_malformed_commit_is_refused_with_its_place(lines, words):
    with pytest.raises(Invalid, match=words):
        read(spelled(*lines))


def test_a_regular_file_has_a_limit(monkeypatch):
    monkeypatch.setattr(ndjson, "LINE_BYTES", 1000)
    with pytest.raises(TooLarge, match="LFS"):
        read(spelled(HEADER, file(content=b"x" * 1000)))


def test_a_commit_has_a_limit(monkeypatch):
    monkeypatch.setattr(ndjson, "BODY_BYTES", 1000)
    with pytest.raises(TooLarge, match="another"):
        read(spelled(HEADER, *[file(f"{i}", b"x" * 100) for i in range(10)]))


def test_a_commit_has_a_number_of_operations(monkeypatch):
    monkeypatch.setattr(ndjson, "OPERATIONS", 3)
    with pytest.raises(TooLarge, match="at most 3"):
        read(spelled(HEADER, *[file(f"{i}") for i in range(4)]))


def test_a_file_of_some_size_is_stored_as_it_arrives():
    store = MemoryBlobStore()
    content = b"x" * (ndjson.KEPT_BYTES + 1)
    request = ndjson.read_commit(spelled(HEADER, file(content=content)), lambda data: store.put([data]))
    (operation,) = request.operations
    assert isinstance(operation, AddFile)
    assert isinstance(operation.content, Blob)
    with store.open(operation.content.sha256) as stored:
        assert stored.read() == content
