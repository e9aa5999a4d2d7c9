"""Models carried to another hub in one file."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from modelcenter.errors import Invalid, ModelCenterError
from modelcenter.registry import adopting, bundle, fsck, repositories, revisions
from modelcenter.registry.access import Actor
from modelcenter.registry.hub import Hub, open_hub
from modelcenter.registry.tables import Activity, Repository
from modelcenter.settings import Settings
from tests.support.registry import commit, person

LARGE = random.Random(1).randbytes(3_000_000)
OLD = random.Random(2).randbytes(2000)


@pytest.fixture
def ann(hub):
    return person(hub, "ann")


def new_hub(folder: Path, template: Path) -> Hub:
    """A hub on SQLite."""
    settings = Settings.from_environment(folder, {})
    shutil.copy(template, folder / "modelcenter.sqlite3")
    return open_hub(settings)


@pytest.fixture
def other(tmp_path, sqlite_template) -> Iterator[Hub]:
    """Another hub."""
    opened = new_hub(tmp_path / "other", sqlite_template)
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory, sqlite_template) -> Iterator[Hub]:
    """A hub that is given spoilt bundles alone, by its admin zoe, and stays empty."""
    opened = new_hub(tmp_path_factory.mktemp("reader"), sqlite_template)
    person(opened, "zoe", is_admin=True)
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory, sqlite_template) -> bytes:
    """A bundle."""
    hub = new_hub(tmp_path_factory.mktemp("writer"), sqlite_template)
    content = bundled(hub, person(hub, "ann")).getvalue()
    hub.database.close()
    return content


@pytest.fixture
def written(hub, ann) -> io.BytesIO:
    """The bundle of a model of ann's."""
    return bundled(hub, ann)


def bundled(hub: Hub, ann: Actor) -> io.BytesIO:
    """The bundle of a model with two branches, a tag, and a large file that only its history has."""
    repositories.create(hub, ann, "ann/m", private=True)
    first = commit(hub, ann, "ann/m", {"子/a.txt": "你好".encode()}, large={"model.bin": OLD})
    # Git's own pushes take no file as large as this text; the API has always taken it.
    commit(hub, ann, "ann/m", {"b.txt": b"b" * 11_000_000}, large={"model.bin": LARGE})
    with hub.database.transaction() as session:
        revisions.create_tag(session, ann, "ann/m", "v1", first.oid, "The first")
        revisions.create_branch(session, ann, "ann/m", "dev/x", first.oid)
    file = io.BytesIO()
    bundle.write(hub, ann, "ann/m", file)
    file.seek(0)
    return file


def state_of(hub: Hub, repo_id: str) -> dict[str, object]:
    """All refs with the files at them."""
    found: dict[str, object] = {}
    with hub.database.session() as session:
        repository = repositories.find(session, repo_id)
        assert repository is not None
        for ref in repositories.refs(session, repository):
            at = repositories.resolve(session, repository, ref.target)
            entries = repositories.tree(session, repository, at, recursive=True)
            log, _ = repositories.log(session, at)
            found[ref.name] = (ref.target, ref.tag, entries, [row.oid for row in log])
    return found


def counts(hub: Hub) -> list[int | None]:
    with hub.database.session() as session:
        return [session.scalar(select(func.count()).select_from(table)) for table in (Repository, Activity)]


def test_a_bundle_becomes_the_same_model(hub, ann, written, other):
    zoe = person(other, "zoe", is_admin=True)
    repository, manifest = bundle.read(other, zoe, written)
    assert (repository.repo_id, repository.private) == ("ann/m", True)
    assert state_of(other, "ann/m") == state_of(hub, "ann/m")
    assert sorted(manifest.refs) == ["refs/heads/dev/x", "refs/heads/main", "refs/tags/v1"]
    assert list(fsck.check_all(other, deep=True))
    with other.database.session() as session:
        assert not fsck.damages(session)


def test_what_tar_makes_of_it_is_plain_files(written):
    with tarfile.open(fileobj=written) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        assert names[:3] == ["manifest.json", "manifest.sha256", "objects.pack"]
        assert len(names) == 5
        assert {member.mode for member in members} == {0o644}


def test_a_newer_bundle_brings_what_is_new(hub, ann, written, other):
    zoe = person(other, "zoe", is_admin=True)
    bundle.read(other, zoe, written, "zoe/copy")
    commit(hub, ann, "ann/m", {"c.txt": b"c"})
    newer = io.BytesIO()
    bundle.write(hub, ann, "ann/m", newer)
    newer.seek(0)
    bundle.read(other, zoe, newer, "zoe/copy")
    assert state_of(other, "zoe/copy") == state_of(hub, "ann/m")
    written.seek(0)
    with pytest.raises(Invalid, match="--force"):
        bundle.read(other, zoe, written, "zoe/copy")


def changed(file: io.BytesIO, at: bytes, to: bytes) -> io.BytesIO:
    content = file.getvalue()
    assert content.count(at) >= 1
    return io.BytesIO(content.replace(at, to, 1))


def rewritten(file: io.BytesIO, **values: object) -> io.BytesIO:
    """The bundle with another manifest, its checksum right."""
    file.seek(0)
    changed = io.BytesIO()
    with tarfile.open(fileobj=file) as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            assert stream is not None
            content = stream.read()
            if member.name == bundle.MANIFEST:
                content = text = json.dumps({**json.loads(content), **values}).encode()
            if member.name == bundle.CHECKSUM:
                content = hashlib.sha256(text).hexdigest().encode()
            bundle._add(changed, member.name, len(content), [content])
    changed.write(bytes(1024))
    changed.seek(0)
    return changed


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda file: io.BytesIO(file.getvalue()[: len(file.getvalue()) // 2]), "cut short in 'blobs/"),
        (lambda file: io.BytesIO(file.getvalue()[:-2_900_000]), "cut short in 'blobs/|ends before blobs/"),
        (lambda file: io.BytesIO(file.getvalue() + b"x"), "does not end where its parts do"),
        (lambda file: io.BytesIO(file.getvalue()[:-512]), "does not end where its parts do"),
        (
            lambda file: io.BytesIO(file.getvalue()[:-1025] + b"x" + bytes(1024)),
            "its padding is not empty",
        ),
        (lambda file: io.BytesIO(b"no bundle" * 100), "damaged or cut short after its beginning"),
        (lambda file: changed(file, OLD[100:110], bytes(10)), "blobs/[0-9a-f]{64} in the bundle is damaged"),
        (lambda file: changed(file, b"PACK", b"KCAP"), "objects.pack in the bundle is damaged"),
        (lambda file: changed(file, b'"ann/m"', b'"bob/m"'), "manifest.json in the bundle is damaged"),
        (lambda file: changed(file, b"blobs/", b"../../"), "damaged or cut short|is damaged"),
        (lambda file: rewritten(file, repository="../m"), "cannot be a repository's owner"),
        (lambda file: rewritten(file, refs={"refs/heads/main": "0" * 40}), "was not sent"),
        (lambda file: rewritten(file, refs={"refs/heads/../x": "0" * 40}), "malformed|cannot name"),
        (lambda file: rewritten(file, refs=[1]), "malformed"),
        (lambda file: rewritten(file, members=[]), "names no objects.pack"),
        (lambda file: rewritten(file, members=[{"name": "../x", "size": 1, "sha256": "0" * 64}]), "belongs"),
    ],
)
def test_a_spoilt_bundle_leaves_nothing(sound, reader, spoil, named):
    refused(reader, spoil(io.BytesIO(sound)), named)


def refused(reader: Hub, file: io.BytesIO, named: str) -> None:
    """The bundle is not taken, the error says why, and nothing of it is left."""
    with reader.database.session() as session:
        zoe = adopting.operator(session)
    before = counts(reader)
    with pytest.raises(ModelCenterError, match=named):
        bundle.read(reader, zoe, file)
    assert counts(reader) == before
    assert not list(reader.blobs)


def test_large_files_come_with_the_commits_that_name_them(sound, reader):
    written = io.BytesIO(sound)
    with tarfile.open(fileobj=written) as archive:
        stream = archive.extractfile(bundle.MANIFEST)
        assert stream is not None
        members = json.load(stream)["members"]
    lean = rewritten(written, members=members[:1])
    content = lean.getvalue()
    cut = content.index(members[1]["name"].encode())
    refused(reader, io.BytesIO(content[:cut] + bytes(1024)), "but not its content")
