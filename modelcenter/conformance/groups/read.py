"""Models found, described and downloaded."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import time
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError

from modelcenter.conformance.cases import Case, expect, expect_raises, expect_that
from modelcenter.conformance.target import Target

TEXT = "The quick brown fox. 敏捷的棕色狐狸。\n".encode() * 40
FILES = {"config.json": b'{"model_type": "bert"}', "data/a.txt": TEXT, "数据/说明 1.txt": b"text"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
LARGE = 200_000_000
MANY = 5000


def blob_oid(content: bytes) -> str:
    """The name that Git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def a_file_comes_as_it_was_sent(target: Target) -> None:
    """`hf_hub_download` gives the bytes that were uploaded, from an empty cache and from a warm one."""
    repo = target.repository(FILES)
    for path, content in FILES.items():
        for _ in range(2):
            found = Path(target.api.hf_hub_download(repo, path)).read_bytes()
            expect(f"The content of {path}", found, content)


def a_snapshot_has_every_file(target: Target) -> None:
    """`snapshot_download` brings every file into its folder."""
    repo = target.repository(FILES)
    folder = Path(target.api.snapshot_download(repo))
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop(".gitattributes", None)
    expect("The files of the snapshot", found, FILES)


def head_tells_the_size(target: Target) -> None:
    """HEAD tells the full size, a quoted ETag and the commit: a size of 0 makes clients write empty files."""
    repo = target.repository(FILES)
    sha = target.api.model_info(repo).sha
    answer = target.request(
        "HEAD", f"/{repo}/resolve/main/data/a.txt", headers={"Accept-Encoding": "identity"}
    )
    expect_that(answer.status in (200, 302), "status 200, or 302 to storage", answer.status)
    size = answer.header("X-Linked-Size") or answer.header("Content-Length")
    expect("The size", size, str(len(TEXT)))
    expect("X-Repo-Commit", answer.header("X-Repo-Commit"), sha)
    etag = answer.header("X-Linked-Etag") or answer.header("ETag")
    expect("The ETag of a regular file", etag, f'"{blob_oid(TEXT)}"')


def the_etag_is_the_contents(target: Target) -> None:
    """The ETag depends on the content alone: another commit does not change it, another content does."""
    repo = target.repository(FILES)

    def etag() -> str:
        answer = target.request("HEAD", f"/{repo}/resolve/main/config.json")
        return answer.header("X-Linked-Etag") or answer.header("ETag")

    before = etag()
    target.api.upload_file(path_or_fileobj=b"other", path_in_repo="other.txt", repo_id=repo)
    expect("The ETag after a commit of another file", etag(), before)
    target.api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo)
    expect_that(etag() != before, "another ETag for another content", before)


def content_is_not_packed(target: Target) -> None:
    """A file is sent as it is, whatever encodings the client takes: its size and ETag are of these bytes."""
    repo = target.repository(FILES)
    headers = {"Accept-Encoding": "gzip, deflate, br"}
    answer = target.request("GET", f"/{repo}/resolve/main/data/a.txt", headers=headers)
    if answer.status == 302:
        answer = target.request("GET", answer.header("Location"), token=None, headers=headers)
    expect("Content-Encoding", answer.header("Content-Encoding"), "")
    expect("The content", answer.body, TEXT)


def ranges_are_exact(target: Target) -> None:
    """Ranges `a-b`, `a-` and `-n` give 206 with those bytes; one beyond the end gives 416 with the size."""
    repo = target.repository(FILES)
    size = len(TEXT)
    wanted = [
        ("0-9", TEXT[:10], f"bytes 0-9/{size}"),
        ("100-", TEXT[100:], f"bytes 100-{size - 1}/{size}"),
        ("-7", TEXT[-7:], f"bytes {size - 7}-{size - 1}/{size}"),
    ]
    for asked, content, place in wanted:
        answer = ranged(target, repo, asked)
        expect(f"The status of bytes={asked}", answer.status, 206)
        expect(f"Content-Range of bytes={asked}", answer.header("Content-Range"), place)
        expect(f"The bytes of bytes={asked}", answer.body, content)
    answer = ranged(target, repo, f"{size}-")
    expect("The status beyond the end", answer.status, 416)
    expect("Content-Range beyond the end", answer.header("Content-Range"), f"bytes */{size}")


def ranged(target: Target, repo: str, asked: str) -> Any:
    """The answer to a request for a part of data/a.txt."""
    headers = {"Range": f"bytes={asked}"}
    answer = target.request("GET", f"/{repo}/resolve/main/data/a.txt", headers=headers)
    if answer.status == 302:
        answer = target.request("GET", answer.header("Location"), token=None, headers=headers)
    return answer


def an_absent_file_is_remembered(target: Target) -> None:
    """404 for a missing file says EntryNotFound and the commit, by which clients remember the absence."""
    repo = target.repository(FILES)
    answer = target.request("HEAD", f"/{repo}/resolve/main/adapter_config.json")
    expect("The status", answer.status, 404)
    expect("X-Error-Code", answer.header("X-Error-Code"), "EntryNotFound")
    expect("X-Repo-Commit", answer.header("X-Repo-Commit"), target.api.model_info(repo).sha)
    expect_raises(
        EntryNotFoundError,
        lambda: target.api.hf_hub_download(repo, "adapter_config.json"),
        "A download of a missing file",
    )


def a_new_repository_has_a_commit(target: Target) -> None:
    """A repository has a commit as soon as it exists: `sha` is never null."""
    repo = target.repository()
    sha = target.api.model_info(repo).sha
    expect_that(sha and re.fullmatch("[0-9a-f]{40}", sha), "a commit id of 40 digits", sha)
    titles = [commit.title for commit in target.api.list_repo_commits(repo)]
    expect("The titles of the commits", titles, ["initial commit"])


def a_model_is_described(target: Target) -> None:
    """`model_info` tells id, author, privacy and files, with sizes and hashes where asked."""
    repo = target.repository(FILES)
    info = target.api.model_info(repo, files_metadata=True)
    expect("id", info.id, repo)
    expect("author", info.author, target.name)
    expect("private", info.private, False)
    files = {sibling.rfilename: (sibling.size, sibling.blob_id) for sibling in info.siblings or []}
    files.pop(".gitattributes", None)
    wanted = {path: (len(content), blob_oid(content)) for path, content in FILES.items()}
    expect("Sizes and hashes of the files", files, wanted)


def moments_are_spelled_one_way(target: Target) -> None:
    """Dates are `YYYY-MM-DDTHH:MM:SS[.fff]Z`: clients raise at any other spelling."""
    repo = target.repository()
    described = target.request("GET", f"/api/models/{repo}").json()
    commits = target.request("GET", f"/api/models/{repo}/commits/main").json()
    for name, value in (
        ("createdAt", described.get("createdAt")),
        ("lastModified", described.get("lastModified")),
        ("date", commits[0].get("date")),
    ):
        expect_that(MOMENT.fullmatch(str(value)), f"{name} as {MOMENT.pattern}", value)


def trees_are_listed(target: Target) -> None:
    """Trees list files and folders with Git's hashes, of one folder or all, and with last commits."""
    repo = target.repository(FILES)
    top = {(entry.path, type(entry).__name__) for entry in target.api.list_repo_tree(repo)}
    top.discard((".gitattributes", "RepoFile"))
    expect("The top", top, {("config.json", "RepoFile"), ("data", "RepoFolder"), ("数据", "RepoFolder")})
    entries = {entry.path: entry for entry in target.api.list_repo_tree(repo, recursive=True, expand=True)}
    for path, content in FILES.items():
        entry: Any = entries[path]
        expect(f"oid and size of {path}", (entry.blob_id, entry.size), (blob_oid(content), len(content)))
        expect(f"The last commit of {path}", entry.last_commit.title, "Files")
    folder = [entry.path for entry in target.api.list_repo_tree(repo, "数据")]
    expect("The folder 数据", folder, ["数据/说明 1.txt"])
    expect_raises(
        EntryNotFoundError, lambda: list(target.api.list_repo_tree(repo, "nowhere")), "A missing folder"
    )


def paths_are_looked_up(target: Target) -> None:
    """`paths-info` takes a form, and leaves out what is missing."""
    repo = target.repository(FILES)
    found = target.api.get_paths_info(repo, ["config.json", "missing.txt", "data", "数据/说明 1.txt"])
    expect("The paths", {entry.path for entry in found}, {"config.json", "data", "数据/说明 1.txt"})


def models_are_listed(target: Target) -> None:
    """`list_models` searches, filters by author and by all tags that are given, and sorts."""
    card = b"---\ntags: [conformance, %s]\nlicense: mit\n---\n# Words\n"
    first = target.repository({"README.md": card % b"first"})
    second = target.repository({"README.md": card % b"second"})
    for _ in range(100):  # lists may follow a commit a moment later
        both = {model.id for model in target.api.list_models(author=target.name, filter="conformance")}
        if {first, second} <= both:
            break
        time.sleep(0.1)
    expect_that({first, second} <= both, f"{first} and {second} among the author's", both)
    chosen = [
        model.id for model in target.api.list_models(filter=["license:mit", "second"], author=target.name)
    ]
    expect_that(second in chosen and first not in chosen, f"{second} and not {first}", chosen)
    named = [model.id for model in target.api.list_models(search=first.partition("/")[2])]
    expect("The models with that name", named, [first])
    newest = [model.id for model in target.api.list_models(author=target.name, sort="created_at", limit=2)]
    expect("The two newest models", newest, [second, first])


def pages_are_linked(target: Target) -> None:
    """The next page's address in `Link` is absolute and on the address that the client uses."""
    repos = {target.repository(), target.repository()}
    path: str | None = f"/api/models?author={target.name}&limit=1"
    found = set()
    for _ in range(50):
        assert path
        answer = target.request("GET", path)
        found |= {model["id"] for model in answer.json()}
        if repos <= found:
            return
        link = re.match(r'<([^>]+)>; *rel="next"', answer.header("Link"))
        expect_that(link, 'Link: <…>; rel="next" while there is more', answer.header("Link"))
        path = link[1] if link else None
        expect_that(
            path and path.startswith(f"{target.endpoint}/"), f"a next page below {target.endpoint}", path
        )
    expect_that(repos <= found, f"{repos} on the pages", found)


def a_hostile_card_breaks_nobody(target: Target) -> None:
    """Cards whose metadata has wrong types or explodes are refused, or told as clients can read them."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
    )
    for metadata in ("tags: 5", "license: [1, {a: 2}]\nlanguage: 7", bomb):
        repo = target.repository()
        lines = [
            {"key": "header", "value": {"summary": "Card"}},
            {
                "key": "file",
                "value": {"path": "README.md", "content": f"---\n{metadata}\n---\n", "encoding": "utf-8"},
            },
        ]
        answer = target.request(
            "POST",
            f"/api/models/{repo}/commit/main",
            "\n".join(json.dumps(line) for line in lines).encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )
        expect_that(answer.status < 500, "the commit taken or refused", answer.status)
        target.api.model_info(repo)
        listed = {model.id for model in target.api.list_models(author=target.name, cardData=True)}
        expect_that(repo in listed, "the model in the list with its card's data", listed)


def headers_of_tensors_are_read(target: Target) -> None:
    """`get_safetensors_metadata` reads the headers by ranges."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(24)
    repo = target.repository({"model.safetensors": content})
    found = target.api.get_safetensors_metadata(repo)
    expect("The number of parameters", found.parameter_count, {"F32": 6})


def the_file_system_reads(target: Target) -> None:
    """`HfFileSystem` lists, finds and reads parts of files."""
    repo = target.repository(FILES)
    files = HfFileSystem(endpoint=target.endpoint, token=target.token, skip_instance_cache=True)
    expect("glob", files.glob(f"{repo}/data/*.txt"), [f"{repo}/data/a.txt"])
    with files.open(f"{repo}/data/a.txt", "rb", block_size=100) as file:
        file.seek(-50, 2)
        expect("The last bytes", file.read(), TEXT[-50:])


def a_broken_download_goes_on(target: Target) -> None:
    """A connection cut at half costs that half alone: the rest comes by a range, and both make the file."""
    content = bytes(range(256)) * (LARGE // 256)
    repo = target.repository()
    target.api.upload_file(path_or_fileobj=target.file(content), path_in_repo="w.bin", repo_id=repo)
    place = f"/{repo}/resolve/main/w.bin"
    first = target.request("GET", place, most=len(content) // 2).body
    headers = {"Range": f"bytes={len(first)}-"}
    rest = target.request("GET", place, headers=headers)
    if rest.status == 302:
        first = target.request("GET", rest.header("Location"), token=None, most=len(content) // 2).body
        headers = {"Range": f"bytes={len(first)}-"}
        rest = target.request("GET", rest.header("Location"), token=None, headers=headers)
    expect("The status of the rest", rest.status, 206)
    expect("The size of the rest", len(rest.body), len(content) - len(first))
    expect_that(first + rest.body == content, "the file, byte for byte")
    path = Path(target.api.hf_hub_download(repo, "w.bin"))
    expect_that(path.read_bytes() == content, "the file of the client, byte for byte", path.stat().st_size)


def thousands_of_files_come_and_go(target: Target) -> None:
    """A folder of 5,000 files is committed, listed and downloaded."""
    repo = target.repository()
    files = {f"part-{n % 50:02}/{n}.txt": b"%d" % n for n in range(MANY)}
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    target.api.create_commit(repo, operations, commit_message="Many")
    listed = set(target.api.list_repo_files(repo)) - {".gitattributes"}
    expect_that(listed == set(files), f"{MANY} files listed", len(listed))
    folder = Path(target.api.snapshot_download(repo, allow_patterns="part-0*/*"))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.txt")}
    wanted = {path for path in files if path.startswith("part-0")}
    expect_that(found == wanted, f"{len(wanted)} files fetched", len(found))


CASES = (
    Case(a_file_comes_as_it_was_sent),
    Case(a_snapshot_has_every_file),
    Case(head_tells_the_size),
    Case(the_etag_is_the_contents),
    Case(content_is_not_packed),
    Case(ranges_are_exact),
    Case(an_absent_file_is_remembered),
    Case(a_new_repository_has_a_commit),
    Case(a_model_is_described),
    Case(moments_are_spelled_one_way),
    Case(trees_are_listed),
    Case(paths_are_looked_up),
    Case(models_are_listed),
    Case(pages_are_linked),
    Case(a_hostile_card_breaks_nobody),
    Case(headers_of_tensors_are_read),
    Case(the_file_system_reads),
    Case(a_broken_download_goes_on, long=True),
    Case(thousands_of_files_come_and_go, long=True),
)
