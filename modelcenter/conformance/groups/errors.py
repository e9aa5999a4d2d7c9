"""Refusals that raise the right exception, tell what to do, and disclose nothing."""

from __future__ import annotations

import secrets
from functools import partial

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from modelcenter.conformance.cases import Case, expect, expect_raises, expect_that
from modelcenter.conformance.groups.write import NDJSON, added, commit, paths
from modelcenter.conformance.target import Target


def somebody_is_known(target: Target) -> None:
    """`whoami` tells the person, what the token is called and what it may."""
    told = target.api.whoami()
    expect("type", told["type"], "user")
    token = told["auth"]["accessToken"]
    expect_that(token["displayName"] and token["role"], "displayName and role of the token", token)
    expect_that(isinstance(told["orgs"], list), "orgs as a list", told)


def a_missing_repository_is_told(target: Target) -> None:
    """A missing repository is RepoNotFound: 404 with a token, 401 without one."""
    repo = f"{target.name}/missing-{secrets.token_hex(6)}"
    for api, status in ((target.api, 404), (target.anonymous, 401)):
        for call in (partial(api.model_info, repo), partial(api.hf_hub_download, repo, "config.json")):
            error = expect_raises(RepositoryNotFoundError, call, "What is not there")
            expect("The status", error.response.status_code, status)
            expect("X-Error-Code", error.response.headers.get("X-Error-Code"), "RepoNotFound")


def an_id_without_owner_is_told(target: Target) -> None:
    """An id without its owner, such as `gpt2-nowhere`, is RepoNotFound too."""
    name = f"missing-{secrets.token_hex(6)}"
    expect_raises(RepositoryNotFoundError, lambda: target.api.model_info(name), "Its description")
    expect_raises(
        RepositoryNotFoundError, lambda: target.api.hf_hub_download(name, "config.json"), "A file of it"
    )


def a_private_repository_is_as_a_missing_one(target: Target) -> None:
    """To whoever may not read it, a private repository is told in the very words of a missing one."""
    private = target.repository({"a.txt": b"a"}, private=True)
    missing = f"{target.name}/conformance-{secrets.token_hex(6)}"
    for token in (None, target.other_token or None):
        for form in (
            "/api/models/{}",
            "/{}/resolve/main/a.txt",
            "/api/models/{}/tree/main",
            "/api/models/{}/refs",
        ):
            answers = [target.request("GET", form.format(repo), token=token) for repo in (private, missing)]
            told = [
                (
                    answer.status,
                    answer.header("X-Error-Code"),
                    answer.body.decode().replace(private, "…").replace(missing, "…"),
                )
                for answer in answers
            ]
            expect(f"The answer to {form}", told[0], told[1])
    listed = {model.id for model in target.anonymous.list_models(author=target.name)}
    expect_that(private not in listed, "no private repository in the public list", private)


def a_wrong_token_is_told(target: Target) -> None:
    """An invalid token is 401 with the words that clients know, and nothing of a missing repository."""
    repo = target.repository()
    api = HfApi(endpoint=target.endpoint, token=f"hf_{secrets.token_hex(17)}")
    error = expect_raises(HfHubHTTPError, lambda: api.model_info(repo), "A description")
    expect("The status", error.response.status_code, 401)
    message = error.response.headers.get("X-Error-Message")
    expect("X-Error-Message", message, "Invalid credentials in Authorization header")
    answer = target.request("GET", "/api/whoami-v2", token=str(api.token))
    expect("The status of whoami", answer.status, 401)


def others_may_not_write(target: Target) -> None:
    """Others read a public repository and change nothing: 403 for a person, 401 for nobody."""
    repo, other = target.repository({"a.txt": b"a"}), target.other
    expect("The id, read by another", other.model_info(repo).id, repo)
    for what, call in (
        ("A commit", lambda: other.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id=repo)),
        ("A branch", lambda: other.create_branch(repo, branch="b")),
        ("A deletion", lambda: other.delete_repo(repo)),
        ("Settings", lambda: other.update_repo_settings(repo, private=True)),
        ("A repository in another's name", lambda: other.create_repo(target.new_name())),
    ):
        error = expect_raises(HfHubHTTPError, call, what)
        expect(f"The status of: {what}", error.response.status_code, 403)
    answer = target.request(
        "POST", f"/api/models/{repo}/branch/b", {}, token=None, headers={"Content-Type": "application/json"}
    )
    expect("The status of a branch by nobody", answer.status, 401)
    expect("The files", paths(target, repo), {"a.txt"})


def a_missing_file_is_told(target: Target) -> None:
    """A missing file is EntryNotFound, and its message is ASCII even where its name is not."""
    repo = target.repository({"a.txt": b"a"})
    expect_raises(EntryNotFoundError, lambda: target.api.hf_hub_download(repo, "没有.txt"), "Its download")
    answer = target.request("GET", f"/{repo}/resolve/main/%E6%B2%A1%E6%9C%89.txt")
    expect("Status and code", (answer.status, answer.header("X-Error-Code")), (404, "EntryNotFound"))
    expect_that(
        answer.header("X-Error-Message").isascii(), "an ASCII X-Error-Message", answer.headers.items()
    )


def every_answer_has_an_id(target: Target) -> None:
    """The client's request id comes back, so that a log can be asked about a failure."""
    given = secrets.token_hex(12)
    answer = target.request("GET", "/api/models/no/such", headers={"X-Amzn-Trace-Id": given})
    expect("X-Request-Id", answer.header("X-Request-Id"), given)


def wrong_paths_are_refused(target: Target) -> None:
    """No commit adds a path that leads out of the repository or into its `.git`."""
    repo = target.repository()
    for path in ("../out.txt", "/etc/passwd", "a/../../b", ".git/config", "a//b", "", "a/./b"):
        answer = commit(target, repo, added(path, "x"))
        expect_that(400 <= answer.status < 500, f"4xx for {path!r}", answer.status)
    expect("The files", paths(target, repo), set())


def malformed_requests_are_the_senders_fault(target: Target) -> None:
    """What cannot be understood is 4xx with a JSON `error`: clients repeat what is 5xx."""
    repo = target.repository()
    wrong: list[tuple[str, bytes, dict[str, str]]] = [
        (f"/api/models/{repo}/commit/main", b"no json\n", NDJSON),
        (f"/api/models/{repo}/commit/main", b"", NDJSON),
        (f"/api/models/{repo}/commit/main", b'{"key": "file", "value": 5}\n', NDJSON),
        (f"/api/models/{repo}/preupload/main", b"[1]", {"Content-Type": "application/json"}),
        ("/api/repos/create", b'{"name": 5}', {"Content-Type": "application/json"}),
        ("/api/repos/create", b'{"name": "a/../b"}', {"Content-Type": "application/json"}),
        (f"/{repo}.git/info/lfs/objects/batch", b"{", {"Content-Type": "application/vnd.git-lfs+json"}),
    ]
    for path, body, headers in wrong:
        answer = target.request("POST", path, body, headers=headers)
        expect_that(400 <= answer.status < 500, f"4xx for {body!r} to {path}", answer.status)
        told = answer.json()
        expect_that(
            isinstance(told, dict) and ("error" in told or "message" in told), "an error in JSON", told
        )


CASES = (
    Case(somebody_is_known),
    Case(a_missing_repository_is_told),
    Case(an_id_without_owner_is_told),
    Case(a_private_repository_is_as_a_missing_one),
    Case(a_wrong_token_is_told),
    Case(others_may_not_write, others=True),
    Case(a_missing_file_is_told),
    Case(every_answer_has_an_id, required=False),
    Case(wrong_paths_are_refused),
    Case(malformed_requests_are_the_senders_fault),
)
