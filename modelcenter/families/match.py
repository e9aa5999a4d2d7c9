"""From a configuration and a header to the one family that claims the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from modelcenter.checkpoint.header import FLOATING
from modelcenter.errors import CopyDiffers, UnknownArchitecture
from modelcenter.families import native, openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import CLASSIFYING as DECODER_TASKS
from modelcenter.families.family import Family, Header, in_layout, with_head
from modelcenter.families.table import CLASSES, FAMILIES
from modelcenter.models.config import ClassificationHead, Decoder, MaskedLanguageHead, ModelConfig, check_size
from modelcenter.weights.plan import Audit, audit
from modelcenter.weights.relations import sources
from modelcenter.weights.rules import WeightMap, wrapper

# The files in this folder that declare a family.
FILES = frozenset((*FAMILIES.values(), *CLASSES.values(), *openbmb.FILES.values()))

# What weights are stored as; integers are codes, which mean nothing without their scales.
READABLE = frozenset((*FLOATING, "F8_E4M3", "F8_E5M2"))


@dataclass(frozen=True)
class Match:
    """A checkpoint's family, in one dialect of names, and the whole model that it carries as it is stored.

    corrections: where the files say other than config.json and are followed.
    """

    family: Family
    dialect: str
    configuration: Configuration
    config: ModelConfig
    corrections: tuple[str, ...] = ()

    def weights(self, config: ModelConfig, header: Header) -> WeightMap:
        """The map of `config`, maybe with other heads or layouts, bound to the checkpoint's names."""
        weights = self.family.dialects[self.dialect](config)
        return self.family.spelled(weights, self.configuration.architecture).bind(header)

    def audit(self, header: Header) -> Audit:
        """The whole model held against the header."""
        return self.audited(header)[1]

    def audited(self, header: Header) -> tuple[WeightMap, Audit]:
        """The map of the whole model, and the same held against the header."""
        weights = self.weights(self.config, header)
        return weights, audit(weights, header, dtypes=READABLE)

    def unknown_class(self, audit: Audit) -> UnknownArchitecture | None:
        """The error that this class is not known, where that explains why the tensors are others."""
        named = self.configuration.architecture
        # All decoders' classes that tell classes apart are made alike.
        tells = isinstance(self.config, Decoder) and isinstance(self.config.head, ClassificationHead)
        if audit.ok or not named or named in self.family.classes or tells:
            return None
        alike = f", and of these the classes …For{', …For'.join(DECODER_TASKS)}"
        return UnknownArchitecture(
            f"config.json names the class {named}, which the family {self.family.name} does not know: "
            f"it knows {', '.join(self.family.classes)}{alike if isinstance(self.config, Decoder) else ''}. "
            f"{audit.problems()}."
        )

    def untied(self, header: Header) -> Match | None:
        """The same with a head of its own, None where the files do not hold one: with a bias of its own or,
        as files of tied models have it, without."""
        head: Any = getattr(self.config, "head", None)
        if head is None or not head.tied:
            return None
        heads = [replace(head, tied=False)]
        if isinstance(head, MaskedLanguageHead) and head.own_bias:
            heads.append(replace(head, tied=False, own_bias=False))
        matches = (replace(self, config=replace(self.config, head=own)) for own in heads)
        return next((matched for matched in matches if matched.audit(header).ok), None)

    def settle(self, audit: Audit, header: Header, differs: Callable[[str, str], bool]) -> Match:
        """Compare every redundant tensor with the one it repeats.

        differs: whether the first of two tensors holds other values than the second. A head that does makes
        the model untied, whatever config.json says, and this a correction. Raises CopyDiffers for any other:
        nothing is dropped.
        """
        different = {copy: original for copy, original in audit.copies.items() if differs(copy, original)}
        if not different:
            return self
        own = self.untied(header)
        for copy, original in different.items():
            if own is None or copy in own.audit(header).copies:
                raise CopyDiffers(copy, original, header[copy].file)
        assert own is not None
        told = (
            f"config.json ties {copy} to {original}, the files hold other values: loaded untied."
            for copy, original in different.items()
        )
        return replace(own, corrections=(*self.corrections, *told))

    def arranged(self, head: str | None = None, layout: str = "stored") -> ModelConfig:
        """The config that is asked for: see `with_head`, `in_layout`."""
        if self.dialect == native.DIALECT and native.is_stacked(self.config):
            layout = "stored"  # as it runs fastest and splits over ranks
        return in_layout(with_head(self.config, head), layout)


def family(name: str) -> Family:
    """The family in `modelcenter/families/NAME.py`."""
    loaded: Family = import_module(f"modelcenter.families.{name}").FAMILY
    return loaded


def tokenizer_kind(named: str) -> str | None:
    """The kind of tokeniser (a key of tokenizers/rules.py) of a `model_type`, or of a family by its name."""
    file = FAMILIES.get(named, named.replace("-", "_"))
    if file not in FILES:
        return None
    told = family(file).tokenizer
    return (told if isinstance(told, str) else told.get(named)) or None


def implied_type(configuration: Configuration) -> str | None:
    """The `model_type` of files that name a class alone, or nothing; None where neither class nor keys tell.

    Of a class that several know (InternLM 3 is saved as Llama too), it is the one the class is named after.
    """
    architecture = configuration.architecture
    families = list(map(family, dict.fromkeys((*FAMILIES.values(), *CLASSES.values()))))
    if claimed := [f.model_types[0] for f in families if f.claims(configuration.values)]:
        return claimed[0]
    types = [t for f in families if architecture in f.classes for t in f.model_types]
    namesakes = [t for t in types if architecture.lower().startswith(re.sub("[-_]", "", t).lower())]
    return max(namesakes, key=len) if namesakes else types[0] if len(types) == 1 else None


def match(values: Mapping[str, Any], header: Header, architecture: str | None = None) -> Match:
    """The family of a checkpoint, from its config.json and its header: by `model_type`, else by what tells it
    instead (`implied_type`).

    architecture: of a checkpoint in OpenBMB's original form, which names none; None: what its tensors tell.
    Raises UnknownArchitecture where none claims it, ConfigurationInvalid where its values cannot be meant.
    """
    header = openbmb.unwrapped(wrapper(header), header)
    configuration = Configuration(values)
    model_type = values.get("model_type")
    if model_type is None and (original := openbmb.architecture(values, header)) is not None:
        return _original(architecture or original, configuration, header)
    if architecture is not None:
        raise UnknownArchitecture(
            f"architecture={architecture!r} is asked for, but config.json and the tensors say what the "
            "checkpoint is: only those in OpenBMB's original form leave it open."
        )
    if model_type is None:
        model_type = implied_type(configuration)
        configuration = Configuration({**values, "model_type": model_type})
    if not isinstance(model_type, str):
        named = configuration.architecture[:100]
        raise UnknownArchitecture(
            "config.json names no model_type, and architectures names "
            f"{f'the class {named}, which tells none' if named else 'no class'}: no family can claim the "
            "checkpoint."
        )
    if model_type == native.MODEL_TYPE:
        found = native.family(str(values.get("family", ""))[:100])
        return Match(found, native.DIALECT, configuration, checked(found.config(configuration, header)))
    if model_type not in FAMILIES:
        raise UnknownArchitecture(
            f"config.json names the model_type {model_type!r}, which no family claims. "
            f"Known are: {', '.join(sorted(FAMILIES))}."
        )
    if "quantization_config" in configuration:
        told = values["quantization_config"]
        method = told.get("quant_method") if isinstance(told, Mapping) else None
        raise UnknownArchitecture(
            f"config.json has a quantization_config ({str(method)[:40]}): quantised files are not read. "
            "Is there a repository of the same model in 16 bits?"
        )
    found = family(CLASSES.get(configuration.architecture, FAMILIES[model_type]))
    config = checked(found.config(configuration, header))
    return padded(one_biased(Match(found, "huggingface", configuration, config), header), header)


def one_biased(matched: Match, header: Header) -> Match:
    """The match with an untied masked-LM head that has one bias, where the files hold no other: transformers
    4 kept the two as one tensor, and wrote it once."""
    config: Any = matched.config
    head = getattr(config, "head", None)
    if not isinstance(head, MaskedLanguageHead) or head.tied or not (head.own_bias and head.bias):
        return matched
    rules, shapes = matched.weights(config, header).rules, config.parameters()
    decoder, common = (
        next(source.names[0] for source, _ in sources(rules[name], shapes[name]))
        for name in ("head.decoder.bias", "head.bias")
    )
    if decoder in header or common not in header:
        return matched
    return replace(matched, config=replace(config, head=replace(head, own_bias=False)))


def padded(matched: Match, header: Header) -> Match:
    """The match with the vocabulary that the files have, where all its tables have more rows than config.json
    says: rows of padding, or of tokens that were added later. Else as it is, for the audit to tell."""
    expected = matched.config.parameters().get("embedding.weight")
    if expected is None or any(tuple(tensor.shape) == expected for tensor in header.values()):
        return matched
    weights, stated = matched.weights(matched.config, header), matched.config.vocab_size
    name = next(source.names[0] for source, _ in sources(weights.rules["embedding.weight"], expected))
    found = tuple(header[name].shape) if name in header else ()
    if stated is None or len(found) != 2 or found[1:] != expected[1:] or found[0] <= stated:
        return matched
    told = (
        f"config.json has vocab_size {stated}, all tables of the vocabulary have {found[0]} rows ({name}): "
        f"loaded with {found[0]}."
    )
    config: ModelConfig = replace(matched.config, vocab_size=found[0])  # type: ignore[arg-type]
    larger = replace(matched, config=config, corrections=(*matched.corrections, told))
    before, after = ({m.name for m in m.audit(header).misshapen} for m in (matched, larger))
    return larger if after < before else matched


def checked(config: ModelConfig) -> ModelConfig:
    """`config`, which has no more parts than any model. Raises ConfigurationInvalid."""
    check_size(config)
    return config


def _original(architecture: str, configuration: Configuration, header: Header) -> Match:
    """A checkpoint in OpenBMB's original form."""
    if architecture not in openbmb.FILES:
        raise UnknownArchitecture(
            f"The architecture {architecture!r} has no original form. "
            f"Known are: {', '.join(sorted(openbmb.FILES))}."
        )
    prefix = openbmb.wrapper(configuration.values, header)
    found = openbmb.held(family(openbmb.FILES[architecture]), prefix, header)
    config = found.reader(openbmb.DIALECT)(configuration, header)
    return Match(found, openbmb.DIALECT, configuration, checked(config))
