"""GPT-NeoX and Pythia. Source: arXiv:2204.06745, arXiv:2304.01373; transformers modeling_gpt_neox.py.

q, k and v lie in one matrix, head by head: each head's q, then its k, then its v.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.decoders import attention, decoder, decoder_map, layer_norm
from modelcenter.families.family import Family, Header
from modelcenter.models.config import Block, Decoder, FeedForward
from modelcenter.weights.rules import RulesLike, WeightMap, qkv_groups, within


def config(hf: Configuration, header: Header) -> Decoder:
    hf.refuse(head_dim=(hf.head_dim(hf.integer("hidden_size"), hf.integer("num_attention_heads")),))
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: hf.rotary(
                head_dim, theta=10000.0, share=0.25, old=("rotary_emb_base", "rotary_pct")
            ),
            num_kv_heads=hf.integer("num_attention_heads"),
            layout="groups",
            bias="all" if hf.flag("attention_bias", default=True) else "none",
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("intermediate_size"),
            activation=hf.activation("hidden_act", default="gelu"),
            gated=False,
            bias=True,
        ),
        norm=layer_norm(hf),
        residual="parallel" if hf.flag("use_parallel_residual", default=True) else "sequential",
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("num_hidden_layers"),
        block.norm,
        prefix="gpt_neox.",
        heads=HEADS,
        max_position_embeddings=2048,
    )


HEADS = ("embed_out.", "lm_head.")  # the latter is what the module's own state_dict() says


def layer(block: Block) -> RulesLike:
    return {
        "attention_norm.*": "input_layernorm.*",
        **within("attention", qkv_groups(block.attention, "attention.query_key_value.*")),
        "attention.out.*": "attention.dense.*",
        "feedforward_norm.*": "post_attention_layernorm.*",
        "feedforward.up.*": "mlp.dense_h_to_4h.*",
        "feedforward.down.*": "mlp.dense_4h_to_h.*",
    }


def huggingface(c: Decoder) -> WeightMap:
    return decoder_map(
        c,
        layer,
        embedding="gpt_neox.embed_in",
        layers="gpt_neox.layers.{i}.",
        norm="gpt_neox.final_layer_norm",
        head=("embed_out", "lm_head"),
        prefix="gpt_neox.",
        derived=(
            "gpt_neox.layers.*.attention.bias",  # the causal mask
            "gpt_neox.layers.*.attention.masked_bias",
            "gpt_neox.layers.*.attention.rotary_emb.inv_freq",
        ),
    )


FAMILY = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    classes=("GPTNeoXModel", "GPTNeoXForCausalLM"),
    config=config,
    dialects={"huggingface": huggingface},
    spellings={"GPTNeoXForTokenClassification": ("score.", "classifier.")},
    tokenizer="gpt_neox",
)
