"""OPT. Source: arXiv:2205.01068; transformers modeling_opt.py.

Learned positions begin in the table's third row and count what is shown. OPT 350M normalises after the sums,
has no last norm, and an embedding of another size than its hidden states.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import TIED, attention, decoder, decoder_map, llama_attention
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward, Learned, Norm
from modelcenter.weights.rules import RulesLike, WeightMap


def config(hf: Configuration, header: Header) -> Decoder:
    bias = hf.flag("enable_bias", default=True)
    affine = hf.flag("layer_norm_elementwise_affine", default=True)
    is_first = hf.flag("do_layer_norm_before", default=True)
    norm = Norm(kind="layer", eps=1e-5, weight=affine, bias=affine)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            own_head_dim=False,
            num_kv_heads=hf.integer("num_attention_heads"),
            bias="all" if bias else "none",
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("ffn_dim"),
            activation=hf.activation("activation_function", default="relu"),
            gated=False,
            bias=bias,
        ),
        norm=norm,
        norm_placement="before" if is_first else "after_residual",
    )
    has_norm = is_first and not hf.flag("_remove_final_layer_norm", default=False)
    hidden_size = hf.integer("hidden_size")
    embedding_size = hf.integer("word_embed_proj_dim", default=hidden_size)
    num_positions = hf.integer("max_position_embeddings", default=2048)
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        norm if has_norm else None,
        head=TIED,
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions, offset=2, counts="shown"),
        embedding_size=None if embedding_size == hidden_size else embedding_size,
    )


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "self_attn_layer_norm.*",
        **llama_attention(block),
        "attention.out.*": "self_attn.out_proj.*",
        "feedforward_norm.*": "final_layer_norm.*",
        "feedforward.up.*": "fc1.*",
        "feedforward.down.*": "fc2.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="model.decoder.embed_tokens",
        layers="model.decoder.layers.{i}.",
        norm="model.decoder.final_layer_norm",
        derived=(),
        position_embedding="model.decoder.embed_positions",
        project_in="model.decoder.project_in",
        project_out="model.decoder.project_out",
    )


def original_config(hf: Configuration, header: Header) -> Decoder:
    c = openbmb.decoder("opt", hf, header)
    assert c.positions is not None
    return replace(
        c,
        positions=replace(c.positions, offset=2, counts="shown"),
        pad_token_id=openbmb.arguments("opt", hf, header).pad_token_id,
        head=TIED,  # whatever its configuration says
    )


def original(c: Decoder) -> WeightMap:
    return openbmb.weight_map(c, openbmb.stack(c.blocks, root="decoder"))


FAMILY = Family(
    name="opt",
    model_types=("opt",),
    classes=("OPTModel", "OPTForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: original},
    readers={openbmb.DIALECT: original_config},
    tokenizer="opt",
)
