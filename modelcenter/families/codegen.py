"""CodeGen and MOSS. Source: arXiv:2203.13474, github.com/OpenMOSS/MOSS; transformers modeling_codegen.py.

GPT-J, but q, k and v lie in one matrix of four blocks, [q | v | k] of a quarter of the heads each: its
training ran on four devices.
"""

from __future__ import annotations

import numpy as np

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families import gptj
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import NUM_HEADS, decoder_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Attention, Block, Decoder
from modelcenter.weights.rules import RulesLike, WeightMap, group_rows, take, within

BLOCKS = 4


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(wbits=(32,))  # of MOSS, whose quantised files call themselves by the same type
    heads = hf.integer(*NUM_HEADS)
    if heads % BLOCKS:
        raise ConfigurationInvalid(f"has {heads} heads; expected a multiple of {BLOCKS}")
    return gptj.config(hf, header, layout="groups")  # which shards; as stored it would not


def qkv_blocks(a: Attention, qkv: str) -> RulesLike:
    """Rules of `qkv.*` (or q, k, v) from one matrix [q1 | v1 | k1 | q2 | ..], a quarter of the heads each."""
    total = 3 * a.num_heads * a.head_dim
    rows = np.arange(total, dtype=np.int64).reshape(BLOCKS, 3, -1).swapaxes(0, 1).reshape(3, -1)
    q, v, k = (part.tolist() for part in rows)
    if a.layout == "separate":
        return {"q.*": take(qkv, q, total), "k.*": take(qkv, k, total), "v.*": take(qkv, v, total)}
    order = np.asarray(q + k + v)[group_rows(a, (1, 1, 1))]
    return {"qkv.*": take(qkv, order.tolist(), total)}


def layer(block: Block) -> RulesLike:
    return {**gptj.layer(block), **within("attention", qkv_blocks(block.attention, "attn.qkv_proj.*"))}


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.wte",
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=("transformer.h.*.attn.causal_mask", "transformer.h.*.attn.embed_positions"),
    )


FAMILY = Family(
    name="codegen",
    model_types=("codegen", "moss"),
    classes=("CodeGenModel", "CodeGenForCausalLM", "MossModel", "MossForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="gpt2",
)
