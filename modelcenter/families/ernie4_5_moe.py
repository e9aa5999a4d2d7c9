"""ERNIE 4.5's models with experts. Source: ernie.baidu.com/blog/publication/ERNIE_Technical_Report.pdf;
transformers modeling_ernie4_5_moe.py.

Neighbouring pairs are rotated; experts are chosen by a softmax and a bias that balances them, beside shared
ones; one switch gives every product a bias, but those of the chosen experts.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import TIED, attention, decoder, decoder_map, gated, rms_norm
from modelcenter.families.experts import sparse_layer
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts, FeedForward, Router
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(compression_ratio=(1,), moe_gate=("topk",))
    bias = hf.flag("use_bias", default=False)
    dense = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=500000.0, interleaved=True),
            bias="all" if bias else "none",
        ),
        feedforward=gated(hf, bias=bias),
        norm=rms_norm(hf, eps=1e-5),
    )
    size = hf.integer("moe_intermediate_size", default=1536)
    shared = hf.integer("moe_num_shared_experts", default=2, least=0, most=4096)
    sparse = replace(
        dense,
        feedforward=Experts(
            num_experts=hf.layers("moe_num_experts", "num_experts", default=64),
            num_experts_per_token=hf.integer("moe_k", "num_experts_per_tok", default=6),
            intermediate_size=size,
            activation=hf.activation("hidden_act", default="silu"),
            layout="separate",
            router=Router(
                correction_bias=True, precise="half", least_sum=hf.number("moe_norm_min", default=1e-12)
            ),
            shared=gated(hf, intermediate_size=size * shared, bias=bias) if shared else None,
        ),
    )
    layers = hf.layers("num_hidden_layers")
    first = hf.integer("moe_layer_start_index", default=1, least=0)
    last = hf.integer("moe_layer_end_index", default=-1, least=-1)  # -1: the last of all
    every = hf.integer("moe_layer_interval", default=1)
    among = range(first, layers if last == -1 else last + 1)
    blocks = [sparse if i in among and (i + 1) % every == 0 else dense for i in range(layers)]
    return decoder(
        hf, header, blocks, dense.norm, head=replace(TIED, bias=bias), max_position_embeddings=131072
    )


def layer(block: Block) -> RulesLike:
    rules = dict(sparse_layer(block))
    if not isinstance(block.feedforward, FeedForward):
        rules["feedforward.router.correction_bias"] = "mlp.moe_statics.e_score_correction_bias"
    return rules


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer, unused=("model.mtp_*",))  # what predicts further tokens


FAMILY = Family(
    name="ernie4_5_moe",
    model_types=("ernie4_5_moe",),
    classes=("Ernie4_5_MoeModel", "Ernie4_5_MoeForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
