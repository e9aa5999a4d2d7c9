"""Mixtral: experts in Mistral's decoder. Source: arXiv:2401.04088; transformers modeling_mixtral.py."""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head, tied_names
from modelcenter.models.config import Attention, Block, Decoder, Experts, LanguageHead, Norm
from modelcenter.weights.rules import RulesLike, WeightMap, each, experts, paired, qkv_separate, src, within


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
            rotary=hf.rotary(head_dim, theta=1e6),
            window=hf.integer("sliding_window", default=None),
        ),
        feedforward=Experts(
            num_experts=hf.layers("num_local_experts"),
            num_experts_per_token=hf.integer("num_experts_per_tok", default=2),
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="silu"),
            layout="separate",
        ),
        norm=Norm(kind="rms", eps=hf.number("rms_norm_eps", default=1e-5)),
    )
    has_head = has_language_head(hf, header, "model.", "lm_head.")
    return Decoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings", default=131072),
        blocks=(block,) * hf.layers("num_hidden_layers"),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=block.norm,
        head=LanguageHead(tied=hf.flag("tie_word_embeddings", default=False)) if has_head else None,
    )


def expert_rules(e: Experts) -> RulesLike:
    """w1 is the gate, w3 the other product, w2 the way down."""
    names = [f"block_sparse_moe.experts.{i}." for i in range(e.num_experts)]
    if e.layout == "separate":
        return {
            f"{ours}_{i}": f"{name}{theirs}.weight"
            for i, name in enumerate(names)
            for ours, theirs in (("gate", "w1"), ("up", "w3"), ("down", "w2"))
        }
    return {
        "gate_up": experts([paired(e, f"{name}w1.weight", f"{name}w3.weight") for name in names]),
        "down": experts([f"{name}w2.weight" for name in names]),
    }


def huggingface(c: Decoder) -> WeightMap:
    attention, feedforward = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(feedforward, Experts)
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
                "feedforward.router.weight": "block_sparse_moe.gate.weight",
                **within("feedforward", expert_rules(feedforward)),
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
    name="mixtral",
    model_types=("mixtral",),
    classes=("MixtralModel", "MixtralForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
