"""GPT-NeoX and Pythia. Source: arXiv:2204.06745, arXiv:2304.01373; transformers modeling_gpt_neox.py.

q, k and v lie in one matrix, head by head: each head's q, then its k, then its v.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head, tied_names
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, LanguageHead, Norm
from modelcenter.weights.rules import RulesLike, WeightMap, each, qkv_groups, src, within


def config(hf: Configuration, header: Header) -> Decoder:
    hidden_size, num_heads = hf.integer("hidden_size"), hf.integer("num_attention_heads")
    head_dim = hf.head_dim(hidden_size, num_heads)
    hf.refuse(head_dim=(head_dim,))
    block = Block(
        attention=Attention(
            num_heads=num_heads,
            num_kv_heads=num_heads,
            head_dim=head_dim,
            causal=True,
            layout="groups",
            bias="all" if hf.flag("attention_bias", default=True) else "none",
            rotary=hf.rotary(head_dim, theta=10000.0, share=0.25, old=("rotary_emb_base", "rotary_pct")),
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="gelu"),
            gated=False,
            bias=True,
        ),
        norm=Norm(kind="layer", eps=hf.number("layer_norm_eps", default=1e-5), bias=True),
        residual="parallel" if hf.flag("use_parallel_residual", default=True) else "sequential",
    )
    # `lm_head` is what the module's own state_dict() says; files say `embed_out`.
    has_head = has_language_head(hf, header, "gpt_neox.", "embed_out.", "lm_head.")
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
    rules: RulesLike = {
        "embedding.weight": src("gpt_neox.embed_in.weight", *tied_names(c.head, "embed_out.weight")),
        **each(
            c.num_layers,
            "blocks.{i}.",
            "gpt_neox.layers.{i}.",
            {
                "attention_norm.*": "input_layernorm.*",
                **within("attention", qkv_groups(c.blocks[0].attention, "attention.query_key_value.*")),
                "attention.out.*": "attention.dense.*",
                "feedforward_norm.*": "post_attention_layernorm.*",
                "feedforward.up.*": "mlp.dense_h_to_4h.*",
                "feedforward.down.*": "mlp.dense_4h_to_h.*",
            },
        ),
        "norm.*": "gpt_neox.final_layer_norm.*",
        "head.weight": src("embed_out.weight", "lm_head.weight"),
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies=dict.fromkeys(("embed_out.weight", "lm_head.weight"), "gpt_neox.embed_in.weight"),
        derived=(
            "gpt_neox.layers.*.attention.bias",  # the causal mask
            "gpt_neox.layers.*.attention.masked_bias",
            "gpt_neox.layers.*.attention.rotary_emb.inv_freq",
        ),
        optional_prefix="gpt_neox.",
    )


FAMILY = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    classes=("GPTNeoXModel", "GPTNeoXForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
)
