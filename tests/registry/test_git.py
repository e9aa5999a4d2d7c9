"""Packs that arrive, well formed and not, and what a push may move. dulwich writes the packs."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import zlib
from collections.abc import Iterable

import pytest
from dulwich.object_format import SHA1
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree
from dulwich.pack import PackData, create_delta, pack_object_header, write_pack_objects
from sqlalchemy import event, func, select

from modelcenter.errors import AccessDenied, AlreadyExists, Conflict, Invalid, TooLarge
from modelcenter.registry import history, repositories
from modelcenter.registry.git import fetching, importing, packs, pushing
from modelcenter.registry.git.lines import FLUSH, line
from modelcenter.registry.git.packs import Pack
from modelcenter.registry.git.pushing import NONE, Command, Push
from modelcenter.registry.objects import file_oid, pointer
from modelcenter.registry.tables import Activity, Change, File, GitObject, Job, Ref
from modelcenter.registry.tables import Commit as CommitRow
from tests.support.registry import again, commit, person, upload

MAIN = "refs/heads/main"
Content = dict[str, bytes | tuple[int, bytes]]


@pytest.fixture
def ann(hub):
    ann = person(hub, "ann")
    repositories.create(hub, ann, "ann/m")
    return again(hub, ann)


def head_of(hub, name=MAIN) -> str:
    with hub.database.session() as session:
        repository = repositories.find(session, "ann/m")
        assert repository is not None
        return session.get_one(Ref, (repository.id, name)).target


def made(content: Content, *parents: str, author=b"Ann <a@b>", message=b"Change") -> list[ShaFile]:
    """A commit of files (content, or mode and id), and all objects it is made of."""
    tree, blobs = Tree(), []
    for name, value in content.items():
        if isinstance(value, bytes):
            blobs.append(Blob.from_string(value))
        mode, oid = (0o100644, blobs[-1].id) if isinstance(value, bytes) else value
        tree.add(name.encode(), mode, ObjectID(oid))
    new = Commit()
    new.tree, new.parents = tree.id, [ObjectID(parent.encode()) for parent in parents]
    new.author = new.committer = author
    new.author_time = new.commit_time = 1_700_000_000
    new.author_timezone = new.commit_timezone = 3600
    new.message = message
    return [new, tree, *blobs]


def packed(objects: Iterable[ShaFile], *, deltify: bool = False) -> bytes:
    buffer = io.BytesIO()
    write_pack_objects(buffer, [(found, None) for found in objects], SHA1, deltify=deltify)
    return buffer.getvalue()


def entry(kind: int, data: bytes, base: bytes | int | None = None, size: int | None = None) -> bytes:
    """An object of a pack written by hand."""
    head = pack_object_header(kind, base, len(data) if size is None else size, SHA1)
    return bytes(head) + zlib.compress(data)


def by_hand(*entries: bytes, count: int | None = None) -> bytes:
    body = b"PACK" + (2).to_bytes(4) + (len(entries) if count is None else count).to_bytes(4)
    body += b"".join(entries)
    return body + hashlib.sha1(body).digest()


def push(hub, actor, *commands: tuple[str, str, str], pack: bytes = b"") -> None:
    asked = Push([Command(*command) for command in commands], frozenset())
    pushing.receive(hub, actor, "ann/m", asked, io.BytesIO(pack))


def id_of(made: ShaFile) -> str:
    return made.id.decode()


def rows(hub) -> list[int | None]:
    """How many rows there are of what a push writes."""
    with hub.database.session() as session:
        tables = (GitObject, CommitRow, Change, File, Ref, Activity, Job)
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def test_a_push_becomes_what_a_commit_becomes(hub, ann):
    old = head_of(hub)
    author = "王 <w@x>".encode()
    first = made({"a.txt": b"a", "b.txt": b"b"}, old, author=author, message="题目\n\nBody".encode())
    second = made({"a.txt": b"a2"}, id_of(first[0]))
    push(hub, ann, (old, id_of(second[0]), MAIN), pack=packed([*first, *second]))
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        head = repositories.resolve(session, repository, "main")
        assert (head.oid, head.generation, head.author_id) == (id_of(second[0]), 3, None)
        log, _ = repositories.log(session, head)
        assert [(row.author, row.title, row.message) for row in log[1:2]] == [("王", "题目", "Body")]
        assert log[1].created_at.timestamp() == 1_700_000_000
        (found,) = repositories.paths(session, repository, head, ["a.txt"], expand=True)
        assert found.last_commit is not None and found.last_commit.oid == head.oid
        activity = session.scalars(select(Activity).order_by(Activity.id.desc()).limit(1)).one()
        assert (activity.verb, activity.actor, activity.data["oid"]) == ("commit", "ann", head.oid)
        job = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
        assert job.payload["account_id"] == ann.account_id  # what follows is done in the pusher's name
    with hub.blobs.open(found.sha256 or "") as stream:
        assert stream.read() == b"a2"


def test_old_encodings_and_strange_times_are_kept_readable(hub, ann):
    old = head_of(hub)
    strange = made({"a": b""}, old, author="王 <w@x>".encode("gbk"), message="你好".encode("gbk"))
    new = strange[0]
    assert isinstance(new, Commit)
    new.encoding = b"GBK"
    new.commit_time = 10**15
    push(hub, ann, (old, id_of(new), MAIN), pack=packed(strange))
    with hub.database.session() as session:
        row = repositories.resolve(session, repositories.get(session, ann, "ann/m"))
        assert (row.author, row.title, row.created_at.year) == ("王", "你好", 9999)


@pytest.mark.parametrize("kind", ["offset", "thin"])
def test_deltas_are_resolved(hub, ann, kind):
    base = b"".join(b"line %d\n" % number for number in range(500))
    commit(hub, ann, "ann/m", {"long.txt": base})
    old = head_of(hub)
    changed = base.replace(b"line 7\n", b"line seven\n")
    new = made({"long.txt": changed, "again.txt": changed + b"!"}, old)
    if kind == "offset":
        pack = packed([*new, Blob.from_string(base)], deltify=True)
    else:  # one delta on a file that is here, one on that delta
        ids = [bytes.fromhex(file_oid(data)) for data in (base, changed)]
        steps = zip(ids, [(base, changed), (changed, changed + b"!")], strict=True)
        deltas = [entry(7, b"".join(create_delta(*step)), oid) for oid, step in steps]
        pack = by_hand(*deltas[::-1], entry(1, new[0].as_raw_string()), entry(2, new[1].as_raw_string()))
    push(hub, ann, (old, id_of(new[0]), MAIN), pack=pack)
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        found = repositories.tree(session, repository, repositories.resolve(session, repository))
    assert [item.size for item in found] == [len(changed) + 1, len(changed)]


def test_a_delta_may_lie_anywhere_in_a_pack():
    random.seed(7)
    base = random.randbytes(300)
    target = base[:100] + random.randbytes(40) + base[100:]
    delta = b"".join(create_delta(base, target))
    whole = entry(3, base)
    delta_entry = entry(6, delta, len(whole))
    around = packs.AHEAD - 12 - len(whole)  # where the delta begins if so much is before it
    for behind in range(len(delta_entry) + 2):
        noise = random.randbytes(around - behind - 40)
        before = entry(3, noise)
        noise += random.randbytes(around - behind - len(before))
        pack = by_hand(entry(3, noise), whole, delta_entry)
        assert Pack(io.BytesIO(pack), lambda _: ()).read(file_oid(target)) == target, behind


@pytest.mark.parametrize("seed", [6, 7, 10])
def test_what_git_packs_is_read(tmp_path, seed):
    random.seed(seed)
    history = ""
    for number in range(400):
        title, content = f"c{number} {random.random()}", f"{random.random()}"
        history += (
            f"commit refs/heads/main\ncommitter a <a@b> {1_700_000_000 + number} +0000\n"
            f"data {len(title)}\n{title}\nM 100644 inline d{number % 20}/f{number}.txt\n"
            f"data {len(content)}\n{content}\n"
        )
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "fast-import", "--quiet"], input=history.encode(), check=True)
    asked = ["pack-objects", "--all", "--stdout", "-q", "--delta-base-offset", "--no-reuse-delta"]
    pack = subprocess.run(["git", "-C", tmp_path, *asked], input=b"", capture_output=True, check=True).stdout
    read = Pack(io.BytesIO(pack), lambda _: ())
    assert len(list(read.of_kind("commit"))) == 400


def test_a_hostile_pack_leaves_nothing(hub, ann):
    old = head_of(hub)
    new = made({"a.txt": b"a"}, old)
    whole = packed(new)
    junk = b"JUNK" + bytes(8)
    bomb = entry(3, bytes(40 << 20), size=5)
    delta = b"".join(create_delta(b"a", b"b"))
    huge = b"\x01" + b"\x80\x80\x80\x80\x01" + b"\x91\x00\x01"  # makes 256 MB of one byte
    cases: list[tuple[type[Exception], str, bytes]] = [
        (Invalid, "checksum", b""),
        (Invalid, "checksum", whole[:-1]),
        (Invalid, "checksum", whole[:40] + b"\0" + whole[41:]),
        (Invalid, "begin", junk + hashlib.sha1(junk).digest()),
        (Invalid, "damaged", by_hand(whole[12:-20], count=90)),
        (Invalid, "follows", by_hand(whole[12:-20], b"more", count=3)),
        (TooLarge, "objects", by_hand(count=10**8)),
        (Invalid, "longer", by_hand(bomb)),
        (Invalid, "shorter", by_hand(entry(3, b"a", size=9))),
        (Invalid, "type", by_hand(entry(5, b"a"))),
        (Invalid, "builds on", by_hand(entry(7, delta, bytes(20)))),
        (TooLarge, "LFS", by_hand(entry(7, huge, bytes(20)))),
        (Invalid, "not sent", packed(new[1:])),
        (Invalid, "not sent", packed([new[0]])),
        (Invalid, "not sent", packed(new[:2])),
    ]
    before = rows(hub)
    for kind, told, pack in cases:
        if told == "begin":
            pack = pack[:-20] + hashlib.sha1(pack[:-20]).digest()
        with pytest.raises(kind, match=told):
            push(hub, ann, (old, id_of(new[0]), MAIN), pack=pack)
    assert rows(hub) == before
    push(hub, ann, (old, id_of(new[0]), MAIN), pack=whole)


def test_trees_are_as_git_writes_them(hub, ann):
    old = head_of(hub)
    blob = Blob.from_string(b"x")
    raw = bytes.fromhex(id_of(blob))
    bodies = {
        b"100644 b\0" + raw + b"100644 a\0" + raw: "order",
        b"100644 a\0" + raw + b"100644 a\0" + raw: "doubled",
        b"100644 \xff\0" + raw: "UTF-8",
        b"100644 ..\0" + raw: "'..'",
        b"100644 .GIT\0" + raw: "belongs to Git",
        b"100644 a/b\0" + raw: "malformed|not sent",
        b"100644 a": "malformed",
        b"160000 a\0" + raw: "submodule",
        b"40000 a\0" + raw: "not sent",
    }
    before = rows(hub)
    for body, told in bodies.items():
        oid = hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()
        new = made({}, old)[0]
        assert isinstance(new, Commit)
        new.tree = ObjectID(oid.encode())
        pack = by_hand(entry(1, new.as_raw_string()), entry(2, body), entry(3, b"x"))
        with pytest.raises(Invalid, match=told):
            push(hub, ann, (old, id_of(new), MAIN), pack=pack)
    assert rows(hub) == before


def test_a_tree_that_unfolds_without_end_is_refused(hub, ann, monkeypatch):
    blob = Blob.from_string(b"x")
    objects: list[ShaFile] = [blob]
    oid, mode = blob.id, 0o100644
    for _ in range(10):  # ten folders deep, ten times ten files wide: 10^10 paths
        tree = Tree()
        for name in range(10):
            tree.add(b"%d" % name, mode, oid)
        oid, mode = tree.id, 0o40000
        objects.append(tree)
    new = made({}, head_of(hub))[0]
    assert isinstance(new, Commit)
    new.tree = oid
    with pytest.raises(TooLarge, match="100000 files and folders"):
        push(hub, ann, (head_of(hub), id_of(new), MAIN), pack=packed([new, *objects]))
    few = made({f"{number}": b"x" for number in range(20)}, head_of(hub))
    monkeypatch.setattr(importing, "CHANGES", 10)
    with pytest.raises(TooLarge, match="changes more than"):
        push(hub, ann, (head_of(hub), id_of(few[0]), MAIN), pack=packed(few))


def test_revisions_grow_to_a_bound_and_no_further(hub, ann, monkeypatch):
    monkeypatch.setattr(history, "ENTRIES", 10)
    head = commit(hub, ann, "ann/m", {f"a/{number}": b"x" for number in range(7)}).oid  # 9 with both others
    (_, tree, *_) = objects = made({f"{number}": b"x" for number in range(7)})
    twice = made({"a": (0o40000, tree.id), "b": (0o40000, tree.id)}, head)
    before = rows(hub)
    with pytest.raises(TooLarge, match="10 files and folders"):
        push(hub, ann, (head, id_of(twice[0]), MAIN), pack=packed([*twice, *objects[1:]]))
    with pytest.raises(TooLarge, match="10 files and folders"):
        commit(hub, ann, "ann/m", {"b/c": b"x"})
    assert rows(hub) == before
    commit(hub, ann, "ann/m", {"b": b"x"})


def test_pointers_need_content_that_the_actor_may_refer_to(hub, ann):
    bob = person(hub, "bob")
    repositories.create(hub, bob, "bob/secret", private=True)
    secret = upload(hub, again(hub, bob), "bob/secret", b"secret weights")
    old = head_of(hub)
    text = pointer(secret.sha256, secret.size)
    new = made({"w.bin": text}, old)
    with pytest.raises(Invalid, match=r"w\.bin is a pointer"):
        push(hub, ann, (old, id_of(new[0]), MAIN), pack=packed(new))
    upload(hub, ann, "ann/m", b"secret weights")
    wrong = made({"w.bin": pointer(secret.sha256, 5)}, old)
    with pytest.raises(Invalid, match=r"w\.bin is a pointer"):
        push(hub, ann, (old, id_of(wrong[0]), MAIN), pack=packed(wrong))
    push(hub, ann, (old, id_of(new[0]), MAIN), pack=packed(new))
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        found = repositories.entry(session, repository, repositories.resolve(session, repository), "w.bin")
    assert (found.is_lfs, found.sha256, found.size) == (True, secret.sha256, secret.size)
    attributes = made({".gitattributes": text}, old)
    with pytest.raises(Invalid, match="which files are large"):
        push(hub, ann, (NONE, id_of(attributes[0]), "refs/heads/x"), pack=packed(attributes))


def test_a_pointer_that_was_text_is_a_large_file_when_it_is_pushed(hub, ann):
    """Git does not send what the hub has: the pointer is looked for among its files, not in the pack."""
    content = b"weights" * 9
    text = pointer(hashlib.sha256(content).hexdigest(), len(content))
    commit(hub, ann, "ann/m", {"note.txt": text})
    old = head_of(hub)
    new = made({"q.bin": text, "note.txt": text}, old)
    sent = [found for found in new if not isinstance(found, Blob)]
    with pytest.raises(Invalid, match=r"(q\.bin|note\.txt) is a pointer"):
        push(hub, ann, (old, id_of(new[0]), MAIN), pack=packed(sent))
    blob = upload(hub, ann, "ann/m", content)
    push(hub, ann, (old, id_of(new[0]), MAIN), pack=packed(sent))
    with hub.database.session() as session:
        repository = repositories.get(session, ann, "ann/m")
        found = repositories.entry(session, repository, repositories.resolve(session, repository), "q.bin")
    assert (found.is_lfs, found.sha256, found.size) == (True, blob.sha256, len(content))


def test_all_refs_of_a_push_move_or_none(hub, ann):
    old = head_of(hub)
    new = made({"a": b"a"}, old)
    before = rows(hub)
    oid = id_of(new[0])
    for second in ((oid, oid, "refs/heads/gone"), (NONE, oid, "refs/heads/" + "a" * 40), (old, NONE, MAIN)):
        with pytest.raises((Conflict, Invalid, AccessDenied)):
            push(hub, ann, (NONE, oid, "refs/heads/one"), second, pack=packed(new))
    assert rows(hub) == before
    push(hub, ann, (NONE, oid, "refs/heads/one"), (NONE, oid, "refs/tags/two"), pack=packed(new))
    assert head_of(hub, "refs/heads/one") == head_of(hub, "refs/tags/two") == oid


def test_a_push_makes_no_ref_a_folder_of_another(hub, ann):
    one, two = "refs/heads/a", "refs/heads/a/b"
    new = made({"a": b"a"}, head_of(hub))
    oid, pack = id_of(new[0]), packed(new)
    with pytest.raises(AlreadyExists, match="folder"):
        push(hub, ann, (NONE, oid, two), (NONE, oid, one), pack=pack)
    push(hub, ann, (NONE, oid, two), pack=pack)
    with pytest.raises(AlreadyExists, match="folder"):
        push(hub, ann, (NONE, oid, one), pack=pack)
    push(hub, ann, (NONE, oid, one), (oid, NONE, two), pack=pack)
    assert head_of(hub, one) == oid


def test_frozen_refs_and_linked_entries_take_no_push(hub, ann):
    old = head_of(hub)
    new = made({"a": b"a"}, old)
    with hub.database.transaction() as session:
        repository = repositories.get(session, ann, "ann/m")
        session.get_one(Ref, (repository.id, MAIN)).frozen_at = repository.created_at
    with pytest.raises(AccessDenied, match="frozen"):
        push(hub, ann, (old, id_of(new[0]), MAIN), pack=packed(new))


def test_annotated_tags_are_of_commits(hub, ann):
    old = head_of(hub)
    new = made({"a": b"a"}, old)
    tags = []
    for kind, target in ((Commit, new[0].id), (Tree, new[1].id)):
        tag = Tag()
        tag.name, tag.object, tag.message = b"v1", (kind, target), b"First\n"
        tag.tagger, tag.tag_time, tag.tag_timezone = b"Ann <a@b>", 1, 0
        tags.append(tag)
    with pytest.raises(Invalid, match="of a tree"):
        push(hub, ann, (NONE, id_of(tags[1]), "refs/tags/v1"), pack=packed([*new, tags[1]]))
    with pytest.raises(Invalid, match="is a branch"):
        push(hub, ann, (NONE, id_of(tags[0]), "refs/heads/v1"), pack=packed([*new, tags[0]]))
    push(hub, ann, (NONE, id_of(tags[0]), "refs/tags/v1"), pack=packed([*new, tags[0]]))
    assert head_of(hub, "refs/tags/v1") == id_of(new[0])


def fetched(hub, ann, *asked: str) -> tuple[bytes, int]:
    """What a fetch of version 2 answers, and how many statements it took."""
    statements = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if not statement.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")):
            statements.append(statement)

    event.listen(hub.database.engine, "before_cursor_execute", note)
    try:
        with hub.database.session() as session:
            repository = repositories.get(session, ann, "ann/m")
            answer = fetching.fetch_2(hub, session, repository, fetching.request_2(asked))
        assert hub.database.engine.pool.checkedout() == 0
        return b"".join(answer), len(statements)
    finally:
        event.remove(hub.database.engine, "before_cursor_execute", note)


def pack_of(answer: bytes) -> PackData:
    """The pack in the side bands of an answer."""
    pack, stream = b"", io.BytesIO(answer)
    while (size := int(stream.read(4) or b"0", 16)) != 0:
        data = stream.read(size - 4) if size > 4 else b""
        pack += data[1:] if data[:1] == b"\1" else b""
    return PackData.from_file(io.BytesIO(pack), SHA1, len(pack))


def test_a_fetch_takes_few_statements(hub, ann):
    costs = []
    for start in (0, 50):
        names = [f"{number % 3}/{number}.txt" for number in range(start, start + 50)]
        commit(hub, ann, "ann/m", {name: name.encode() for name in names})
        answer, cost = fetched(hub, ann, f"want {head_of(hub)}", "done")
        costs.append(cost)
        with pack_of(answer) as pack:
            pack.check()
            assert len(pack) >= start + 50 + 5
    assert costs[0] == costs[1] <= 16


def test_only_what_is_missing_is_sent(hub, ann):
    first = commit(hub, ann, "ann/m", {"a/b/c.txt": b"c", "d.txt": b"d"}).oid
    second = commit(hub, ann, "ann/m", {"d.txt": b"new"}).oid
    with pack_of(fetched(hub, ann, f"want {second}", f"have {first}", "done")[0]) as pack:
        assert len(pack) == 3  # the commit, its root, the file
    with pytest.raises(Invalid, match="no such commit"):
        fetched(hub, ann, "want " + "1" * 40, "done")
    with pytest.raises(Invalid, match="not offered"):
        fetched(hub, ann, f"want {second}", "filter blob:none", "done")


def test_lines_that_are_none_are_refused():
    for data in (b"zzzz", b"0003", b"00", b"0009ab", b"+005a", b"ffffa"):
        with pytest.raises(Invalid):
            pushing.read(io.BytesIO(data))
    asked = line(f"{NONE} {'1' * 40} {MAIN}\0report-status side-band-64k") + FLUSH
    found = pushing.read(io.BytesIO(asked))
    assert found.commands == [Command(NONE, "1" * 40, MAIN)] and "report-status" in found.capabilities


def test_memory_does_not_grow_with_a_pack(tmp_path):
    blobs = [Blob.from_string(random.Random(number).randbytes(1_000_000)) for number in range(3)]
    with (tmp_path / "pack").open("w+b") as file:
        packs.spool(io.BytesIO(packed(blobs)), file)
        pack = Pack(file, lambda _: ())
        assert [pack.read(id_of(blob)) for blob in blobs] == [blob.data for blob in blobs]
        assert {pack.kind(id_of(blob)) for blob in blobs} == {"blob"}
        assert pack._held_bytes == 0
