"""What a family is: how it reads a configuration, and where its tensors lie in each dialect of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from modelcenter.errors import HeadNotFound
from modelcenter.families.configuration import Configuration
from modelcenter.models import config as c
from modelcenter.weights.plan import Tensor
from modelcenter.weights.rules import WeightMap

Header = Mapping[str, Tensor]


class ReadsConfiguration(Protocol):
    """Facts over configuration: it gets the header too, for what config.json forgets or gets wrong."""

    def __call__(self, hf: Configuration, header: Header) -> c.ModelConfig:
        """The whole model that the checkpoint carries, with every head."""
        ...


def claims_none(values: Mapping[str, Any]) -> bool:
    """What most families claim of configurations that name no `model_type`."""
    return False


@dataclass(frozen=True)
class Family:
    """One architecture: its name, the `model_type`s it claims, its configuration and its weight maps.

    classes: those of transformers whose every tensor it knows. dialects: the names that files use -> the map
    of a config onto them. readers: a dialect with a config.json of its own -> how it is read. spellings: a
    class whose files name something otherwise -> how the map's names begin there, and how theirs do.
    tokenizer: whose rules in tokenizers/rules.py its tokeniser follows where no file tells, one for all
    `model_type`s or of each; "": none of them. claims: whether a config.json that names no `model_type` is
    its own.
    """

    name: str
    model_types: tuple[str, ...]
    classes: tuple[str, ...]
    config: ReadsConfiguration
    dialects: Mapping[str, Callable[[Any], WeightMap]]
    readers: Mapping[str, ReadsConfiguration] = field(default_factory=dict)
    spellings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tokenizer: str | Mapping[str, str] = ""
    claims: Callable[[Mapping[str, Any]], bool] = claims_none

    def reader(self, dialect: str) -> ReadsConfiguration:
        """How config.json of that dialect is read."""
        return self.readers.get(dialect, self.config)

    def spelled(self, weights: WeightMap, named: str) -> WeightMap:
        """The map with the prefix that files of the class `named` have too."""
        ours, theirs = self.spellings.get(named, ("", ""))
        is_prefix = bool(ours) and ours == weights.optional_prefix
        return replace(weights, prefixes=(theirs, *weights.prefixes)) if is_prefix else weights


def carries(header: Header, *prefixes: str) -> bool:
    """Whether some tensor's name begins with one of `prefixes`, at its start or after a dot."""
    return any(name.startswith(p) or f".{p}" in name for name in header for p in prefixes)


def has_language_head(hf: Configuration, header: Header, prefix: str, *heads: str) -> bool:
    """Whether a decoder's checkpoint carries a language head: its class says so, or its tensors do.

    heads: how a head's tensors begin. prefix: what the model's own tensors begin with inside a class that has
    a head; it decides for a tied head in a file that names no class.
    """
    if hf.architecture:
        return hf.architecture.endswith(("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")) or carries(
            header, *heads
        )
    return carries(header, *heads) or any(name.startswith(prefix) for name in header)


def with_head(config: c.ModelConfig, head: str | None) -> c.ModelConfig:
    """`config` with the heads that `load(head=…)` asks for.

    None: all that the checkpoint carries; "none": the model alone; a name: that one. Raises HeadNotFound.
    """
    if head is None:
        return config
    if head != "none" and head not in config.heads:
        raise HeadNotFound(head, config.heads)
    if isinstance(config, c.ImageEncoder):
        return replace(
            config,
            head=config.head if head == "image-classification" else None,
            pooler=config.pooler if head == "pooling" else None,
        )
    if isinstance(config, c.Encoder):
        kept = config.head if config.head and config.head.name == head else None
        pair = config.next_sentence if config.next_sentence and config.next_sentence.name == head else None
        pools = head == "pooling" or pair or (isinstance(kept, c.ClassificationHead) and kept.of == "pooled")
        return replace(config, head=kept, pooler=config.pooler if pools else None, next_sentence=pair)
    return config if head != "none" else replace(config, head=None)


def in_layout(config: c.ModelConfig, layout: str) -> c.ModelConfig:
    """`config` with every attention and feedforward in the layout called `layout`.

    fused: what runs fastest and shards. stored: as the checkpoint has it, which the family's config says.
    separate: matrix by matrix, where `stored` would not shard.
    """
    if layout == "stored":
        return config
    return with_blocks(config, lambda block: block.in_layout("fused" if layout == "fused" else "separate"))


def with_blocks(config: c.ModelConfig, change: Callable[[c.Block], c.Block]) -> c.ModelConfig:
    """`config` with `change` applied to each block; equal blocks stay one value."""
    known: dict[c.Block, c.Block] = {}

    def changed(blocks: tuple[c.Block, ...]) -> tuple[c.Block, ...]:
        for block in blocks:
            if block not in known:
                known[block] = change(block)
        return tuple(known[block] for block in blocks)

    if isinstance(config, c.EncoderDecoder):
        return replace(
            config,
            encoder=replace(config.encoder, blocks=changed(config.encoder.blocks)),
            decoder=config.decoder and replace(config.decoder, blocks=changed(config.decoder.blocks)),
        )
    return replace(config, blocks=changed(config.blocks))
