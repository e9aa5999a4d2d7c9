"""SantaCoder and StarCoder. Source: arXiv:2301.03988, arXiv:2305.06161; transformers modeling_gpt_bigcode.py.

GPT-2 whose heads share one key and one value head: [q | k | v] in one matrix. Without that, q, k and v lie
head by head.
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
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_groups


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(add_cross_attention=(False,))
    shared = hf.flag("multi_query", default=True)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            num_kv_heads=1 if shared else hf.integer(*NUM_HEADS),
            own_head_dim=False,
            layout="groups",  # of one key/value head those are the three sections
            bias="all",
            scale=None if hf.flag("scale_attn_weights", default=True) else 1.0,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("n_inner", default=4 * hf.integer(*HIDDEN_SIZE)),
            activation=hf.activation("activation_function", default="gelu_pytorch_tanh"),
            gated=False,
            bias=True,
        ),
        norm=layer_norm(hf, "layer_norm_epsilon"),
    )
    num_positions = hf.integer("n_positions", "max_position_embeddings", default=1024)
    return decoder(
        hf,
        header,
        (block,) * hf.layers("n_layer", "num_hidden_layers"),
        block.norm,
        head=TIED,
        prefix="transformer.",
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions),
    )


def layer(block: Block) -> RulesLike:
    return gpt2_layer(qkv_groups(block.attention, "attn.c_attn.*"))


def huggingface(c: Decoder) -> WeightMap:
    return gpt2_map(c, layer, ("transformer.h.*.attn.bias",))  # the causal mask


FAMILY = Family(
    name="gpt_bigcode",
    model_types=("gpt_bigcode",),
    classes=("GPTBigCodeModel", "GPTBigCodeForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"GPTBigCodeForTokenClassification": ("score.", "classifier.")},
)
