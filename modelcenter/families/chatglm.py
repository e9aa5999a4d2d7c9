"""ChatGLM 1 to 3, CodeGeeX 2, GLM-4 as first released. Source: arXiv:2406.12793; their modeling_chatglm.py.

The first is another model of the same `model_type`: GLM's blank filling with rotary positions of two kinds,
norms that take the place of what they are given in the sums, biases and a head by the embedding.
The others: rotary positions on the first half of each head, in neighbouring pairs; q, k and v in one matrix
[q | k | v], gate and up in another. The head is part of the model, whatever class config.json names.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import MOST, Configuration
from modelcenter.families.decoders import TIED, UNTIED, decoder, decoder_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    Block,
    Decoder,
    FeedForward,
    MaskFiller,
    Norm,
    Rotary,
    RotaryScaling,
)
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    gate_up_sections,
    qkv_groups,
    qkv_sections,
    within,
)


def rotary(hf: Configuration, head_dim: int) -> Rotary:
    """Its positions, stretched by `rope_ratio`: the base is multiplied by it.

    ChatGLM2-6B-32K alone divides positions by it instead, and only the name in its config.json tells.
    """
    ratio = hf.positive("rope_ratio", default=1.0)
    linear = ratio != 1.0 and "chatglm2" in str(hf.values.get("_name_or_path")).lower()
    theta = 10000.0 if linear else 10000.0 * ratio
    if theta <= 1.0:
        raise ConfigurationInvalid(f"has rope_ratio {ratio:g}; expected more than 0.0001")
    scaling = RotaryScaling(kind="linear", factor=ratio) if linear else None
    return Rotary(dim=head_dim // 2, theta=theta, scaling=scaling, interleaved=True)


FIRST = ("position_encoding_2d", "inner_hidden_size", "max_sequence_length")  # what it alone has


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(quantization_bit=(0,), pre_seq_len=())
    return first(hf, header) if any(name in hf for name in FIRST) else later(hf, header)


def first(hf: Configuration, header: Header) -> MaskFiller:
    """ChatGLM-6B."""
    hf.refuse(position_encoding_2d=(True,))
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    num_layers, vocab_size = hf.layers("num_layers"), hf.integer("vocab_size")
    head_dim = hf.head_dim(hidden_size, num_heads)
    weight = (2 * num_layers) ** 0.5  # of what is normalised, in a sum
    norm = Norm(kind="layer", eps=hf.number("layernorm_epsilon", default=1e-5), bias=True)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=True,
            layout="groups",
            bias="all",
            rotary=Rotary(dim=head_dim, theta=10000.0, axes=2),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("inner_hidden_size", default=4 * hidden_size),
            activation="gelu_new",
            gated=False,
            bias=True,
        ),
        norm=norm,
        residual_from_norm=True,
        residual_scale=1 / weight,
        sum_scale=weight,
    )
    # Its special tokens are the last of the vocabulary but some.
    return MaskFiller(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_sequence_length", default=2048),
        blocks=(block,) * num_layers,
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=norm,
        head=TIED,
        start_token_id=hf.integer("bos_token_id", default=vocab_size - 524, least=-MOST),
        mask_token_ids=(
            hf.integer("gmask_token_id", default=vocab_size - 527, least=-MOST),
            hf.integer("mask_token_id", default=vocab_size - 528, least=-MOST),
        ),
    )


def later(hf: Configuration, header: Header) -> Decoder:
    """ChatGLM 2 and its successors."""
    hf.refuse(interleaved_qkv=(False,))
    if not hf.flag("multi_query_attention", default=False):
        raise ConfigurationInvalid(
            "has no multi_query_attention, so q, k and v lie head by head in one matrix: unsupported"
        )
    head_dim = hf.integer("kv_channels", default=128)
    biased = hf.flag("add_bias_linear", default=False)
    eps = hf.number("layernorm_epsilon", default=1e-5)
    rms = hf.flag("rmsnorm", default=True)
    block = Block(
        attention=Attention(
            num_heads=hf.integer("num_attention_heads"),
            num_kv_heads=hf.integer("multi_query_group_num", default=1),
            head_dim=head_dim,
            causal=True,
            layout="sections",
            bias="all" if biased else "qkv" if hf.flag("add_qkv_bias", default=False) else "none",
            rotary=rotary(hf, head_dim),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("ffn_hidden_size"),
            activation="silu",
            gated=True,
            bias=biased,
            layout="sections",
        ),
        norm=Norm(kind="rms" if rms else "layer", eps=eps, bias=not rms),
        residual_from_norm=hf.flag("apply_residual_connection_post_layernorm", default=False),
    )
    made = decoder(
        Configuration({**hf.values, "vocab_size": hf.integer("padded_vocab_size", "vocab_size")}),
        header,
        (block,) * hf.layers("num_layers"),
        block.norm if hf.flag("post_layer_norm", default=True) else None,
        max_position_embeddings=hf.integer("seq_length", default=2048),
    )
    return replace(made, head=UNTIED)


def layer(block: Block) -> RulesLike:
    attention, feedforward = block.attention, block.feedforward
    assert isinstance(feedforward, FeedForward)
    if feedforward.gated:
        inner = within("feedforward", gate_up_sections(feedforward, "mlp.dense_h_to_4h.*"))
        qkv = within("attention", qkv_sections(attention, "self_attention.query_key_value.*"))
    else:
        inner = {"feedforward.up.*": "mlp.dense_h_to_4h.*"}
        qkv = within("attention", qkv_groups(attention, "attention.query_key_value.*"))
    return {
        "attention_norm.*": "input_layernorm.*",
        **qkv,
        "attention.out.*": "self_attention.dense.*" if feedforward.gated else "attention.dense.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        **inner,
        "feedforward.down.*": "mlp.dense_4h_to_h.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    if isinstance(c, MaskFiller):
        return decoder_map(
            c,
            layer,
            embedding="transformer.word_embeddings",
            layers="transformer.layers.{i}.",
            norm="transformer.final_layernorm",
            prefix="transformer.",
            derived=("transformer.layers.*.attention.rotary_emb.inv_freq",),
        )
    return decoder_map(
        c,
        layer,
        embedding="transformer.embedding.word_embeddings",
        layers="transformer.encoder.layers.{i}.",
        norm="transformer.encoder.final_layernorm",
        head=("transformer.output_layer",),
        prefix="transformer.",
        derived=("transformer.rotary_pos_emb.inv_freq",),
    )


FAMILY = Family(
    name="chatglm",
    model_types=("chatglm",),
    classes=("ChatGLMModel", "ChatGLMForConditionalGeneration"),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="chatglm",
)
