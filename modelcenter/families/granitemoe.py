"""Granite 3 with experts. Source: github.com/ibm-granite/granite-3.0-language-models; transformers
modeling_granitemoe.py.

Granite's four factors; the experts of a layer are stored in one tensor, [gate | up] of each. Some models have
one more that every token goes through (`granitemoeshared`; modeling_granitemoeshared.py).
"""

from __future__ import annotations

from modelcenter.families import granite
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import decoder_map, gated, llama_attention
from modelcenter.families.experts import experts_together
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts
from modelcenter.weights.rules import RulesLike, WeightMap, gate_up_sections, within


def config(hf: Configuration, header: Header) -> Decoder:
    is_shared = hf.values.get("model_type") == "granitemoeshared"
    shared_size = hf.integer("shared_intermediate_size", default=0, least=0) if is_shared else 0
    experts = Experts(
        num_experts=hf.layers("num_local_experts", default=8),
        num_experts_per_token=hf.integer("num_experts_per_tok", default=2),
        intermediate_size=hf.integer("intermediate_size"),
        activation=hf.activation("hidden_act", default="silu"),
        layout="sections",
        shared=gated(hf, intermediate_size=shared_size, layout="sections") if shared_size else None,
    )
    return granite.config(hf, header, experts)


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, Experts)
    shared: RulesLike = {}
    if (own := block.feedforward.shared) is not None:
        pair = gate_up_sections(own, "shared_mlp.input_linear.*")
        shared = {**within("shared", pair), "shared.down.*": "shared_mlp.output_linear.*"}
    names = ("block_sparse_moe.input_linear.weight", "block_sparse_moe.output_linear.weight")
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "feedforward_norm.*": "post_attention_layernorm.*",
        "feedforward.router.weight": "block_sparse_moe.router.layer.weight",
        **within("feedforward", {**experts_together(block.feedforward, *names), **shared}),
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="granitemoe",
    model_types=("granitemoe", "granitemoeshared"),
    classes=(
        *("GraniteMoeModel", "GraniteMoeForCausalLM"),
        *("GraniteMoeSharedModel", "GraniteMoeSharedForCausalLM"),
    ),
    config=config,
    dialects={"huggingface": huggingface},
)
