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
from modelcenter.families.table import FAMILIES
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


def snippets(repository: Repository, model: Model, endpoint: str) -> tuple[Snippet, ...]:
    """The ways to use a model: from this hub at `endpoint`, or from upstream where it is linked."""
    name, address = repository.repo_id, endpoint
    if repository.is_linked:
        name, address = repository.upstream or name, HUGGING_FACE
    ways = (
        ("modelcenter", "modelcenter", "python", with_loader(name, address, model)),
        ("transformers", "transformers", "python", with_transformers(name, address, model)),
        ("cli", gettext("Command line"), "bash", with_shell(repository, name, endpoint)),
    )
    return tuple(
        Snippet(key, label, highlighted("\n".join(lines), lexer)) for key, label, lexer, lines in ways
    )


def with_loader(name: str, address: str, model: Model) -> list[str]:
    """Our own call; a linked model of a family that we do not have yet is not promised to load."""
    is_promised = address != HUGGING_FACE or model.model_type is None or model.model_type in FAMILIES
    lines = [] if is_promised else ["# " + gettext("This architecture is not supported yet.")]
    greeting = "你好，世界" if "zh" in (model.card.get("language") or ()) else "Hello, world"
    lines += [
        "from modelcenter import load",
        "",
        f'model = load("{name}", endpoint="{address}")',
        f'inputs = model.tokenizer("{greeting}", return_tensors="pt")',
    ]
    if auto_class(model.architecture) in GENERATING:
        return [
            *lines,
            'ids = model.generate(inputs["input_ids"], max_new_tokens=20)',
            "print(model.tokenizer.decode(ids[0], skip_special_tokens=True))",
        ]
    return [*lines, "print(model(**inputs).last_hidden_state.shape)"]


def with_transformers(name: str, address: str, model: Model) -> list[str]:
    """The same files through transformers, which reads the hub's address when it is imported."""
    here = [] if address == HUGGING_FACE else ["import os", f'os.environ["HF_ENDPOINT"] = "{address}"', ""]
    trust = ", trust_remote_code=True" if "custom_code" in model.tags else ""
    auto = auto_class(model.architecture)
    return [
        *here,
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}"{trust})',
        f'model = {auto}.from_pretrained("{name}"{trust})',
    ]


def with_shell(repository: Repository, name: str, endpoint: str) -> list[str]:
    """Fetching and checking it; hosting it, where it is not hosted here."""
    if not repository.is_linked:
        return [
            f"export MODELCENTER_ENDPOINT={endpoint}",
            f"modelcenter download {name}",
            f"modelcenter verify {name}",
        ]
    return [
        "# " + gettext("Fetch it from its publisher"),
        f"modelcenter download {name} --endpoint {HUGGING_FACE}",
        "",
        "# " + gettext("Host it here"),
        f"modelcenter upload ./{repository.name} {repository.repo_id} --endpoint {endpoint}",
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
