"""Phi 1.5 and 2 as first released, with Microsoft's own code. Source: arXiv:2309.05463; modeling_phi.py of
microsoft/phi-2 before January 2024; transformers convert_phi_weights_to_hf.py.

Phi by other names: q, k and v lie in one matrix [q | k | v], the last norm is the head's.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import decoder_map, gptj_decoder
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Rotary
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections, within


def config(hf: Configuration, header: Header) -> Decoder:
    rotary = Rotary(dim=hf.integer("rotary_dim", default=32), theta=10000.0)
    return gptj_decoder(hf, header, rotary, kv_heads=("n_head_kv",), layout="sections", bias="all")


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "ln.*",
        **within("attention", qkv_sections(block.attention, "mixer.Wqkv.*")),
        "attention.out.*": "mixer.out_proj.*",
        "feedforward.up.*": "mlp.fc1.*",
        "feedforward.down.*": "mlp.fc2.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.embd.wte",
        layers="transformer.h.{i}.",
        norm="lm_head.ln",
        head=("lm_head.linear",),
        prefix="transformer.",
        derived=("transformer.h.*.mixer.rotary_emb.inv_freq",),
    )


FAMILY = Family(
    name="phi_msft",
    model_types=("phi-msft",),
    classes=("PhiForCausalLM",),
    config=config,
    dialects={"huggingface": huggingface},
)
