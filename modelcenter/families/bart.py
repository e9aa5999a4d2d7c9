"""BART. Source: arXiv:1910.13461; transformers modeling_bart.py.

Normalised after the sums and after the embedding; learned positions begin in the table's third row; every
product has a bias, the logits too (`final_logits_bias`). An untied model has three tables: the encoder's, the
decoder's and the head's. mBART, Pegasus, Marian, Blenderbot and M2M-100 are
its variants: where they normalise, and what their positions are.
"""

from __future__ import annotations

from dataclasses import replace

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import class_names, classes, classification, task
from modelcenter.families.family import Family, Header, carries
from modelcenter.models.config import (
    Attention,
    Block,
    CrossAttention,
    EncoderDecoder,
    FeedForward,
    LanguageHead,
    Learned,
    Norm,
    Side,
    Sinusoidal,
    Transform,
)
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    each,
    kv_separate,
    qkv_separate,
    row,
    within,
)

CLASSIFYING = ("SequenceClassification", "QuestionAnswering")


def config(hf: Configuration, header: Header) -> EncoderDecoder:
    made = stacks(hf, header, learned(hf, offset=2), pre_norm=False, embedding_norm=True, start=2)
    return replace(made, repeats_source=True)


def learned(hf: Configuration, offset: int) -> Learned:
    """Learned positions, the first in row `offset` of the table."""
    return Learned(num_positions=hf.integer("max_position_embeddings"), offset=offset)


def sinusoids(hf: Configuration, header: Header) -> Learned | Sinusoidal:
    """Sines and cosines (Pegasus, Marian), or the tables that the checkpoint holds of them."""
    if carries(header, "embed_positions."):
        return learned(hf, offset=0)
    return Sinusoidal(num_positions=hf.integer("max_position_embeddings"))


def stacks(
    hf: Configuration,
    header: Header,
    positions: Learned | Sinusoidal,
    *,
    pre_norm: bool,
    embedding_norm: bool,
    start: int,
    activation: str = "gelu",
    scaled: bool = False,
) -> EncoderDecoder:
    """A model of BART's kind.

    pre_norm: whether each sublayer is normalised before, and each stack at its end. start, activation: the
    defaults of `decoder_start_token_id` and `activation_function`; scaled: that of `scale_embedding`.
    """
    hidden_size = hf.integer("d_model")
    if isinstance(positions, Sinusoidal) and (hidden_size % 2 or hidden_size < 4):
        raise ConfigurationInvalid(
            f"has d_model {hidden_size} and positions of sines and cosines; expected an even number from 4"
        )
    norm = Norm(kind="layer", eps=1e-5, bias=True)

    def side(name: str) -> Side:
        num_heads = hf.integer(f"{name}_attention_heads")
        head_dim = hf.head_dim(hidden_size, num_heads)
        is_decoder = name == "decoder"
        cross = CrossAttention(
            num_heads=num_heads, num_kv_heads=num_heads, head_dim=head_dim, layout="separate", bias="all"
        )
        block = Block(
            attention=Attention(
                num_heads=num_heads,
                num_kv_heads=num_heads,
                head_dim=head_dim,
                causal=is_decoder,
                layout="separate",
                bias="all",
            ),
            cross_attention=cross if is_decoder else None,
            feedforward=FeedForward(
                intermediate_size=hf.integer(f"{name}_ffn_dim"),
                activation=hf.activation("activation_function", default=activation),
                gated=False,
                bias=True,
            ),
            norm=norm,
            norm_placement="before" if pre_norm else "after_residual",
        )
        return Side(
            blocks=(block,) * hf.layers(f"{name}_layers"),
            norm=norm if pre_norm else None,
            positions=positions,
            embedding_norm=norm if embedding_norm else None,
        )

    tied = hf.flag("tie_word_embeddings", default=True)
    # Untied, `shared` is read by nothing; files that hold it alone have one table for both all the same.
    has_own = not tied and all(name in header or name.removeprefix("model.") in header for name in COPIES)
    # Files from before the bias, which is zeros unless somebody trained it, lack it.
    has_bias = "final_logits_bias" in header
    language = hf.architecture.endswith(("ForConditionalGeneration", "MTModel"))
    told = classification(hf, transform=Transform(activation="tanh")) if task(hf) in CLASSIFYING else None
    return EncoderDecoder(
        vocab_size=hf.integer("vocab_size"),
        hidden_size=hidden_size,
        max_position_embeddings=hf.integer("max_position_embeddings"),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        encoder=side("encoder"),
        decoder=side("decoder"),
        head=LanguageHead(tied=tied, bias=has_bias, name="seq2seq-lm") if language else told,
        decoder_start_token_id=hf.integer("decoder_start_token_id", default=start, least=0),
        decoder_embedding=has_own,
        embedding_scale=hidden_size**0.5 if hf.flag("scale_embedding", default=scaled) else 1.0,
    )


def side_rules(name: str, side: Side | None) -> RulesLike:
    """The rules of one stack."""
    assert side is not None
    block, theirs = side.blocks[0], f"model.{name}."
    cross: RulesLike = {}
    if block.cross_attention is not None:
        cross = {
            "cross_norm.*": "encoder_attn_layer_norm.*",
            "cross_attention.q.*": "encoder_attn.q_proj.*",
            **within(
                "cross_attention",
                kv_separate(block.cross_attention, "encoder_attn.k_proj.*", "encoder_attn.v_proj.*"),
            ),
            "cross_attention.out.*": "encoder_attn.out_proj.*",
        }
    layer: RulesLike = {
        "attention_norm.*": "self_attn_layer_norm.*",
        **within(
            "attention",
            qkv_separate(block.attention, "self_attn.q_proj.*", "self_attn.k_proj.*", "self_attn.v_proj.*"),
        ),
        "attention.out.*": "self_attn.out_proj.*",
        **cross,
        "feedforward_norm.*": "final_layer_norm.*",
        "feedforward.up.*": "fc1.*",
        "feedforward.down.*": "fc2.*",
    }
    return {
        f"{name}.position_embedding.*": f"{theirs}embed_positions.*",
        f"{name}.embedding_norm.*": f"{theirs}layernorm_embedding.*",
        **each(len(side.blocks), f"{name}.blocks.{{i}}.", f"{theirs}layers.{{i}}.", layer),
        f"{name}.norm.*": f"{theirs}layer_norm.*",
    }


COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")


def huggingface(c: EncoderDecoder) -> WeightMap:
    shared, (encoders, decoders) = "model.shared.weight", COPIES
    return WeightMap.of(
        c.parameters(),
        {
            "embedding.weight": encoders if c.decoder_embedding else shared,
            "decoder_embedding.weight": decoders,
            **side_rules("encoder", c.encoder),
            **side_rules("decoder", c.decoder),
            "head.weight": "lm_head.weight",
            "head.bias": row("final_logits_bias"),
            **classes(c.head, dense="classification_head.dense", out="classification_head.out_proj"),
        },
        copies={} if c.decoder_embedding else dict.fromkeys((*COPIES, "lm_head.weight"), shared),
        unused=(shared,) if c.decoder_embedding else (),
        # A mark of fairseq's, and M2M-100's table of sines.
        derived=(
            "model.encoder.version",
            "model.decoder.version",
            "model.encoder.embed_positions.weights",
            "model.decoder.embed_positions.weights",
        ),
        optional_prefix="model.",
    )


FAMILY = Family(
    name="bart",
    model_types=("bart",),
    classes=class_names("Bart", "ConditionalGeneration", *CLASSIFYING),
    config=config,
    dialects={"huggingface": huggingface},
    tokenizer="roberta",
)
