"""What pages show of a model, made from the registry's rows. Chooses words and order, decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import url_for
from flask_babel import lazy_gettext

from hub_web import context, i18n
from hub_web.i18n import gettext
from hub_web.pages import formats, labels
from hub_web.pages.formats import Moment, Parameters
from hub_web.pages.state import State
from modelcenter.registry import access

if TYPE_CHECKING:
    from modelcenter.registry.tables.models import Model
    from modelcenter.registry.tables.repositories import Repository

HUGGING_FACE = "https://huggingface.co"

WINDOW_UNITS = ((10**6, "M"), (10**3, "K"))

# status: (tone, icon, badge)
VERDICTS = {
    "complete": ("good", "check", lazy_gettext("Loads")),
    "incomplete": ("bad", "cross", lazy_gettext("Does not load")),
    "damaged": ("bad", "warn", lazy_gettext("Damaged")),
    "invalid_configuration": ("bad", "warn", lazy_gettext("Invalid configuration")),
    "unknown_architecture": ("quiet", "question", lazy_gettext("Unknown architecture")),
    "no_checkpoint": ("quiet", "file", lazy_gettext("No weights")),
}


@dataclass(frozen=True, slots=True)
class Said:
    """A title or a description, and the language it is in as a `lang` attribute."""

    text: str
    lang: str
    is_title: bool


@dataclass(frozen=True, slots=True)
class Badge:
    """A short claim; its tone is good, warn, bad or quiet."""

    tone: str
    icon: str
    label: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Tag:
    """A property that leads to the models which share it."""

    icon: str
    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Row:
    """A model in the list."""

    href: str
    owner: str
    name: str
    titles: tuple[Said, ...]
    task: str | None
    license: str | None
    context_length: str | None
    downloads: str | None
    updated: Moment
    parameters: Parameters | None
    bytes: str | None
    verdict: Badge | None
    linked: Badge | None
    private: Badge | None


@dataclass(frozen=True, slots=True)
class Head:
    """The top of a model's pages."""

    id: str
    owner: str
    name: str
    owner_href: str
    card_href: str
    files_href: str | None
    discussions_href: str
    access_href: str | None
    titles: tuple[Said, ...]
    tags: tuple[Tag, ...]
    linked: bool
    private: bool
    badge: Badge | None = None  # what is to be known before all else


def row(repository: Repository, model: Model | None) -> Row:
    """The list's row of a model."""
    return Row(
        href=address(repository.namespace, repository.name),
        owner=repository.namespace,
        name=repository.name,
        titles=titles(model, repository.name),
        task=labels.task(model.pipeline_tag) if model and model.pipeline_tag else None,
        license=labels.license_name(model.license) if model and model.license else None,
        context_length=window(model.context_length) if model and model.context_length else None,
        downloads=formats.compact(repository.downloads) if repository.downloads else None,
        updated=formats.moment(repository.updated_at),
        parameters=formats.parameters(model.parameters) if model and model.parameters else None,
        bytes=formats.size(model.size_bytes) if model and model.size_bytes else None,
        verdict=None if repository.is_linked else verdict_badge(model.verdict if model else None),
        linked=linked_badge() if repository.is_linked else None,
        private=Badge("quiet", "lock", gettext("Private")) if repository.private else None,
    )


def head(repository: Repository, model: Model | None, revision: str) -> Head:
    """The top of a model's pages, at `revision`."""
    owner, name = repository.namespace, repository.name
    return Head(
        id=repository.repo_id,
        owner=repository.namespace,
        name=repository.name,
        owner_href=State().toggled("organization", repository.namespace).href(),
        card_href=address(owner, name),
        files_href=None
        if repository.is_linked
        else url_for("pages.tree", owner=owner, name=name, revision=revision),
        discussions_href=url_for("pages.discussions", owner=owner, name=name),
        access_href=access_requests_address(repository),
        titles=titles(model, repository.name),
        tags=tags(model) if model else (),
        linked=repository.is_linked,
        private=repository.private,
    )


def titles(model: Model | None, name: str) -> tuple[Said, ...]:
    """Title and description in the page's language, else in the other; none that repeats the name."""
    if model is None:
        return ()
    own, other = ("zh", "en") if i18n.language() == "zh" else ("en", "zh")
    found = []
    for kind in ("title", "description"):
        for code in (own, other):
            text = getattr(model, f"{kind}_{code}")
            if text:
                if alike(text) != alike(name):
                    found.append(Said(text, i18n.TAGS[code], kind == "title"))
                break
    return tuple(found)


def alike(text: str) -> str:
    """`text` by its letters and digits alone: two spellings of one name are equal."""
    return "".join(character for character in text.casefold() if character.isalnum())


def tags(model: Model) -> tuple[Tag, ...]:
    """Task, family and licence, each leading to the models that share it."""
    found = []
    for facet, icon, value, label in (
        ("task", "task", model.pipeline_tag, labels.task),
        ("family", "layers", model.family, labels.family),
        ("license", "scale", model.license, labels.license_name),
    ):
        if value:
            found.append(Tag(icon, label(value), State().toggled(facet, value).href()))
    return tuple(found)


def verdict_badge(status: str | None) -> Badge | None:
    """What the list says of a verdict: nothing where there is none yet."""
    if status not in VERDICTS:
        return None
    tone, icon, label = VERDICTS[status]
    explanations = {
        "complete": gettext("Every tensor is accounted for: loads with ModelCenter"),
        "incomplete": gettext("Tensors are missing, unexpected or of another shape"),
        "damaged": gettext("A weight file contradicts its own header or index"),
        "invalid_configuration": gettext("config.json says what no model can be"),
        "unknown_architecture": gettext("ModelCenter has no architecture for this checkpoint yet"),
        "no_checkpoint": gettext("No weights have been uploaded: there is nothing to load here"),
    }
    return Badge(tone, icon, str(label), explanations[status])


def linked_badge() -> Badge:
    """The mark of an entry whose weights are elsewhere."""
    return Badge(
        "quiet", "link", gettext("Linked"), gettext("A catalogue entry: the weights are with their publisher")
    )


def address(owner: str, name: str) -> str:
    """The page of a model."""
    return url_for("pages.model", owner=owner, name=name)


def access_requests_address(repository: Repository) -> str | None:
    """Where those who administer a gated model answer who asks to read it; None for all others."""
    if not repository.gated or not access.may(context.actor(), "admin", repository):
        return None
    return url_for("pages.access_requests", owner=repository.namespace, name=repository.name)


def window(tokens: int) -> str:
    """A context length as people say it: 512, 4K, 128K."""
    return (
        f"{tokens // 1024}K" if tokens >= 1024 and tokens % 1024 == 0 else formats.short(tokens, WINDOW_UNITS)
    )
