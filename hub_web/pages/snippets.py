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
WITHOUT_WEIGHTS = "no_checkpoint"
FAULTY = ("incomplete", "damaged", "invalid_configuration")
GENERATING = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines to copy, highlighted."""

    name: str
    label: str
    code: Markup


def snippets(
    repository: Repository,
    model: Model,
    endpoint: str,
    status: str | None = None,
    reason: str = "",
    *,
    is_writer: bool = False,
) -> tuple[Snippet, ...]:
    """The ways to use a model: from this hub at `endpoint`, or from upstream where its weights are there.

    What is not known to load is not offered first, and says why. status, reason: of a hosted model's verdict;
    is_writer: whether who looks at it may bring its weights.
    """
    name, address = repository.repo_id, endpoint
    is_elsewhere = repository.is_linked or status == WITHOUT_WEIGHTS
    if is_elsewhere:
        name, address = repository.upstream or name, HUGGING_FACE
    warning = caution(status, reason, model)
    may_host = repository.is_linked or is_writer
    shell = with_shell(repository.repo_id, endpoint)
    if is_elsewhere and (repository.upstream or may_host):
        shell = with_upstream(repository, endpoint, may_host=may_host)
    fault = warning if status in FAULTY else []  # of the checkpoint itself: whoever loads it should know
    ways = [
        ("transformers", "transformers", "python", [*fault, *with_transformers(name, address, model)]),
        ("cli", gettext("Command line"), "bash", shell),
    ]
    if is_elsewhere and not repository.upstream:
        del ways[0]  # there are no weights anywhere that we know of
    else:
        ours = ("modelcenter", "modelcenter", "python", [*warning, *with_loader(name, address, model)])
        ways.insert(len(ways) if warning else 0, ours)
    return tuple(
        Snippet(key, label, highlighted("\n".join(lines), lexer)) for key, label, lexer, lines in ways
    )


def caution(status: str | None, reason: str, model: Model) -> list[str]:
    """Comments that say why a model may not load with us; none where nothing speaks against it."""
    if status in (None, WITHOUT_WEIGHTS):  # as published: judged by its family
        is_promised = model.model_type is None or model.model_type in FAMILIES
        return [] if is_promised else ["# " + gettext("This architecture is not supported yet.")]
    if status == "complete":
        return []
    if status == "pending":
        return ["# " + gettext("Whether this loads is being verified.")]
    if status == "unknown_architecture":
        return ["# " + gettext("This architecture is not supported yet.")]
    return ["# " + gettext("This does not load with ModelCenter."), f"# {' '.join(reason.split())}"]


def with_loader(name: str, address: str, model: Model) -> list[str]:
    """Our own call."""
    greeting = "你好，世界" if "zh" in (model.card.get("language") or ()) else "Hello, world"
    lines = [
        "from modelcenter import load",
        "",
        f'model = load("{name}", endpoint="{address}")',
        f'inputs = model.tokenizer("{greeting}", return_tensors="pt")',
    ]
    if auto_class(architecture(model)) in GENERATING:
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
    auto = auto_class(architecture(model))
    return [
        *here,
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}"{trust})',
        f'model = {auto}.from_pretrained("{name}"{trust})',
    ]


def with_shell(name: str, endpoint: str) -> list[str]:
    """Fetching and checking it."""
    return [
        f"export MODELCENTER_ENDPOINT={endpoint}",
        f"modelcenter download {name}",
        f"modelcenter verify {name}",
    ]


def with_upstream(repository: Repository, endpoint: str, *, may_host: bool) -> list[str]:
    """Fetching it where its weights are, and hosting it here."""
    fetching = [
        "# " + gettext("Fetch it from its publisher"),
        f"modelcenter download {repository.upstream} --endpoint {HUGGING_FACE}",
    ]
    hosting = [
        "# " + gettext("Host it here"),
        f"modelcenter upload ./{repository.name} {repository.repo_id} --endpoint {endpoint}",
    ]
    parts = [fetching] * bool(repository.upstream) + [hosting] * may_host
    return "\n\n".join("\n".join(part) for part in parts).split("\n")


def architecture(model: Model) -> str | None:
    """The class in config.json; of an entry without files the one that its parameters were counted with."""
    block = (model.card or {}).get("modelcenter")
    counted = block.get("counted_as") if isinstance(block, dict) else None
    return model.architecture or (counted if isinstance(counted, str) else None)


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
