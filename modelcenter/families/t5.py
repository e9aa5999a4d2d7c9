"""T5, its v1.1 and Flan. Source: arXiv:1910.10683; arXiv:2002.05202 (gated); transformers modeling_t5.py.

A relative bias that all layers of a stack share; logits are not scaled, those of a tied head are. Encoders
alone (sentence-T5) too.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.families import openbmb
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import class_names, classes, classification
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    Block,
    ClassificationHead,
    CrossAttention,
    EncoderDecoder,
    FeedForward,
    LanguageHead,
    Norm,
    RelativeBias,
    Side,
    Transform,
)
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    each,
    gate_up_separate,
    kv_separate,
    qkv_separate,
    within,
)

CLASSIFYING = ("SequenceClassification", "TokenClassification", "QuestionAnswering")


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    # Files written since say by `scale_decoder_outputs` what `tie_word_embeddings` said before.
    tied = hf.flag("tie_word_embeddings", default=True)
    return stacks(hf, tied=tied, scaled=hf.flag("scale_decoder_outputs", default=tied))


def stacks(
    hf: Configuration,
    *,
    tied: bool,
    scaled: bool,
    projection: str = "relu",
    bias_in_each: bool = False,
    scale: float | None = 1.0,
) -> EncoderDecoder:
    """A model of T5's kind.

    tied, scaled: its head. projection: the default of `feed_forward_proj`. bias_in_each: whether
    each layer has its own relative bias (UMT5). scale: of the attentions' logits; T5's went into the
    initialisation.
    """
    hidden_size, num_heads, head_dim = hf.integer("d_model"), hf.integer("num_heads"), hf.integer("d_kv")
    gated, activation = feedforward_kind(hf, projection)
    norm = Norm(kind="rms", eps=hf.number("layer_norm_epsilon", default=1e-6))
    feedforward = FeedForward(
        intermediate_size=hf.integer("d_ff"),
        activation=activation,
        gated=gated,
        layout="separate",
        precise="fp16",
    )
    own = Attention(
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_dim=head_dim,
        causal=False,
        layout="separate",
        scale=scale,
    )
    cross = CrossAttention(
        num_heads=num_heads, num_kv_heads=num_heads, head_dim=head_dim, layout="separate", scale=scale
    )

    def side(num_layers: int, is_decoder: bool) -> Side:
        positions = RelativeBias(
            num_buckets=hf.integer("relative_attention_num_buckets", default=32),
            max_distance=hf.integer("relative_attention_max_distance", default=128),
            bidirectional=not is_decoder,
            num_heads=num_heads,
        )
        block = Block(
            attention=replace(own, causal=is_decoder, relative_bias=positions if bias_in_each else None),
            cross_attention=cross if is_decoder else None,
            feedforward=feedforward,
            norm=norm,
        )
        return Side(blocks=(block,) * num_layers, norm=norm, positions=None if bias_in_each else positions)

    num_layers = hf.layers("num_layers")
    is_encoder = hf.architecture.endswith(("EncoderModel", "TokenClassification"))
    told = classification(hf, transform=Transform(activation="tanh"))
    decoder_layers = hf.layers("num_decoder_layers", default=num_layers)
    # The first files name a class T5WithLMHeadModel.
    has_head = hf.architecture.endswith("LMHeadModel") or not hf.architecture.endswith("Model")
    return EncoderDecoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=None,
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        encoder=side(num_layers, is_decoder=False),
        decoder=None if is_encoder else side(decoder_layers, is_decoder=True),
        head=told
        or (
            LanguageHead(tied=tied, scale=hidden_size**-0.5 if scaled else 1.0, name="seq2seq-lm")
            if has_head
            else None
        ),
        repeats_source=told is not None,
        decoder_start_token_id=hf.integer("decoder_start_token_id", default=hf.pad_token_id or 0, least=0),
    )


def feedforward_kind(hf: Configuration, projection: str) -> tuple[bool, str]:
    """Whether the feedforward is gated, and its activation; projection: the default of `feed_forward_proj`.

    transformers makes `is_gated_act` and `dense_act_fn` of it, writes all three and obeys the two on reading.
    """
    projection = str(hf.values.get("feed_forward_proj", projection))
    # "gated-gelu" has always meant the tanh form: that of the original implementation.
    named = "gelu_new" if projection == "gated-gelu" else projection.removeprefix("gated-")
    told = hf if "dense_act_fn" in hf else Configuration({"feed_forward_proj": named})
    gated = hf.flag("is_gated_act", default=projection.startswith("gated-"))
    return gated, told.activation("dense_act_fn", "feed_forward_proj", default=named)


def side_rules(name: str, side: Side | None, prefix: str = "") -> RulesLike:
    """The rules of one stack, whose layers number self-attention, (cross-attention) and feedforward.

    prefix: of its names in the file.
    """
    if side is None:
        return {}
    block, feedforward = side.blocks[0], side.blocks[0].feedforward
    assert isinstance(feedforward, FeedForward)
    cross: RulesLike = {}
    if block.cross_attention is not None:
        cross = {
            "cross_norm.*": "1.layer_norm.*",
            "cross_attention.q.*": "1.EncDecAttention.q.*",
            **within(
                "cross_attention",
                kv_separate(block.cross_attention, "1.EncDecAttention.k.*", "1.EncDecAttention.v.*"),
            ),
            "cross_attention.out.*": "1.EncDecAttention.o.*",
        }
    last, theirs = 2 if cross else 1, f"{prefix}{name}."
    shared = f"{theirs}block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    gate_up = gate_up_separate(feedforward, f"{last}.DenseReluDense.wi_0.*", f"{last}.DenseReluDense.wi_1.*")
    return {
        f"{name}.position_bias.weight": shared,
        **each(
            len(side.blocks),
            f"{name}.blocks.{{i}}.",
            f"{theirs}block.{{i}}.layer.",
            {
                "attention_norm.*": "0.layer_norm.*",
                **within(
                    "attention",
                    qkv_separate(
                        block.attention, "0.SelfAttention.q.*", "0.SelfAttention.k.*", "0.SelfAttention.v.*"
                    ),
                ),
                "attention.out.*": "0.SelfAttention.o.*",
                "attention.relative_bias.*": "0.SelfAttention.relative_attention_bias.*",
                **cross,
                "feedforward_norm.*": f"{last}.layer_norm.*",
                **(within("feedforward", gate_up) if feedforward.gated else {}),
                **({} if feedforward.gated else {"feedforward.up.*": f"{last}.DenseReluDense.wi.*"}),
                "feedforward.down.*": f"{last}.DenseReluDense.wo.*",
            },
        ),
        f"{name}.norm.*": f"{theirs}final_layer_norm.*",
    }


def is_gated(c: EncoderDecoder) -> bool:
    """Whether it is T5 v1.1 or one after it."""
    feedforward = c.encoder.blocks[0].feedforward
    return isinstance(feedforward, FeedForward) and feedforward.gated


def huggingface(c: EncoderDecoder) -> WeightMap:
    is_within = isinstance(c.head, ClassificationHead) and c.head.answer != "span"
    prefix = "transformer." if is_within else ""  # what classes of texts and of tokens call the model
    embedding = f"{prefix}shared.weight"
    copies = (f"{prefix}encoder.embed_tokens.weight", f"{prefix}decoder.embed_tokens.weight")
    return WeightMap.of(
        c.parameters(),
        {
            "embedding.weight": embedding,
            **side_rules("encoder", c.encoder, prefix),
            **side_rules("decoder", c.decoder, prefix),
            "head.weight": "lm_head.weight",
            **classes(c.head, dense="classification_head.dense", out="classification_head.out_proj"),
        },
        copies=dict.fromkeys((*copies, "lm_head.weight"), embedding),
        # T5 v1.1 and all after it have a head of their own, whatever their configurations say.
        apart=("lm_head.weight",) if is_gated(c) else (),
        # The first T5 files hold a bias that its cross-attention never had.
        unused=(f"{prefix}decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    )


def original_config(hf: Configuration, header: Header) -> EncoderDecoder:
    return openbmb.encoder_decoder("t5", hf, header)


FAMILY = Family(
    name="t5",
    model_types=("t5",),
    classes=(
        *class_names("T5", "ConditionalGeneration", *CLASSIFYING),
        *("T5WithLMHeadModel", "T5EncoderModel"),
    ),
    config=config,
    dialects={"huggingface": huggingface, openbmb.DIALECT: openbmb.encoder_decoder_map},
    readers={openbmb.DIALECT: original_config},
    tokenizer="t5",
)
