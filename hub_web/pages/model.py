"""A model's page: `/OWNER/NAME`. What it is, whether it loads, how to use it, what its author says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask import make_response, redirect, render_template

from hub_web import context
from hub_web.i18n import gettext, ngettext
from hub_web.pages import card as cards
from hub_web.pages import conversion, files, formats, frame, gate, holding, pull, snippets, verdicts
from hub_web.pages import facts as known
from hub_web.pages.presenters import HUGGING_FACE, Head, Said, address, head, verdict_badge
from modelcenter.registry import access, repositories
from modelcenter.registry.cards import Card, Links, read_card
from modelcenter.registry.tables import Model, Repository, Verification
from modelcenter.verification import Verdict

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

README = "README.md"
LARGEST_CARD = 2 << 20  # bytes of a README.md that are read
SHOWN_FILES = 12
DESCRIPTION = 160  # characters that search engines show


@dataclass(frozen=True, slots=True)
class Linked:
    """Where a linked entry's weights are."""

    upstream: str
    href: str
    form: frame.Form | None


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model as its page shows it."""

    head: Head
    description: str
    linked: Linked | None
    verdict: verdicts.VerdictView | None
    gate: gate.GateView | None
    notices: tuple[holding.Notice, ...]
    conversion: conversion.ConversionView | None
    parameters: formats.Parameters | None
    dtypes: tuple[known.Dtype, ...]
    facts: tuple[known.Fact, ...]
    memory: tuple[known.Memory, ...]
    snippets: tuple[snippets.Snippet, ...]
    card: tuple[cards.Part, ...]
    files: tuple[files.FileRow, ...]
    files_summary: str
    files_more: bool


def show(owner: str, name: str) -> Response:
    """The page of a model."""
    session = context.session()
    repository = repositories.get(session, context.actor(), f"{owner}/{name}")
    if repository.repo_id != f"{owner}/{name}":  # another case: one model, one address
        return redirect(address(repository.namespace, repository.name))
    model = session.get(Model, repository.id) or Model(repository_id=repository.id, card={}, tags=[])
    view = linked_view(repository, model) if repository.is_linked else hosted_view(repository, model)
    page = frame.make(indexed=not repository.private)
    return make_response(render_template("model.html", view=view, page=page))


def hosted_view(repository: Repository, model: Model) -> ModelView:
    """The page of a model whose files are here, at the head of its default branch."""
    session = context.session()
    revision = repository.default_branch
    commit = repositories.resolve(session, repository, revision)
    entries = repositories.tree(session, repository, commit)
    verification = session.get(Verification, (repository.id, commit.oid))
    shown = [entry for entry in entries if entry.kind == "file" and not entry.name.startswith(".")]
    stored = sum(entry.size for entry in entries)
    return view_of(
        repository,
        model,
        revision=revision,
        commit=commit.oid,
        card=cards.parts(card_among(entries), Links(repository.repo_id, revision)),
        verdict=verdict_view(verification),
        converted=conversion.view(repository, commit.oid, entries),
        notices=holding.notices(repository, revision, commit),
        status=verification.status if verification else "pending",
        rows=tuple(
            files.file_row(repository, revision, entry) for entry in files.largest_first(shown)[:SHOWN_FILES]
        ),
        summary=", ".join(
            [
                ngettext(
                    "%(number)s file", "%(number)s files", len(shown), number=formats.number(len(shown))
                ),
                formats.size(model.size_bytes or stored),
            ]
        ),
        more=len(entries) > min(len(shown), SHOWN_FILES),
    )


def linked_view(repository: Repository, model: Model) -> ModelView:
    """The page of a catalogue entry, whose files are with their publisher."""
    upstream = repository.upstream or repository.repo_id
    return view_of(
        repository,
        model,
        revision="main",
        card=cards.parts(read_card(model.card_text or ""), Links(repository.repo_id, "main")),
        linked=Linked(upstream, f"{HUGGING_FACE}/{upstream}", pull.form(repository.repo_id)),
    )


def view_of(
    repository: Repository,
    model: Model,
    *,
    revision: str,
    card: tuple[cards.Part, ...],
    commit: str | None = None,
    linked: Linked | None = None,
    verdict: verdicts.VerdictView | None = None,
    converted: conversion.ConversionView | None = None,
    notices: tuple[holding.Notice, ...] = (),
    status: str | None = None,
    rows: tuple[files.FileRow, ...] = (),
    summary: str = "",
    more: bool = False,
) -> ModelView:
    """What both kinds of pages share."""
    top = head(repository, model, revision)
    if status == snippets.WITHOUT_WEIGHTS:
        top = replace(top, badge=verdict_badge(status))
    reason = verdict.sentence if verdict else ""
    return ModelView(
        head=top,
        description=description(repository, top.titles),
        linked=linked,
        verdict=verdict,
        gate=gate.view(repository) if linked is None else None,
        notices=notices,
        conversion=converted,
        parameters=formats.parameters(model.parameters) if model.parameters else None,
        dtypes=known.dtypes(model.parameters_by_dtype or {}),
        facts=known.facts(repository, model, commit),
        memory=known.memory(model.parameters) if model.parameters else (),
        snippets=snippets.snippets(
            repository,
            model,
            context.address(),
            status,
            reason,
            is_writer=access.may(context.actor(), "write", repository),
        ),
        card=card,
        files=rows,
        files_summary=summary,
        files_more=more,
    )


def verdict_view(verification: Verification | None) -> verdicts.VerdictView:
    """What verification said of the commit, or that it is under way."""
    if verification is None:
        return verdicts.pending()
    verdict = Verdict.from_json(verification.report)
    return verdicts.present(verdict, verification.version, verification.verified_at)


def card_among(entries: list[repositories.Entry]) -> Card:
    """The card in a revision's README.md, an empty one where there is none."""
    for entry in entries:
        if entry.path == README and entry.sha256 and entry.kind == "file":
            with context.hub().blobs.open(entry.sha256) as file:
                return read_card(file.read(LARGEST_CARD))
    return Card()


def description(repository: Repository, titles: tuple[Said, ...]) -> str:
    """One line for search engines."""
    said = " · ".join(title.text for title in titles)
    text = (
        f"{repository.repo_id}: {said}"
        if said
        else gettext("%(name)s on ModelCenter.", name=repository.repo_id)
    )
    return text if len(text) <= DESCRIPTION else text[: DESCRIPTION - 1].rstrip() + "…"
