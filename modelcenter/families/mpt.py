"""MPT. Source: github.com/mosaicml/llm-foundry; transformers modeling_mpt.py, which knows less of it.

Distance is a penalty (ALiBi), else positions are learned; q, k and v lie in one matrix [q | k | v].
StoryWriter was trained with an `alibi_bias_max` of 16, which counts; transformers takes 8 whatever it says.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import (
    HIDDEN_SIZE,
    NUM_HEADS,
    attention,
    decoder,
    decoder_map,
    layer_norm,
)
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import Alibi, Block, Decoder, FeedForward, LanguageHead, Learned, QueryKeyNorm
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_sections, within


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(norm_type=("low_precision_layernorm", "layernorm"))
    told = hf.values.get("attn_config") or {}
    if not isinstance(told, Mapping):
        raise ConfigurationInvalid("has attn_config that is no table")
    own = Configuration(told)
    own.refuse(
        prefix_lm=(False,),
        attn_uses_sequence_id=(False,),
        rope=(False,),
        qk_gn=(False,),
        sliding_window_size=(-1,),
    )
    hidden_size, num_heads = hf.integer(*HIDDEN_SIZE), hf.integer(*NUM_HEADS)
    bias = not hf.flag("no_bias", default=True)
    has_alibi = own.flag("alibi", default=True)
    num_positions = hf.integer("max_seq_len", default=2048)
    norm = layer_norm(hf, "layer_norm_epsilon", bias=bias)
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: None,
            num_kv_heads=_num_kv_heads(own, num_heads),
            own_head_dim=False,
            layout="sections",
            bias="all" if bias else "none",
            alibi=Alibi(num_heads=num_heads, max_bias=own.positive("alibi_bias_max", default=8.0))
            if has_alibi
            else None,
            clip=own.number("clip_qkv", default=None) or None,
            scale=own.number("softmax_scale", default=None),
            query_key_norm=QueryKeyNorm(norm=norm, over="all") if own.flag("qk_ln", default=False) else None,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("expansion_ratio", default=4) * hidden_size,
            activation="gelu",
            gated=False,
            bias=bias,
        ),
        norm=norm,
    )
    is_learned = not has_alibi and hf.flag("learned_pos_emb", default=True)
    if is_learned and header and not carries(header, "wpe."):
        raise ConfigurationInvalid(
            "has attn_config with alibi false, and the files lack transformer.wpe.weight, the learned "
            "positions in its place. transformers' MPT adds ALiBi whatever alibi says: with alibi true they "
            "load as it runs them"
        )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("n_layers", "num_hidden_layers"),
        norm,
        head=LanguageHead(tied=True, scale=_logit_scale(hf, hidden_size)),
        prefix="transformer.",
        max_position_embeddings=num_positions,
        positions=Learned(num_positions=num_positions, counts="shown") if is_learned else None,
    )


def _num_kv_heads(own: Configuration, num_heads: int) -> int:
    own.refuse(attn_type=("multihead_attention", "multiquery_attention", "grouped_query_attention"))
    kind = own.values.get("attn_type")
    if kind == "grouped_query_attention":
        return own.integer("kv_n_heads")
    return 1 if kind == "multiquery_attention" else num_heads


def _logit_scale(hf: Configuration, hidden_size: int) -> float:
    if hf.values.get("logit_scale") == "inv_sqrt_d_model":
        return float(hidden_size**-0.5)
    return hf.number("logit_scale", default=1.0)


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "norm_1.*",
        **within("attention", qkv_sections(block.attention, "attn.Wqkv.*")),
        "attention.out.*": "attn.out_proj.*",
        "attention.q_norm.*": "attn.q_ln.*",
        "attention.k_norm.*": "attn.k_ln.*",
        "feedforward_norm.*": "norm_2.*",
        "feedforward.up.*": "ffn.up_proj.*",
        "feedforward.down.*": "ffn.down_proj.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="transformer.wte",
        layers="transformer.blocks.{i}.",
        norm="transformer.norm_f",
        prefix="transformer.",
        derived=(),
        position_embedding="transformer.wpe",
    )


FAMILY = Family(
    name="mpt",
    model_types=("mpt",),
    classes=("MptModel", "MptForCausalLM", "MPTModel", "MPTForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"MptForTokenClassification": ("score.", "classifier.")},
)
