"""GPT-2. Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners; modeling_gpt2.py.

Its linear weights are kept as (in, out), q, k and v in one matrix: the stored orientation stays.
"""

from __future__ import annotations

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import TIED, decoder, gpt2_layer, gpt2_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, Learned, Norm
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections, transposed


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(add_cross_attention=(False,))
    hidden_size, num_heads = hf.integer("n_embd", "hidden_size"), hf.integer("n_head", "num_attention_heads")
    head_dim = hf.head_dim(hidden_size, num_heads)
    norm = Norm(kind="layer", eps=hf.number("layer_norm_epsilon", default=1e-5), bias=True)
    feedforward = FeedForward(
        intermediate_size=hf.integer("n_inner", default=4 * hidden_size),
        activation=hf.activation("activation_function", default="gelu_new"),
        gated=False,
        bias=True,
        transposed=True,
    )
    scale = head_dim**-0.5 if hf.flag("scale_attn_weights", default=True) else 1.0
    by_layer = hf.flag("scale_attn_by_inverse_layer_idx", default=False)

    def block(i: int) -> Block:
        attention = Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=True,
            layout="sections",
            bias="all",
            transposed=True,
            scale=scale / (i + 1) if by_layer else scale,
        )
        return Block(attention=attention, feedforward=feedforward, norm=norm)

    num_positions = hf.integer("n_positions", "max_position_embeddings", default=1024)
    return decoder(
        hf,
        header,
        tuple(map(block, range(hf.layers("n_layer", "num_hidden_layers")))),
        norm,
        head=TIED,
        prefix="transformer.",
        hidden_size=hidden_size,
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions),
    )


def layer(block: Block) -> RulesLike:
    rules = gpt2_layer(qkv_sections(block.attention, "attn.c_attn.*"))
    return rules if block.attention.transposed else {k: transposed(rule) for k, rule in rules.items()}


def huggingface(c: Decoder) -> WeightMap:
    return gpt2_map(c, layer, ("transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"))


def original_config(hf: Configuration, header: Header) -> Decoder:
    """OpenBMB's files keep the weights as (out, in), q, k and v apart."""
    return openbmb.decoder("gpt2", hf, header)


FAMILY = Family(
    name="gpt2",
    model_types=("gpt2",),
    classes=("GPT2Model", "GPT2LMHeadModel", "GPT2DoubleHeadsModel"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.decoder_map},
    readers={openbmb.DIALECT: original_config},
    spellings={"GPT2ForTokenClassification": ("score.", "classifier.")},
    tokenizer="gpt2",
)
