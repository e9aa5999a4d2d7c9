"""What to type to use a model: our loader, transformers, the command line. With this hub's own address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from hub_web.i18n import gettext
from hub_web.pages.presenters import HUGGING_FACE
from modelcenter.registry.rendering import CODE_PREFIX

if TYPE_CHECKING:
    from modelcenter.registry.tables.models import Model
    from modelcenter.registry.tables.repositories import Repository

# How an architecture's name ends, and the class of transformers that brings its head along.
AUTO_CLASSES = (
    ("ForCausalLM", "AutoModelForCausalLM"),
    ("LMHeadModel", "AutoModelForCausalLM"),
    ("ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
    ("ForMaskedLM", "AutoModelForMaskedLM"),
    ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "AutoModelForTokenClassification"),
    ("ForQuestionAnswering", "AutoModelForQuestionAnswering"),
)
GENERATING = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines to copy, highlighted."""

    name: str
    label: str
    code: Markup


def snippets(repository: Repository, model: Model | None, endpoint: str) -> tuple[Snippet, ...]:
    """The ways to use a model: from this hub at `endpoint`, or from upstream where it is linked."""
    auto = auto_class(model.architecture if model else None)
    if repository.is_linked:
        name, address = repository.upstream or repository.repo_id, HUGGING_FACE
        shell = [
            f"# {gettext('Fetch it from its publisher')}",
            f"modelcenter download {name} --endpoint {HUGGING_FACE}",
            "",
            f"# {gettext('Host it here')}",
            f"modelcenter upload ./{repository.name} {repository.repo_id} --endpoint {endpoint}",
        ]
    else:
        name, address = repository.repo_id, endpoint
        shell = [
            f"export MODELCENTER_ENDPOINT={endpoint}",
            f"modelcenter download {name}",
            f"modelcenter verify {name}",
        ]
    return (
        Snippet(
            "modelcenter", "modelcenter", highlighted("\n".join(with_loader(name, address, auto)), "python")
        ),
        Snippet(
            "transformers",
            "transformers",
            highlighted("\n".join(with_transformers(name, address, auto)), "python"),
        ),
        Snippet("cli", gettext("Command line"), highlighted("\n".join(shell), "bash")),
    )


def with_loader(name: str, address: str, auto: str) -> list[str]:
    """Our own call."""
    lines = ["from modelcenter import load", "", f'model = load("{name}", endpoint="{address}")']
    return [*lines, "print(model.report)"]


def with_transformers(name: str, address: str, auto: str) -> list[str]:
    """The same files through transformers, which reads the hub's address when it is imported."""
    here = [] if address == HUGGING_FACE else ["import os", f'os.environ["HF_ENDPOINT"] = "{address}"', ""]
    return [
        *here,
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
        f'model = {auto}.from_pretrained("{name}")',
    ]


def auto_class(architecture: str | None) -> str:
    """The class of transformers for an architecture, such as AutoModelForCausalLM for LlamaForCausalLM."""
    for ending, auto in AUTO_CLASSES:
        if architecture and architecture.endswith(ending):
            return auto
    return "AutoModel"


def highlighted(code: str, language: str) -> Markup:
    """`code` as spans with classes."""
    formatter = HtmlFormatter(nowrap=True, classprefix=CODE_PREFIX)
    return Markup(highlight(code, get_lexer_by_name(language), formatter))  # noqa: S704  Pygments escapes it
