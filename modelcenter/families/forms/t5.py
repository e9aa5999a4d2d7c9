"""T5, mT5 and CPM-2 as transformers and OpenBMB write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modelcenter.errors import CannotConvert
from modelcenter.families import native, openbmb
from modelcenter.families.family import with_blocks
from modelcenter.families.forms.form import (
    HUGGINGFACE,
    Adapted,
    Form,
    Get,
    Values,
    close,
    common,
    original,
    tied,
    times,
)
from modelcenter.models.config import Block, CrossAttention, EncoderDecoder, FeedForward, LanguageHead, Side


def _decoder(c: EncoderDecoder) -> Side:
    if c.decoder is None:
        raise CannotConvert("The checkpoint is an encoder alone, which the other form never is.")
    return c.decoder


def _mt5(c: EncoderDecoder) -> dict[str, Any]:
    """Its head is never scaled."""
    return {name: value for name, value in _t5(c, "mt5", "MT5").items() if name != "scale_decoder_outputs"}


def _t5(c: EncoderDecoder, model_type: str = "t5", kind: str = "T5") -> dict[str, Any]:
    block = c.encoder.blocks[0]
    a, f = block.attention, block.feedforward
    assert isinstance(f, FeedForward)
    bias: Any = c.encoder.positions
    named = {"gelu_new": "gelu"}.get(f.activation, f.activation) if f.gated else f.activation
    return {
        **common(c, model_type, f"{kind}ForConditionalGeneration" if c.head else f"{kind}Model"),
        "d_model": c.hidden_size,
        "d_kv": a.head_dim,
        "d_ff": f.intermediate_size,
        "num_heads": a.num_heads,
        "num_layers": len(c.encoder.blocks),
        "num_decoder_layers": len(_decoder(c).blocks),
        "relative_attention_num_buckets": bias.num_buckets,
        "relative_attention_max_distance": bias.max_distance,
        "feed_forward_proj": f"gated-{named}" if f.gated else named,
        "dense_act_fn": f.activation,
        "is_gated_act": f.gated,
        "layer_norm_epsilon": block.norm.eps,
        "is_encoder_decoder": True,
        "decoder_start_token_id": c.decoder_start_token_id,
        "tie_word_embeddings": tied(c),
        "scale_decoder_outputs": _head_scale(c) != 1.0,
    }


def _original_sides(name: str) -> Callable[[EncoderDecoder], dict[str, Any]]:
    def describe(c: EncoderDecoder) -> dict[str, Any]:
        bias: Any = c.encoder.positions
        own = {
            "num_encoder_layers": len(c.encoder.blocks),
            "num_decoder_layers": len(_decoder(c).blocks),
            "position_bias_num_buckets": bias.num_buckets,
            "position_bias_max_distance": bias.max_distance,
        }
        if name == "t5":
            own["scale"] = True if _head_scale(c) != 1.0 else None
        return openbmb.described(name, c, **own)

    return describe


RELEASED_SCALE = 100.0  # what OpenBMB's released T5s divide their residual stream by


def _t5_stream(c: EncoderDecoder, factor: float) -> Values:
    """The values of a T5 whose residual stream is `factor` times as large.

    The share of the feedforward is split between the way in (of a gated one, what is not activated) and the
    way out, as OpenBMB's converters do.
    """
    root = factor**0.5
    factors = {"embedding.weight": factor}
    for prefix, blocks in native.stacks(c):
        for i, block in enumerate(blocks):
            own = f"{prefix}blocks.{i}."
            assert isinstance(block.feedforward, FeedForward)
            if isinstance(block.cross_attention, CrossAttention):
                factors[f"{own}cross_attention.out.weight"] = factor
            factors |= {
                f"{own}attention.out.weight": factor,
                f"{own}feedforward.up.weight": root,
                f"{own}feedforward.down.weight": root,
            }
    return {name: times(name, by) for name, by in factors.items()}


def _head_scale(c: EncoderDecoder) -> float:
    return c.head.scale if c.head is not None else 1.0


def _with_head_scale(c: EncoderDecoder, scale: float) -> EncoderDecoder:
    assert isinstance(c.head, LanguageHead)
    return replace(c, head=replace(c.head, scale=scale))


def _with_eps(c: EncoderDecoder, factor: float) -> EncoderDecoder:
    """The norms of a stream that is `factor` times as large."""

    def changed(block: Block) -> Block:
        return replace(block, norm=replace(block.norm, eps=block.norm.eps * factor**2))

    made = with_blocks(c, changed)
    assert isinstance(made, EncoderDecoder)

    def side(side: Any) -> Any:
        return side and replace(side, norm=replace(side.norm, eps=side.norm.eps * factor**2))

    return replace(made, encoder=side(made.encoder), decoder=side(made.decoder))


def _t5_to_huggingface(c: EncoderDecoder, get: Get) -> Adapted:
    """A head scaled by 100 / sqrt(hidden_size) is that of transformers on a stream 100 times as large."""
    scale = RELEASED_SCALE * c.hidden_size**-0.5
    if not isinstance(c.head, LanguageHead) or not close(c.head.scale, scale):
        return Adapted(c)
    return Adapted(
        _with_head_scale(_with_eps(c, RELEASED_SCALE), c.hidden_size**-0.5),
        _t5_stream(c, RELEASED_SCALE),
        widened=True,
    )


def _t5_to_original(c: EncoderDecoder, get: Get) -> Adapted:
    """The other way, for what it has made, which the norms' epsilon tells; else no value changes.

    OpenBMB's form then has no factor for a scaled head: its released T5s are so.
    """
    if not close(_head_scale(c), c.hidden_size**-0.5):
        return Adapted(c)
    if not close(c.blocks[0].norm.eps, 1e-6 * RELEASED_SCALE**2):
        note = (
            "OpenBMB's form has no factor hidden_size ** -0.5 before the head: its logits are larger by "
            f"{c.hidden_size**0.5:g}, the likeliest token is the same."
        )
        return Adapted(_with_head_scale(c, 1.0), notes=(note,))
    return Adapted(
        _with_head_scale(_with_eps(c, 1 / RELEASED_SCALE), RELEASED_SCALE * c.hidden_size**-0.5),
        _t5_stream(c, 1 / RELEASED_SCALE),
        widened=True,
    )


FORMS: Mapping[str, Mapping[str, Form]] = {
    "t5": {
        HUGGINGFACE: Form(_t5, _t5_to_huggingface),
        openbmb.DIALECT: original(_original_sides("t5"), _t5_to_original),
    },
    "mt5": {HUGGINGFACE: Form(_mt5), openbmb.DIALECT: original(_original_sides("t5"), _t5_to_original)},
    "cpm2": {openbmb.DIALECT: original(_original_sides("cpm2"))},
}
"""Family -> the forms of others that it is written in."""
