"""Models that everybody may see and only some may download."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from huggingface_hub.errors import GatedRepoError

from modelcenter.conformance.cases import Case, Missing, expect, expect_raises, expect_that
from modelcenter.conformance.target import Target


def gated(target: Target) -> str:
    """A new public repository behind a gate that its owner opens."""
    repo = target.repository({"config.json": b"{}"})
    target.api.update_repo_settings(repo, gated="manual")
    if target.api.model_info(repo).gated is False:
        raise Missing("The setting `gated` is taken and changes nothing.")
    return repo


def a_gated_model_is_seen_and_not_read(target: Target) -> None:
    """Others see a gated model's description; its files raise GatedRepoError: 403, or 401 for nobody."""
    repo = gated(target)
    expect("gated", target.other.model_info(repo).gated, "manual")
    for api, status in ((target.other, 403), (target.anonymous, 401)):
        error = expect_raises(
            GatedRepoError, partial(api.hf_hub_download, repo, "config.json"), "Its download"
        )
        expect("The status", error.response.status_code, status)
    expect("The owner's download", Path(target.api.hf_hub_download(repo, "config.json")).read_bytes(), b"{}")


def access_is_granted_and_taken_back(target: Target) -> None:
    """`grant_access` lets a person in, `reject_access_request` ends it, and the lists tell."""
    repo, name = gated(target), target.other_name
    target.api.grant_access(repo, name)
    accepted = [request.username for request in target.api.list_accepted_access_requests(repo)]
    expect("Who was accepted", accepted, [name])
    expect_that(
        target.content(repo, "config.json", token=target.other_token) == b"{}",
        "the file for whom it was granted",
    )
    target.api.reject_access_request(repo, name, rejection_reason=None)
    rejected = [request.username for request in target.api.list_rejected_access_requests(repo)]
    expect("Who was rejected", rejected, [name])
    answer = target.request("GET", f"/{repo}/resolve/main/config.json", token=target.other_token)
    told = answer.status, answer.header("X-Error-Code")
    expect("Status and code afterwards", told, (403, "GatedRepo"))


def a_gate_is_opened(target: Target) -> None:
    """`gated=False` opens the gate for everybody."""
    repo = gated(target)
    target.api.update_repo_settings(repo, gated=False)
    expect("gated", target.api.model_info(repo).gated, False)
    expect("A file for nobody", target.content(repo, "config.json", token=None), b"{}")


CASES = (
    Case(a_gated_model_is_seen_and_not_read, required=False, others=True),
    Case(access_is_granted_and_taken_back, required=False, others=True),
    Case(a_gate_is_opened, required=False),
)
