"""Llama 1 to 3. Source: arXiv:2302.13971, arXiv:2307.09288; transformers modeling_llama.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head, tied_names
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, LanguageHead, Norm
from modelcenter.weights.rules import RulesLike, WeightMap, each, gate_up_separate, qkv_separate, src, within


def config(hf: Configuration, header: Header) -> Decoder:
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    head_dim = hf.integer("head_dim", default=0) or hf.head_dim(hidden_size, num_heads)
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=hf.integer("num_key_value_heads", default=num_heads),
            head_dim=head_dim,
            causal=True,
            layout="separate",
            bias="all" if hf.flag("attention_bias", default=False) else "none",
            rotary=hf.rotary(head_dim, theta=10000.0),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="silu"),
            gated=True,
            bias=hf.flag("mlp_bias", default=False),
            layout="separate",
        ),
        norm=Norm(kind="rms", eps=hf.number("rms_norm_eps", default=1e-6)),
    )
    has_head = has_language_head(hf, header, "model.", "lm_head.")
    return Decoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings", default=2048),
        blocks=(block,) * hf.layers("num_hidden_layers"),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=block.norm,
        head=LanguageHead(tied=hf.flag("tie_word_embeddings", default=False)) if has_head else None,
    )


def huggingface(c: Decoder) -> WeightMap:
    attention, feedforward = c.blocks[0].attention, c.blocks[0].feedforward
    rules: RulesLike = {
        "embedding.weight": src("model.embed_tokens.weight", *tied_names(c.head, "lm_head.weight")),
        **each(
            c.num_layers,
            "blocks.{i}.",
            "model.layers.{i}.",
            {
                "attention_norm.*": "input_layernorm.*",
                **within(
                    "attention",
                    qkv_separate(attention, "self_attn.q_proj.*", "self_attn.k_proj.*", "self_attn.v_proj.*"),
                ),
                "attention.out.*": "self_attn.o_proj.*",
                "feedforward_norm.*": "post_attention_layernorm.*",
                **within("feedforward", gate_up_separate(feedforward, "mlp.gate_proj.*", "mlp.up_proj.*")),
                "feedforward.down.*": "mlp.down_proj.*",
            },
        ),
        "norm.*": "model.norm.*",
        "head.weight": "lm_head.weight",
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies={"lm_head.weight": "model.embed_tokens.weight"},
        derived=("*.rotary_emb.inv_freq",),
        optional_prefix="model.",
    )


FAMILY = Family(
    name="llama",
    model_types=("llama",),
    classes=("LlamaModel", "LlamaForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
