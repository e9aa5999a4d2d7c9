"""GPT-2. Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners; modeling_gpt2.py.

Its linear weights are kept as (in, out), q, k and v in one matrix: the stored orientation stays.
"""

from __future__ import annotations

from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header, has_language_head, tied_names
from modelcenter.models.config import Attention, Block, Decoder, FeedForward, LanguageHead, Learned, Norm
from modelcenter.weights.rules import RulesLike, WeightMap, each, qkv_sections, src, within


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
    has_head = has_language_head(hf, header, "transformer.", "lm_head.")
    return Decoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=num_positions,
        blocks=tuple(map(block, range(hf.layers("n_layer", "num_hidden_layers")))),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=norm,
        positions=Learned(num_positions=num_positions),
        head=LanguageHead(tied=hf.flag("tie_word_embeddings", default=True)) if has_head else None,
    )


def huggingface(c: Decoder) -> WeightMap:
    rules: RulesLike = {
        "embedding.weight": src("transformer.wte.weight", *tied_names(c.head, "lm_head.weight")),
        "position_embedding.weight": "transformer.wpe.weight",
        **each(
            c.num_layers,
            "blocks.{i}.",
            "transformer.h.{i}.",
            {
                "attention_norm.*": "ln_1.*",
                **within("attention", qkv_sections(c.blocks[0].attention, "attn.c_attn.*")),
                "attention.out.*": "attn.c_proj.*",
                "feedforward_norm.*": "ln_2.*",
                "feedforward.up.*": "mlp.c_fc.*",
                "feedforward.down.*": "mlp.c_proj.*",
            },
        ),
        "norm.*": "transformer.ln_f.*",
        "head.weight": "lm_head.weight",
    }
    return WeightMap.of(
        c.parameters(),
        rules,
        copies={"lm_head.weight": "transformer.wte.weight"},
        derived=("transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"),
        optional_prefix="transformer.",
    )


FAMILY = Family(
    name="gpt2",
    model_types=("gpt2",),
    classes=("GPT2Model", "GPT2LMHeadModel"),
    config=config,
    dialects={"huggingface": huggingface},
)
