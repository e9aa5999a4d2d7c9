"""Mixtral: experts in Mistral's decoder. Source: arXiv:2401.04088; transformers modeling_mixtral.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, llama_attention, rms_norm
from modelcenter.families.experts import experts_apart
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, Experts
from modelcenter.weights.rules import RulesLike, WeightMap, within


def config(hf: Configuration, header: Header) -> Decoder:
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(head_dim, theta=1e6),
            window=hf.integer("sliding_window", default=None),
        ),
        feedforward=Experts(
            num_experts=hf.layers("num_local_experts"),
            num_experts_per_token=hf.integer("num_experts_per_tok", default=2),
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="silu"),
            layout="separate",
        ),
        norm=rms_norm(hf, eps=1e-5),
    )
    blocks = (block,) * hf.layers("num_hidden_layers")
    return decoder(hf, header, blocks, block.norm, max_position_embeddings=131072)


def layer(block: Block) -> RulesLike:
    assert isinstance(block.feedforward, Experts)
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "feedforward_norm.*": "post_attention_layernorm.*",
        "feedforward.router.weight": "block_sparse_moe.gate.weight",
        **within(
            "feedforward",
            experts_apart(block.feedforward, "block_sparse_moe.experts.{e}.", names=("w1", "w3", "w2")),
        ),
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer)


FAMILY = Family(
    name="mixtral",
    model_types=("mixtral",),
    classes=("MixtralModel", "MixtralForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="llama",
)
