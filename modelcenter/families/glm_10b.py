"""GLM: 2B, 10B, Chinese. Source: arXiv:2103.10360; their modeling_glm.py; model-center 1.0.2 model/glm.py.

It fills blanks, with positions in two dimensions; later models of the name are other architectures. Of its
two forms OpenBMB's says which tokens begin a span and stand for one; the authors' own leaves positions, and
how much of a text is seen whole, to their tokeniser.
"""

from __future__ import annotations

from dataclasses import fields

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import TIED, decoder_map
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    BlankFiller,
    Block,
    Decoder,
    FeedForward,
    LanguageHead,
    Learned,
    Norm,
)
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections, within


def config(hf: Configuration, header: Header) -> BlankFiller:
    hf.refuse(block_position_encoding=(True,))
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    head_dim = hf.head_dim(hidden_size, num_heads)
    positions = Learned(num_positions=hf.integer("max_sequence_length", default=512) + 1)
    norm = Norm(kind="layer", eps=1e-5, bias=True)
    # `attention_scale` keeps 16-bit products small and is taken back before the softmax.
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=True,
            layout="sections",
            bias="all",
        ),
        feedforward=FeedForward(intermediate_size=4 * hidden_size, activation="gelu", gated=False, bias=True),
        norm=norm,
    )
    predicts = hf.architecture.endswith("ConditionalGeneration")
    return BlankFiller(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=positions.num_positions,
        blocks=(block,) * hf.layers("num_layers"),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=norm,
        positions=positions,
        head=TIED if hf.flag("output_predict", default=predicts) or predicts else None,
        block_positions=positions,
        start_token_id=None,
        mask_token_id=None,
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **within("attention", qkv_sections(block.attention, "attention.query_key_value.*")),
        "attention.out.*": "attention.dense.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        "feedforward.up.*": "mlp.dense_h_to_4h.*",
        "feedforward.down.*": "mlp.dense_4h_to_h.*",
    }


def huggingface(c: BlankFiller) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="glm.word_embeddings",
        layers="glm.transformer.layers.{i}.",
        norm="glm.transformer.final_layernorm",
        prefix="glm.",
        derived=(),
        position_embedding="glm.transformer.position_embeddings",
        block_embedding="glm.transformer.block_position_embeddings",
    )


def original_config(hf: Configuration, header: Header) -> BlankFiller:
    c = openbmb.arguments("glm", hf, header)
    made = openbmb.decoder("glm", hf, header)
    known = {field.name: getattr(made, field.name) for field in fields(Decoder)}
    end, start = c.integer("eop_tok_id", least=0), c.integer("sop_tok_id", least=0)
    return BlankFiller(
        **known
        | {
            # Whatever its configuration says of `tied`.
            "head": openbmb.classes(c) if c.values.get("cls_head") else LanguageHead(tied=True),
            "eos_token_ids": (end,),
        },
        block_positions=Learned(num_positions=c.integer("position_size")),
        start_token_id=start,
        mask_token_id=c.integer("mask_tok_id", least=0),
    )


def original(c: BlankFiller) -> WeightMap:
    rules = {
        "block_embedding.weight": "block_position_embedding.weight",
        "head.out.*": "output_projection.*",  # the others' cls_projection
        **openbmb.stack(c.blocks),
    }
    return openbmb.weight_map(c, rules)


FAMILY = Family(
    name="glm-10b",
    model_types=("glm",),
    classes=("GLMModel", "GLMForConditionalGeneration"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
    tokenizer="glm",
)
