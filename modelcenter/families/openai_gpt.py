"""GPT. Source: Radford et al. 2018, Improving Language Understanding by Generative Pre-Training; transformers
modeling_openai.py.

Norms come after the sums, and none is last. Weights are kept as (in, out); its `gelu` is the tanh one.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    HIDDEN_SIZE,
    NUM_HEADS,
    TIED,
    attention,
    decoder,
    gpt2_layer,
    gpt2_map,
    layer_norm,
)
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward, Learned
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(afn=("gelu", "relu", "silu", "swish"))
    activation = hf.activation("afn", default="gelu")
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            num_kv_heads=hf.integer(*NUM_HEADS),
            own_head_dim=False,
            layout="sections",
            bias="all",
            transposed=True,
        ),
        feedforward=FeedForward(
            intermediate_size=4 * hf.integer(*HIDDEN_SIZE),
            activation="gelu_new" if activation == "gelu" else activation,
            gated=False,
            bias=True,
            transposed=True,
        ),
        norm=layer_norm(hf, "layer_norm_epsilon"),
        norm_placement="after_residual",
    )
    num_positions = hf.integer("n_positions", "max_position_embeddings", default=512)
    return decoder(
        hf,
        header,
        (block,) * hf.layers("n_layer", "num_hidden_layers"),
        None,
        head=TIED,
        prefix="transformer.",
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions),
    )


def layer(block: Block) -> RulesLike:
    return gpt2_layer(qkv_sections(block.attention, "attn.c_attn.*"))


def huggingface(c: Decoder) -> WeightMap:
    return gpt2_map(
        c,
        layer,
        ("transformer.h.*.attn.bias", "transformer.position_ids"),
        embedding="transformer.tokens_embed",
        position_embedding="transformer.positions_embed",
    )


FAMILY = Family(
    name="openai_gpt",
    model_types=("openai-gpt",),
    classes=("OpenAIGPTModel", "OpenAIGPTLMHeadModel", "OpenAIGPTDoubleHeadsModel"),
    config=config,
    dialects={"huggingface": huggingface},
)
