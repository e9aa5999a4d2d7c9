"""Phi 1, 1.5 and 2. Source: arXiv:2306.11644, arXiv:2309.05463; transformers modeling_phi.py.

Attention and feedforward stand side by side behind one norm; a part of each head is rotated.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, layer_norm, llama_attention
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward, LanguageHead, QueryKeyNorm
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    norm = layer_norm(hf)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(
                head_dim, theta=10000.0, share=0.5, old=("rope_theta", "partial_rotary_factor")
            ),
            bias="all",
            query_key_norm=QueryKeyNorm(norm=norm) if hf.flag("qk_layernorm", default=False) else None,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="gelu_new"),
            gated=False,
            bias=True,
        ),
        norm=norm,
        residual="parallel_one_norm",
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        norm,
        head=LanguageHead(tied=False, bias=True),
        max_position_embeddings=2048,
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "attention.out.*": "self_attn.dense.*",
        "attention.q_norm.*": "self_attn.q_layernorm.*",
        "attention.k_norm.*": "self_attn.k_layernorm.*",
        "feedforward.up.*": "mlp.fc1.*",
        "feedforward.down.*": "mlp.fc2.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(c, layer, norm="model.final_layernorm")


FAMILY = Family(
    name="phi",
    model_types=("phi",),
    classes=("PhiModel", "PhiForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="gpt2",
)
