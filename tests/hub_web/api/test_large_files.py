"""Large files on their way up: signed addresses, what is refused, what need not be sent again."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd
from sqlalchemy import select

from modelcenter.registry import accounts
from modelcenter.registry.tables import Token
from tests.support.xet import packed

SHA_OF_NOTHING_SENT = "0" * 64
HEADER = b'{"key": "header", "value": {"summary": "s"}}\n'


def noise(seed: int, size: int = 50_000) -> tuple[bytes, str]:
    """Bytes and their SHA-256."""
    content = random.Random(seed).randbytes(size)
    return content, hashlib.sha256(content).hexdigest()


def batch(server, repo, *objects, token=None, **more):
    """The answer to an LFS batch for (sha256, size)s."""
    return server.request(
        "POST",
        f"/{repo}.git/info/lfs/objects/batch",
        server.token if token is None else token,
        json={
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": [{"oid": oid, "size": size} for oid, size in objects],
            "hash_algo": "sha256",
            **more,
        },
    )


def address(server, repo, oid, size, token=None) -> str:
    """Where to send a large file."""
    (item,) = batch(server, repo, (oid, size), token=token).json()["objects"]
    return item["actions"]["upload"]["href"]


def is_stored(server, oid: str) -> bool:
    with server.hub() as hub:
        return oid in set(hub.blobs)


def test_the_address_alone_is_the_right_to_send(server, repo):
    content, oid = noise(1)
    answer = batch(server, repo, (oid, len(content)))
    assert answer.headers["Content-Type"].startswith("application/vnd.git-lfs+json")
    (item,) = answer.json()["objects"]
    assert httpx2.put(item["actions"]["upload"]["href"], content=content).status_code == 200
    verified = server.request(
        "POST",
        item["actions"]["verify"]["href"].removeprefix(server.url),
        server.token,
        json={"oid": oid, "size": len(content)},
    )
    assert verified.status_code == 200
    (again,) = batch(server, repo, (oid, len(content))).json()["objects"]
    assert "actions" not in again


def test_a_body_without_length_is_taken(server, repo):
    content, oid = noise(2)
    chunks = (content[start : start + 1000] for start in range(0, len(content), 1000))
    assert httpx2.put(address(server, repo, oid, len(content)), content=chunks).status_code == 200
    assert is_stored(server, oid)


@pytest.mark.parametrize("change", ["other bytes", "too short", "too long", "endless"])
def test_other_bytes_than_announced_are_refused_and_leave_nothing(server, repo, change):
    content, oid = noise(3 + len(change))
    where = address(server, repo, oid, len(content))
    bodies: dict[str, bytes | Iterator[bytes]] = {
        "other bytes": content[:-1] + bytes([content[-1] ^ 1]),
        "too short": content[:-1],
        "too long": content + b"x",
        "endless": (b"x" * 65536 for _ in range(100)),
    }
    try:
        assert httpx2.put(where, content=bodies[change]).status_code in (400, 413)
    except httpx2.WriteError:
        assert change == "endless"  # the server hung up before all was sent
    assert not is_stored(server, oid)
    assert not list((server.data / "blobs" / "tmp").iterdir())
    (item,) = batch(server, repo, (oid, len(content))).json()["objects"]
    assert "actions" in item


def test_an_address_serves_for_nothing_but_its_blob(server, repo):
    content, oid = noise(4)
    other, other_oid = noise(5)
    where = address(server, repo, oid, len(content))
    for changed in (
        where.replace(oid, other_oid),
        re.sub("size=[0-9]+", f"size={len(content) + 1}", where),
        re.sub("expires=[0-9]+", "expires=99999999999", where),
        where.replace("account=alice", "account=bob"),
        where.replace(repo.replace("/", "%2F"), "alice%2Fother"),
        re.sub("signature=..", "signature=zz", where),
        where.split("&signature")[0],
    ):
        assert changed != where
        assert httpx2.put(changed, content=other).status_code in (400, 403), changed
    assert not is_stored(server, other_oid)


def test_a_right_that_was_lost_is_lost_for_addresses_too(api, server, repo):
    content, oid = noise(6)
    where = address(server, repo, oid, len(content))
    api.delete_repo(repo)
    assert httpx2.put(where, content=content).status_code == 404
    assert not is_stored(server, oid)


@pytest.mark.parametrize("expires", [False, True])
def test_an_address_and_a_xet_token_end_with_the_token_that_they_were_given_to(server, repo, expires):
    content, oid = noise(60)
    with server.hub() as hub, hub.database.transaction() as session:
        alice = accounts.find(session, "alice")
        token = accounts.create_token(session, alice, scope="write", name=f"mayfly {expires}")
    where = batch(server, repo, (oid, len(content)), token=token).json()["objects"][0]["actions"]["upload"]
    xet = server.get(f"/api/models/{repo}/xet-write-token/main", token).json()
    with server.hub() as hub, hub.database.transaction() as session:
        row = session.scalars(select(Token).where(Token.name == f"mayfly {expires}")).one()
        if expires:
            row.expires_at = row.created_at
        else:
            session.delete(row)
    refused = httpx2.put(where["href"], content=content)
    assert (refused.status_code, "token" in refused.json()["error"]) == (401, True)
    name, body = packed(content)
    bearer = {"Authorization": f"Bearer {xet['accessToken']}"}
    place = f"{xet['casUrl']}/v1/xorbs/default/{name}"
    assert httpx2.post(place, content=body, headers=bearer).status_code == 401
    assert not is_stored(server, oid)


def test_what_a_limited_token_gets_is_limited_as_it_is(server, api, repo):
    secret, elsewhere, (content, oid) = f"{repo}-secret", f"{repo}-elsewhere", noise(61)
    api.create_repo(secret, private=True)
    api.create_repo(elsewhere, private=True)
    api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=secret)
    with server.hub() as hub, hub.database.transaction() as session:
        token = accounts.create_token(
            session, accounts.find(session, "alice"), scope="write", resources=[repo]
        )
    (known,) = batch(server, elsewhere, (oid, len(content))).json()["objects"]
    assert "actions" not in known
    assert (
        httpx2.put(address(server, repo, oid, len(content), token=token), content=content).status_code == 200
    )
    wide, narrow = (
        server.get(f"/api/models/{repo}/xet-write-token/main", each).json()["casUrl"]
        for each in (server.token, token)
    )
    assert wide != narrow  # clients remember by it what they have sent, and refer to that


def test_only_those_who_write_get_addresses(server, repo):
    content, oid = noise(7)
    main = {"name": "refs/heads/main"}  # without it the batch is for a proposal, which readers may make
    assert batch(server, repo, (oid, len(content)), token=server.other_token, ref=main).status_code == 403
    for more in ({"ref": main}, {}):
        assert batch(server, repo, (oid, len(content)), token=server.read_token, **more).status_code == 403
        assert batch(server, repo, (oid, len(content)), token="", **more).status_code == 401
        assert batch(server, "alice/none", (oid, len(content)), **more).status_code == 404


def test_knowing_the_hash_of_anothers_private_file_gives_nothing(api, bob, server):
    content, oid = noise(8)
    api.create_repo("alice/secret-weights", private=True)
    api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id="alice/secret-weights")
    bob.create_repo("bob/curious")
    (item,) = batch(server, "bob/curious", (oid, len(content)), token=server.other_token).json()["objects"]
    assert "actions" in item  # as if nobody had it
    lines = (
        '{"key": "header", "value": {"summary": "Steal"}}\n'
        f'{{"key": "lfsFile", "value": {{"path": "w.bin", "algo": "sha256", "oid": "{oid}"}}}}\n'
    )
    answer = server.request(
        "POST", "/api/models/bob/curious/commit/main", server.other_token, content=lines.encode()
    )
    assert answer.status_code == 400
    assert server.get("/bob/curious/resolve/main/w.bin", server.other_token).status_code == 404


def test_what_one_sent_before_need_not_be_sent_to_the_next_repository(api, server, repo):
    content, oid = noise(9)
    api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id=repo)
    api.create_repo("alice/second-home")
    (item,) = batch(server, "alice/second-home", (oid, len(content))).json()["objects"]
    assert "actions" not in item


def test_what_need_not_be_sent_is_there_for_the_commit(api, server, repo):
    content, oid = noise(9)
    api.create_repo("alice/passing")
    api.upload_file(path_or_fileobj=content, path_in_repo="w.bin", repo_id="alice/passing")
    (item,) = batch(server, repo, (oid, len(content))).json()["objects"]
    assert "actions" not in item
    api.delete_repo("alice/passing")
    line = {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": oid, "size": len(content)}}
    answer = server.request(
        "POST",
        f"/api/models/{repo}/commit/main",
        server.token,
        content=HEADER + json.dumps(line).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text
    assert server.get(f"/{repo}/resolve/main/w.bin").content == content


@pytest.mark.parametrize(
    "body",
    [
        {"objects": "none"},
        {"objects": [{"oid": "short", "size": 1}]},
        {"objects": [{"oid": "A" * 64, "size": 1}]},
        {"objects": [{"oid": "a" * 64, "size": -1}]},
        {"objects": [{"oid": "a" * 64, "size": True}]},
        {"objects": [{"oid": "a" * 64, "size": 1.0}]},
        {"objects": [{"oid": "a" * 64, "size": "1"}]},
        {"objects": [{"oid": "a" * 64, "size": None}]},
        {"objects": [{"oid": "a" * 64, "size": 2**63}]},
        {"objects": [{"oid": "a" * 64, "size": 10**30}]},
        {"objects": [{"oid": "../" + "a" * 61, "size": 1}]},
        {"objects": [5]},
        {"hash_algo": "md5"},
    ],
)
def test_a_malformed_batch_is_refused(server, repo, body):
    answer = batch(server, repo, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_address_of_other_parts_than_given_is_none(server, repo):
    objects = [{"oid": "a" * 64, "size": 2**62}]
    (item,) = batch(server, repo, objects=objects, transfers=["basic", "multipart"]).json()["objects"]
    where = item["actions"]["upload"]["href"]
    place, _, query = where.partition("?")
    for part in ("1000000", "9" * 5000, "-1", "٣", ""):
        changed = re.sub("part=[0-9]+", f"part={part}", query)
        assert httpx2.post(f"{place}?{changed}", json={"parts": []}).status_code == 400
        assert httpx2.put(f"{place}/parts/1?{changed}", content=b"").status_code == 400


def test_a_commit_of_what_never_arrived_is_refused(server, repo):
    lines = (
        '{"key": "header", "value": {"summary": "Promise"}}\n'
        f'{{"key": "lfsFile", "value": {{"path": "w.bin", "oid": "{SHA_OF_NOTHING_SENT}", "size": 5}}}}\n'
    )
    answer = server.request("POST", f"/api/models/{repo}/commit/main", server.token, content=lines.encode())
    assert answer.status_code == 400
    assert SHA_OF_NOTHING_SENT in answer.json()["error"]


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"not json\n",
        b'{"key": "file", "value": {"path": "a", "content": ""}}\n',
        HEADER + b'{"key": "file", "value": {"path": "../a", "content": ""}}\n',
        HEADER + b'{"key": "file", "value": {"path": ".git/config", "content": ""}}',
        HEADER.replace(b'"s"', b'""') + b'{"key": "file", "value": {"path": "a", "content": ""}}',
        HEADER + b'{"key": "file", "value": {"path": "a", "content": "',
    ],
)
def test_a_malformed_commit_changes_nothing(api, server, repo, lines):
    head = api.model_info(repo).sha
    answer = server.request("POST", f"/api/models/{repo}/commit/main", server.token, content=lines)
    assert answer.status_code in (400, 422)  # the latter for a path that no checkout can have
    assert answer.json()["error"]
    assert api.model_info(repo).sha == head


def test_a_deletion_of_what_is_not_there_names_it(server, repo):
    lines = HEADER + b'{"key": "deletedFile", "value": {"path": "none"}}\n'
    answer = server.request("POST", f"/api/models/{repo}/commit/main", server.token, content=lines)
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")


def test_a_commit_to_a_missing_branch_is_refused(server, repo):
    lines = HEADER + b'{"key": "file", "value": {"path": "a", "content": ""}}'
    answer = server.request("POST", f"/api/models/{repo}/commit/none", server.token, content=lines)
    assert (answer.status_code, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound")


def test_a_hundred_megabytes_of_regular_files_are_one_commit(api, repo, server):
    files = [str(number).encode() * 9_000_000 for number in range(10)]
    operations = [CommitOperationAdd(f"{number}.txt", file) for number, file in enumerate(files)]
    api.create_commit(repo, operations, commit_message="Heavy")
    entries = {item.path: item for item in api.list_repo_tree(repo)}
    for number, file in enumerate(files):
        entry = entries[f"{number}.txt"]
        assert entry.lfs is None
        assert entry.blob_id == hashlib.sha1(b"blob %d\0" % len(file) + file).hexdigest()


def test_concurrent_commits_all_land(api, repo):
    def upload(number: int) -> None:
        api.upload_file(path_or_fileobj=b"x%d" % number, path_in_repo=f"{number}.txt", repo_id=repo)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(16)))
    assert {f"{number}.txt" for number in range(16)} < set(api.list_repo_files(repo))
    assert len(api.list_repo_commits(repo)) == 17
