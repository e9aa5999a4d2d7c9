"""DeepSeek V2 and V2.5, DeepSeek-Coder V2. Source: arXiv:2405.04434; transformers modeling_deepseek_v2.py.

Latent attention; experts chosen by a softmax, in larger models from the best groups, beside shared ones; the
first layers are dense.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import decoder, decoder_map, gated, rms_norm
from modelcenter.families.experts import first_dense
from modelcenter.families.family import Family, Header
from modelcenter.families.latent import latent_attention, latent_layer
from modelcenter.models.config import Block, Decoder, Experts, Router
from modelcenter.weights.rules import WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(
        scoring_func=("softmax",),
        topk_method=("greedy", "group_limited_greedy"),
        moe_layer_freq=(1,),
    )
    bias = hf.flag("mlp_bias", default=False)
    dense = Block(
        attention=latent_attention(hf, theta=10000.0, interleaved=True),
        feedforward=gated(hf, bias=bias),
        norm=rms_norm(hf),
    )
    size = hf.integer("moe_intermediate_size", default=1407)
    in_groups = hf.values.get("topk_method") == "group_limited_greedy"
    chosen = hf.integer("num_experts_per_tok")
    # DeepSeek's own code brings weights to a sum of 1 or scales them; transformers always scales.
    normalized = hf.flag("norm_topk_prob", default=False) and chosen > 1
    experts = Experts(
        num_experts=hf.layers("n_routed_experts", "num_experts", default=64),
        num_experts_per_token=chosen,
        intermediate_size=size,
        activation=hf.activation("hidden_act", default="silu"),
        layout="separate",
        router=Router(
            normalized=normalized,
            scale=1.0 if normalized else hf.number("routed_scaling_factor", default=1.0),
            num_groups=hf.integer("n_group") if in_groups else 1,
            num_chosen_groups=hf.integer("topk_group") if in_groups else 1,
        ),
        shared=gated(hf, intermediate_size=size * hf.layers("n_shared_experts", default=2), bias=bias),
    )
    blocks = first_dense(hf, dense, experts, 0)
    return decoder(hf, header, blocks, dense.norm, max_position_embeddings=2048)


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, latent_layer)


FAMILY = Family(
    name="deepseek_v2",
    model_types=("deepseek_v2",),
    classes=("DeepseekV2Model", "DeepseekV2ForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
