"""GPT-J. Source: github.com/kingoflolz/mesh-transformer-jax; transformers modeling_gptj.py.

Attention and feedforward stand side by side behind one norm; neighbouring elements are rotated as pairs.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import decoder_map, gptj_decoder
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Layout, Rotary
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_separate, within


def config(hf: Configuration, header: Header, layout: Layout = "separate") -> Decoder:
    """layout: of q, k and v where they are not stored apart (CodeGen)."""
    rotary = Rotary(dim=hf.integer("rotary_dim", default=64), theta=10000.0, interleaved=True)
    return gptj_decoder(hf, header, rotary, layout=layout)


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "ln_1.*",
        **within(
            "attention",
            qkv_separate(block.attention, "attn.q_proj.*", "attn.k_proj.*", "attn.v_proj.*"),
        ),
        "attention.out.*": "attn.out_proj.*",
        "feedforward.up.*": "mlp.fc_in.*",
        "feedforward.down.*": "mlp.fc_out.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.wte",
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=(
            "transformer.h.*.attn.bias",  # the causal mask
            "transformer.h.*.attn.masked_bias",
            "transformer.h.*.attn.embed_positions",
        ),
    )


def original_config(hf: Configuration, header: Header) -> Decoder:
    """OpenBMB's has a norm for each of the two, and the exact gelu."""
    c = openbmb.arguments("gptj", hf, header)
    rotary = Rotary(dim=c.integer("pos_rotary_dim"), theta=10000.0, interleaved=True)
    made = openbmb.decoder("gptj", hf, header, rotary=rotary)
    return replace(made, blocks=(replace(made.blocks[0], residual="parallel"),) * made.num_layers)


FAMILY = Family(
    name="gptj",
    model_types=("gptj",),
    classes=("GPTJModel", "GPTJForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.decoder_map},
    readers={openbmb.DIALECT: original_config},
    tokenizer="gpt2",
)
