"""CPM-1, CPM-3, CPM-Ant and GLM as transformers and OpenBMB write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelcenter.errors import CannotConvert
from modelcenter.families import openbmb
from modelcenter.families.family import with_blocks
from modelcenter.families.forms.form import HUGGINGFACE, Adapted, Form, Get, common, original, times
from modelcenter.models.config import Attention, BlankFiller, Block, FeedForward, LanguageHead, PrefixDecoder

if TYPE_CHECKING:
    from torch import Tensor


def _cpmant(c: PrefixDecoder, own: bool = False) -> dict[str, Any]:
    a, f, bias = c.blocks[0].attention, c.blocks[0].feedforward, c.position_bias
    assert isinstance(f, FeedForward) and c.prompts is not None
    size, heads, layers = ("dim_model", "num_heads", "num_layers") if own else (
        "hidden_size", "num_attention_heads", "num_hidden_layers",
    )  # fmt: skip
    kind = {} if own else common(c, "cpmant", "CpmAntForCausalLM" if c.head else "CpmAntModel")
    halves = [[not block.has_attention, not block.has_feedforward] for block in c.blocks]
    return {
        **kind,
        **({"mask_modules": halves} if own and any(map(any, halves)) else {}),
        "vocab_size": c.vocab_size,
        size: c.hidden_size,
        heads: a.num_heads,
        layers: c.num_layers,
        "dim_head": a.head_dim,
        "dim_ff": f.intermediate_size,
        "position_bias_num_buckets": bias.num_buckets,
        "position_bias_max_distance": bias.max_distance,
        "eps": c.blocks[0].norm.eps,
        "prompt_types": c.prompts.types,
        "prompt_length": c.prompts.length,
        "segment_types": c.segment_types,
    }


def _original_prefix(name: str) -> Callable[[PrefixDecoder], dict[str, Any]]:
    def describe(c: PrefixDecoder) -> dict[str, Any]:
        bias: Any = c.position_bias
        own = {
            "position_bias_num_buckets": bias.num_buckets,
            "position_bias_max_distance": bias.max_distance,
        }
        if c.prompts is not None:
            own |= {
                "prompt_types": c.prompts.types,
                "prompt_length": c.prompts.length,
                "segment_types": bias.num_segments,
                "absolute_inner_segment": bias.absolute_inner_segment,
            }
        return openbmb.described(name, c, **own)

    return describe


def _original_glm(c: Any) -> dict[str, Any]:
    return openbmb.described(
        "glm",
        c,
        position_size=c.block_positions.num_positions,
        sop_tok_id=c.start_token_id,
        eop_tok_id=c.eos_token_ids[0],
        mask_tok_id=c.mask_token_id,
    )


ANT_SUM = 1.05  # what CPM-Ant divides every sum by


def _ant_factors(c: PrefixDecoder) -> dict[str, float]:
    """What turns CPM-Ant's own values into transformers', parameter by parameter.

    Source: products and tables are divided by roots of sizes; h <- (h + f) / 1.05 leaves the sum undivided
    where the n-th f is multiplied by 1.05 ** n: the last norm does not see the factor that all share.
    """
    root = c.hidden_size**-0.5
    tables = ("embedding", "prompt_embedding", "segment_embedding")
    factors = {f"{table}.weight": root for table in tables}
    halves: list[tuple[str, object]] = []
    for i, block in enumerate(c.blocks):
        halves += [(f"blocks.{i}.attention", block.attention)] if block.has_attention else []
        halves += [(f"blocks.{i}.feedforward", block.feedforward)] if block.has_feedforward else []
    for place, (name, part) in enumerate(halves):
        assert isinstance(part, Attention | FeedForward)
        for linear, made in part.linears(c.hidden_size).items():
            added = ANT_SUM**place if linear in ("out", "down") else 1.0
            factors[f"{name}.{linear}.weight"] = added * made.inputs**-0.5
    return factors


def _ant_to_huggingface(c: PrefixDecoder, get: Get) -> Adapted:
    if not c.blocks[0].attention.length_scaled:
        return Adapted(c)
    values: dict[str, Callable[[Get], Tensor]] = {
        name: times(name, factor) for name, factor in _ant_factors(c).items()
    }
    if c.head is not None:
        values["head.weight"] = values["embedding.weight"]
    head = c.head and LanguageHead(tied=False)
    return Adapted(replace(_ant(c, scaled=False), head=head), values, widened=True)


def _ant_to_original(c: PrefixDecoder, get: Get) -> Adapted:
    from modelcenter.weights.execute import equal_bits

    if c.blocks[0].attention.length_scaled:
        return Adapted(c)
    if (
        isinstance(c.head, LanguageHead)
        and not c.head.tied
        and not equal_bits(get("head.weight"), get("embedding.weight"))
    ):
        raise CannotConvert("lm_head.weight is not the embedding, and CPM-Ant's own form has no other head.")
    made = _ant(c, scaled=True)
    factors = _ant_factors(made)
    values = {name: times(name, 1 / factor) for name, factor in factors.items()}
    head = c.head and LanguageHead(tied=True, scale=c.hidden_size**-0.5)
    return Adapted(replace(made, head=head), values, widened=True)


def _ant(c: PrefixDecoder, scaled: bool) -> PrefixDecoder:
    """The same model with its constants outside the weights, or inside."""

    def changed(block: Block) -> Block:
        assert isinstance(block.feedforward, FeedForward)
        return replace(
            block,
            attention=replace(block.attention, length_scaled=scaled),
            feedforward=replace(block.feedforward, length_scaled=scaled),
            sum_scale=1 / ANT_SUM if scaled else 1.0,
        )

    made = with_blocks(c, changed)
    assert isinstance(made, PrefixDecoder)
    return replace(made, embedding_scale=c.hidden_size**-0.5 if scaled else 1.0)


_TOKENS_OF_GLM = {
    "start_token_id": "sop_tok_id",
    "eos_token_ids": "eop_tok_id",
    "mask_token_id": "mask_tok_id",
}


def _glm_to_original(c: BlankFiller, get: Get) -> Adapted:
    """The authors' form leaves the tokens of spans to its tokeniser; OpenBMB's has them, with defaults."""
    lacking = {name: told for name, told in _TOKENS_OF_GLM.items() if getattr(c, name) in (None, ())}
    if not lacking:
        return Adapted(c)
    default = {name: openbmb.DEFAULTS["glm"][told] for name, told in lacking.items()}
    stated = ", ".join(f"{lacking[name]} {token}" for name, token in default.items())
    note = (
        f"config.json does not name the tokens of spans: OpenBMB's defaults are written ({stated}); texts "
        "with them have spans and positions of their own. Compare them with the tokeniser's."
    )
    made: dict[str, Any] = {n: (t,) if n == "eos_token_ids" else t for n, t in default.items()}
    return Adapted(replace(c, **made), notes=(note,))


FORMS: Mapping[str, Mapping[str, Form]] = {
    "cpmant": {
        HUGGINGFACE: Form(_cpmant, _ant_to_huggingface),
        openbmb.DIALECT: original(lambda c: _cpmant(c, own=True), _ant_to_original),
    },
    "cpm1": {openbmb.DIALECT: original(_original_prefix("cpm1"))},
    "cpm3": {openbmb.DIALECT: original(_original_prefix("cpm3"))},
    "glm-10b": {openbmb.DIALECT: original(_original_glm, _glm_to_original)},
}
"""Family -> the forms of others that it is written in."""
