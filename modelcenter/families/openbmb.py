"""The original form of OpenBMB's models: ModelCenter and BMTrain. Source: model-center 1.0.2, bmtrain 1.0.1.

Its config.json holds constructor arguments, names no architecture and leaves out what equals a default of the
class; its `pytorch_model.pt` has names of its own, the same for a block of every architecture. What is common
is said here: which architecture it is, the defaults, the parts and the names of a block. A family adds what
is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from glob import escape
from typing import Any

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.family import Family, Header
from modelcenter.models.config import (
    Attention,
    Block,
    ClassificationHead,
    CrossAttention,
    Decoder,
    Encoder,
    EncoderDecoder,
    FeedForward,
    LanguageHead,
    Learned,
    MaskedLanguageHead,
    ModelConfig,
    Norm,
    Pooler,
    PrefixDecoder,
    Prompts,
    RelativeBias,
    SegmentBias,
    Side,
)
from modelcenter.weights.relations import renamed
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    each_block,
    gate_up_separate,
    kv_separate,
    qkv_separate,
    transposed,
    within,
)

DIALECT = "modelcenter"

_BLOCK: Mapping[str, Any] = {
    "pos_bias_type": "none", "norm_bias": True, "att_bias": True, "ffn_bias": True, "proj_bias": True,
    "ffn_activate_fn": "gelu", "length_scale": False, "attn_scale": True, "tied": True, "cls_head": None,
    "post_layer_norm": False, "norm_eps": 1e-5, "att_mask_value": "-inf",
}  # fmt: skip
_BARE = {"norm_bias": False, "att_bias": False, "ffn_bias": False, "proj_bias": False, "norm_eps": 1e-6}
_BASE = {"dim_model": 768, "num_heads": 12, "dim_head": 64, "dim_ff": 3072, "num_layers": 12}
_LARGE = {"dim_model": 1024, "num_heads": 16, "dim_head": 64, "dim_ff": 4096, "num_layers": 24}
_BUCKETS = {"pos_bias_type": "relative", "position_bias_num_buckets": 32, "position_bias_max_distance": 128}
_SIDES = {
    "dim_model": 768,
    "num_heads": 12,
    "dim_head": 64,
    "num_encoder_layers": 12,
    "num_decoder_layers": 12,
}
_GATED = {"ffn_activate_fn": "gated_gelu"}

# The arguments' defaults in model-center 1.0.2, without those of initialisers.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "bert": {
        **_BLOCK, **_BASE, "vocab_size": 119547, "type_size": 2, "position_size": 512, "norm_eps": 1e-12,
        "post_layer_norm": True, "att_mask_value": "-1e4",
    },
    "roberta": {
        **_BLOCK, **_LARGE, "vocab_size": 50265, "type_size": 1, "position_size": 514, "pad_token_id": 1,
        "post_layer_norm": True, "att_mask_value": "-1e4",
    },
    "longformer": {
        **_BLOCK, **_BASE, "vocab_size": 119547, "type_size": 2, "position_size": 512, "norm_eps": 1e-12,
        "post_layer_norm": True, "att_mask_value": "-1e4", "position_bias_max_distance": 1024,
        "sep_tok_id": 2, "attention_window": 512, "pad_token_id": 1,
    },
    "gpt2": {**_BLOCK, **_LARGE, "vocab_size": 50258, "position_size": 1024, "att_mask_value": "-1e4"},
    "gptj": {
        **_BLOCK, "vocab_size": 50400, "dim_model": 4096, "num_heads": 16, "dim_head": 256, "dim_ff": 16384,
        "num_layers": 28, "pos_bias_type": "rotary", "pos_rotary_dim": 64, "att_bias": False, "tied": False,
    },
    "opt": {
        **{name: value for name, value in _BLOCK.items() if name != "proj_bias"}, **_BASE,
        "vocab_size": 50272, "pad_token_id": 1, "prefix": "</s>", "position_size": 2048,
        "ffn_activate_fn": "relu", "att_mask_value": "-65504",
    },
    "llama": {
        **_BLOCK, **_BARE, "vocab_size": 32000, "dim_model": 4096, "num_heads": 32, "dim_head": 128,
        "dim_ff": 11008, "num_layers": 32, "pos_bias_type": "rotary", "ffn_activate_fn": "gated_silu",
        "tied": False,
    },
    "t5": {
        **_BLOCK, **_BARE, **_SIDES, **_BUCKETS, "vocab_size": 32128, "dim_ff": 3072,
        "ffn_activate_fn": "relu", "attn_scale": False, "scale": None,
    },
    "cpm1": {
        **_BLOCK, **_BARE, **_BASE, **_BUCKETS, **_GATED, "vocab_size": 30968, "dim_ff": 1920,
        "attn_scale": False, "tied": False,
    },
    "cpm2": {
        **_BLOCK, **_BARE, **_SIDES, **_BUCKETS, **_GATED, "vocab_size": 26240, "dim_ff": 1920,
        "attn_scale": False, "tied": False,
    },
    "cpm3": {
        **_BLOCK, **_BARE, **_GATED, "vocab_size": 30720, "dim_model": 4096, "num_heads": 64, "dim_head": 64,
        "dim_ff": 10240, "num_layers": 32, "pos_bias_type": "relative", "position_bias_num_buckets": 512,
        "position_bias_max_distance": 2048, "length_scale": True, "prompt_types": 32, "prompt_length": 64,
        "segment_types": 34, "max_exact_rate": 0.25, "max_distance_rate": 1.0, "absolute_inner_segment": True,
    },
    "glm": {
        **_BLOCK, **_LARGE, "vocab_size": 50048, "position_size": 1025, "proj_bias": False,
        "sop_tok_id": 50006, "eop_tok_id": 50007, "mask_tok_id": 50008,
    },
}  # fmt: skip

DEFAULTS_OF_VIT: Mapping[str, Any] = {
    "img_size": 224, "patch_size": 16, "channels_in": 3, "num_classes": 1000, "hidden_size": 768,
    "num_layers": 12, "num_heads": 12, "mlp_size": 3072, "attn_bias": True, "norm_bias": True,
    "ffn_bias": True, "representation_size": None,
}  # fmt: skip

FILES: Mapping[str, str] = {
    **{name: name for name in DEFAULTS},
    "vit": "vit",
    "cpmant": "cpmant",
    "cpmbee": "cpmbee",
    "glm": "glm_10b",
}
"""Architecture -> the file in `families/` that knows it."""

OF_THE_FILE = ("vocab_size", "position_size", "tied")
"""Arguments that follow from which tensors a file has, and their rows."""

RELATIVE_BIAS = "position_bias.relative_attention_bias"


BEGINNINGS = ("input_embedding.weight", "patch_embed.cls_token")  # one of them is in every model
PORTS = ("cpmant.", "cpmbee.")  # transformers' models, whose blocks have the same names and other values


def wrapper(values: Mapping[str, Any], header: Header) -> str:
    """What every name of the model begins with, where it was saved within a task's (`bert.`, `module.`).

    Empty where it was not, or where several models were saved together.
    """
    found = {name.removesuffix(end) for name in header for end in BEGINNINGS if name.endswith(end)}
    prefix = found.pop() if len(found) == 1 else ""
    is_ours = prefix.endswith(".") and prefix not in PORTS and not values.get("architectures")
    return prefix if is_ours else ""


def unwrapped(prefix: str, header: Header) -> Header:
    """The header of the model whose names begin with `prefix`, without it."""
    return {n.removeprefix(prefix): told for n, told in header.items() if n.startswith(prefix)}


def held(family: Family, prefix: str, header: Header) -> Family:
    """The family whose names begin with `prefix` in that file; other tensors are the task's, nothing reads
    them."""
    if not prefix:
        return family
    theirs = tuple(escape(name) for name in header if not name.startswith(prefix))

    def within(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(prefix + name for name in names)

    def weights(c: ModelConfig) -> WeightMap:
        made = family.dialects[DIALECT](c)
        return replace(
            made,
            rules={ours: renamed(rule, within) for ours, rule in made.rules.items()},
            copies={prefix + copy: prefix + name for copy, name in made.copies.items()},
            derived=within(made.derived),
            shared=within(made.shared),
            unused=(*within(made.unused), *theirs),
        )

    def config(hf: Configuration, header: Header) -> ModelConfig:
        return family.reader(DIALECT)(hf, unwrapped(prefix, header))

    return replace(
        family,
        dialects={**family.dialects, DIALECT: weights},
        readers={**family.readers, DIALECT: config},
    )


def architecture(values: Mapping[str, Any], header: Header) -> str | None:
    """Which of `FILES` a checkpoint is, told from its tensors; None where they are not of this form.

    BERT and RoBERTa have the same names and differ in positions alone: the padding token tells. So have T5
    and CPM-2: whose default the feedforward is, where nothing is stated, else the scale tells.
    """
    header = unwrapped(wrapper(values, header), header)

    def there(*parts: str) -> bool:
        return any(part in name for name in header for part in parts)

    if "layernorm_after_dec.weight" in header:
        return "cpm2"  # of the oldest names
    if not there("self_att.layernorm_before_attention", "ffn.layernorm_before_ffn"):
        return None
    if there("patch_embed."):
        return "vit"
    if "segment_embedding.weight" in header:
        return "cpmant"
    if "prompt_embedding.weight" in header:
        return "cpm3"
    if "block_position_embedding.weight" in header:
        return "glm"
    if there("_global."):
        return "longformer"
    starts = {name.partition(".")[0] for name in header}
    if {"encoder", "decoder"} <= starts:
        has_gates = there("w_in.w_0", "ffn.ffn.w_0")
        is_cpm2 = values.get("length_scale") if values.get("ffn_activate_fn") else has_gates
        return "cpm2" if is_cpm2 else "t5"
    if "decoder" in starts:
        return "opt"
    if RELATIVE_BIAS in header:
        return "cpmbee" if "position_bias_num_segment_buckets" in values else "cpm1"
    if there("lm_head.dense", "token_type_embedding."):
        return "roberta" if values.get("pad_token_id") is not None else "bert"
    if "position_embedding.weight" in header:
        return "gpt2"
    return "llama" if there("w_in.w_0") else "gptj"


def arguments(name: str, hf: Configuration, header: Header) -> Configuration:
    """The constructor's arguments, defaults filled in; the tables' rows are those that the file has.

    Raises ConfigurationInvalid for what changes the computation in ways that no family here knows.
    """
    stated = {key: value for key, value in hf.values.items() if value is not None}
    values = {**DEFAULTS[name], **stated}
    # Released configurations get the tables wrong: an early GPT-2 states 50257 words for 50258 rows.
    # OPT's tables begin before position 0.
    before = {"position_size": 2 if name == "opt" else 0}
    for key, table in (
        ("vocab_size", "input_embedding.weight"),
        ("position_size", "position_embedding.weight"),
    ):
        if key in values and table in header and len(header[table].shape) == 2:
            values[key] = header[table].shape[0] - before.get(key, 0)
    found = Configuration(values)
    found.refuse(
        pos_bias_type=(DEFAULTS[name]["pos_bias_type"],),
        post_layer_norm=(DEFAULTS[name]["post_layer_norm"],),
        # No release scales a table of positions.
        length_scale=(False,) if "position_size" in values else (False, True),
    )
    return found


def norm(c: Configuration) -> Norm:
    """With a bias a layer norm, without one the root mean square alone."""
    bias = c.flag("norm_bias", default=False)
    return Norm(kind="layer" if bias else "rms", eps=c.number("norm_eps"), bias=bias)


def attention(c: Configuration, *, causal: bool, **options: Any) -> Attention:
    """Attention of `num_heads` heads of `dim_head`, which need not make up `dim_model`."""
    num_heads = c.integer("num_heads")
    given: dict[str, Any] = {
        "num_kv_heads": num_heads,
        "head_dim": c.integer("dim_head"),
        "bias": "all" if c.flag("att_bias", default=False) else "none",
        "scale": None if c.flag("attn_scale", default=True) else 1.0,
        "layout": "separate",
        "length_scaled": c.flag("length_scale", default=False),
        **options,
    }
    return Attention(num_heads=num_heads, causal=causal, **given)


def cross_attention(a: Attention) -> CrossAttention:
    """Attention to the encoder's output, of the same size as `a`."""
    return CrossAttention(
        num_heads=a.num_heads,
        num_kv_heads=a.num_kv_heads,
        head_dim=a.head_dim,
        bias=a.bias,
        scale=a.scale,
        layout=a.layout,
        length_scaled=a.length_scaled,
    )


ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")  # the original has no others


def feedforward(c: Configuration) -> FeedForward:
    """A feedforward of `dim_ff`, gated where the activation's name says so."""
    named = str(c.values.get("ffn_activate_fn"))
    activation = named.removeprefix("gated_")
    if activation not in ACTIVATIONS:
        raise ConfigurationInvalid(
            f"has ffn_activate_fn {named!r}; expected one of {', '.join(ACTIVATIONS)}, or gated_ before it"
        )
    return FeedForward(
        intermediate_size=c.integer("dim_ff"),
        activation=activation,
        gated=named != activation,
        bias=c.flag("ffn_bias", default=False),
        layout="separate",
        length_scaled=c.flag("length_scale", default=False),
    )


def block(c: Configuration, *, causal: bool = True, **options: Any) -> Block:
    """One layer; options: of its attention."""
    return Block(attention=attention(c, causal=causal, **options), feedforward=feedforward(c), norm=norm(c))


def with_halves(blocks: tuple[Block, ...], hf: Configuration) -> tuple[Block, ...]:
    """The layers, of some of which CPM-Live's `mask_modules` leaves attention or feedforward out.

    It has a pair for each layer: whether there is no attention, whether there is no feedforward.
    """
    masks = hf.values.get("mask_modules")
    if masks is None:
        return blocks
    pairs = masks if isinstance(masks, list) else []
    is_told = len(pairs) == len(blocks) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(flag) is bool for flag in pair)
        for pair in pairs
    )
    if not is_told or all(no_attention for no_attention, _ in pairs):
        raise ConfigurationInvalid(
            f"has mask_modules {str(masks)[:60]}; expected for each of {len(blocks)} layers a pair of true "
            "or false, and attention in one layer at least"
        )
    return tuple(
        replace(block, has_attention=not no_attention, has_feedforward=not no_feedforward)
        for block, (no_attention, no_feedforward) in zip(blocks, pairs, strict=True)
    )


def embedding_scale(c: Configuration) -> float:
    """What embedded tokens, and the hidden states before a product with a vocabulary, are multiplied by."""
    return c.integer("dim_model") ** -0.5 if c.flag("length_scale", default=False) else 1.0


def head(c: Configuration) -> LanguageHead | ClassificationHead:
    """Logits over the vocabulary, by the embedding or by `output_projection`; of `cls_head` classes instead.

    The original then tells every token's class.
    """
    if c.values.get("cls_head"):
        return classes(c)
    tied = c.flag("tied", default=False)
    bias = not tied and c.flag("proj_bias", default=False)
    return LanguageHead(tied=tied, bias=bias, scale=embedding_scale(c))


def classes(c: Configuration) -> ClassificationHead:
    """A logit for each of `cls_head` classes and each token."""
    return ClassificationHead(
        name="token-classification",
        num_labels=c.integer("cls_head"),
        of="tokens",
        bias=c.flag("proj_bias", default=True),
        scale=embedding_scale(c),
    )


def relative_bias(c: Configuration, *, bidirectional: bool) -> RelativeBias:
    """One table for all layers, with T5's buckets."""
    return RelativeBias(
        num_buckets=c.integer("position_bias_num_buckets"),
        max_distance=c.integer("position_bias_max_distance"),
        bidirectional=bidirectional,
        num_heads=c.integer("num_heads"),
    )


# --- names


def layer(block: Block) -> RulesLike:
    """The names of one layer, whose weights the original keeps as (out, in)."""
    own, feedforward = "self_att.self_attention.", block.feedforward
    assert isinstance(feedforward, FeedForward)
    cross: RulesLike = {}
    if block.cross_attention is not None:
        theirs = "cross_att.self_attention."  # so the original calls it
        kv = kv_separate(block.cross_attention, f"{theirs}project_k.*", f"{theirs}project_v.*")
        cross = {
            "cross_norm.*": "cross_att.layernorm_before_attention.*",
            "cross_attention.q.*": f"{theirs}project_q.*",
            **within("cross_attention", kv),
            "cross_attention.out.*": f"{theirs}attention_out.*",
        }
    rules: RulesLike = {
        "attention_norm.*": "self_att.layernorm_before_attention.*",
        **within(
            "attention",
            qkv_separate(block.attention, f"{own}project_q.*", f"{own}project_k.*", f"{own}project_v.*"),
        ),
        "attention.out.*": f"{own}attention_out.*",
        **cross,
        "feedforward_norm.*": "ffn.layernorm_before_ffn.*",
        **(
            within("feedforward", gate_up_separate(feedforward, "ffn.ffn.w_in.w_0.*", "ffn.ffn.w_in.w_1.*"))
            if feedforward.gated
            else {"feedforward.up.*": "ffn.ffn.w_in.w.*"}
        ),
        "feedforward.down.*": "ffn.ffn.w_out.*",
    }
    return rules if not block.attention.transposed else {k: transposed(rule) for k, rule in rules.items()}


def stack(
    blocks: tuple[Block, ...],
    *,
    ours: str = "",
    root: str = "encoder",
    names: Callable[[Block], RulesLike] = layer,
) -> RulesLike:
    """The names of a stack and its last norm; names: of a layer."""
    return {
        **each_block(blocks, f"{ours}blocks.{{i}}.", f"{root}.layers.{{i}}.", names),
        f"{ours}norm.*": f"{root}.output_layernorm.*",
    }


# Files written before March 2022 lack the last parts of names.
OLDER = (("ffn.ffn.w_in.w_0.weight", "ffn.ffn.w_0"), ("ffn.ffn.w_in.w_1.weight", "ffn.ffn.w_1"))


def with_older(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names with those that the same tensors had before March 2022."""
    found = list(names)
    for name in names:
        older = name
        for new, old in OLDER:
            older = older.replace(new, old)
        found.append(older.removesuffix(".weight"))
    return tuple(dict.fromkeys(found))


# CPM-2's before that.
OLDEST = (
    ("encoder.layers.", "enc_layers."),
    ("decoder.layers.", "dec_layers."),
    ("encoder.output_layernorm.", "layernorm_after_enc."),
    ("decoder.output_layernorm.", "layernorm_after_dec."),
    (".self_att.self_attention.", ".self_attention."),
    (".cross_att.self_attention.", ".cross_attention."),
    (".cross_att.layernorm_before_attention.", ".layernorm_before_cross_attention."),
    (".ffn.layernorm_before_ffn.", ".layernorm_before_ff."),
    (".ffn.ffn.w_in.", ".ff."),
    (".ffn.ffn.", ".ff."),
    (".relative_attention_bias", ".weight"),
)


def with_oldest(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of CPM-2 with those that the same tensors have had."""
    found = []
    for name in names:
        older = name
        for new, old in OLDEST:
            older = older.replace(new, old)
        kind = "" if older.startswith("enc_") else "self_"
        older = older.replace(".self_att.layernorm_before_attention", f".layernorm_before_{kind}attention")
        is_product = any(part in older for part in ("_attention.project", "attention_out", ".ff."))
        found.append(older.removesuffix(".weight") if is_product else older)
    return tuple(dict.fromkeys((*with_older(names), *found)))


VOCABULARY_HEADS = (
    *("output_projection.weight", "output_projection.bias"),
    *(f"lm_head.{part}.{kind}" for part in ("dense", "layer_norm", "decoder") for kind in ("weight", "bias")),
)


def weight_map(
    c: ModelConfig,
    rules: RulesLike,
    *,
    copies: Mapping[str, str] | None = None,
    derived: tuple[str, ...] = (),
    unused: tuple[str, ...] = (),
    spelled: Callable[[tuple[str, ...]], tuple[str, ...]] = with_older,
) -> WeightMap:
    """The map of a model: the table of embeddings, the family's rules, an untied head.

    spelled: a tensor's names with those that it had in older files.
    """
    # With a head that tells classes, that over the vocabulary stays in the file, and nothing reads it.
    tells_classes = isinstance(getattr(c, "head", None), ClassificationHead)
    unread = VOCABULARY_HEADS if tells_classes else ()
    made = WeightMap.of(
        c.parameters(),
        {
            "embedding.weight": "input_embedding.weight",
            "position_embedding.weight": "position_embedding.weight",
            "head.*": "output_projection.*",
            "head.out.*": "cls_projection.*",
            **rules,
        },
        copies=copies,
        derived=derived,
        unused=(*unused, *unread),
    )
    return replace(made, rules={ours: renamed(rule, spelled) for ours, rule in made.rules.items()})


def decoder(name: str, hf: Configuration, header: Header, **options: Any) -> Decoder:
    """A decoder of one kind of block; options: of its attention."""
    c = arguments(name, hf, header)
    one, positions = block(c, **options), c.integer("position_size", default=None)
    return Decoder(
        vocab_size=c.integer("vocab_size"),
        hidden_size=c.integer("dim_model"),
        max_position_embeddings=positions,
        blocks=(one,) * c.layers("num_layers"),
        positions=Learned(num_positions=positions) if positions is not None else None,
        embedding_scale=embedding_scale(c),
        norm=one.norm,
        head=head(c),
    )


def decoder_map(c: Decoder) -> WeightMap:
    """The map of a decoder without tensors of its own."""
    return weight_map(c, stack(c.blocks))


def encoder(
    name: str, hf: Configuration, header: Header, positions: Learned, own: Attention | None = None
) -> Encoder:
    """BERT and its kin, whose norms come after the sums. own: their attention, where it is another kind.

    The original has them before the sublayers and adds to what is normalised: the same, shifted by one.
    """
    c = arguments(name, hf, header)
    one = replace(block(c, causal=False), norm_placement="after_residual")
    one = replace(one, attention=own or one.attention)
    lm_norm = Norm(kind="layer", eps=one.norm.eps, bias=True)
    tied = c.flag("tied", default=True)
    masked = MaskedLanguageHead(activation="gelu", norm=lm_norm, tied=tied, bias=tied)
    has_masked = any(table.startswith("lm_head.") for table in header)
    return Encoder(
        vocab_size=c.integer("vocab_size"),
        hidden_size=c.integer("dim_model"),
        max_position_embeddings=positions.num_positions,
        blocks=(one,) * c.layers("num_layers"),
        pad_token_id=c.pad_token_id,
        embedding_norm=one.norm,
        positions=positions,
        type_vocab_size=c.integer("type_size"),
        pooler=Pooler() if any(table.startswith("pooler.") for table in header) else None,
        head=classes(c) if c.values.get("cls_head") else masked if has_masked else None,
    )


def padding(name: str, hf: Configuration, header: Header) -> int:
    """The padding token, before whose row of the table of positions no token is."""
    return arguments(name, hf, header).integer("pad_token_id", least=0)


def num_positions(name: str, hf: Configuration, header: Header) -> int:
    """The rows of the table of positions."""
    return arguments(name, hf, header).integer("position_size")


def encoder_map(c: Encoder, names: Callable[[Block], RulesLike] = layer) -> WeightMap:
    """The map of BERT and its kin; names: of a layer."""
    last = c.num_layers - 1
    rules: dict[str, Any] = {**stack(c.blocks, names=names)}
    for i in range(c.num_layers):
        after = (
            "encoder.output_layernorm.*"
            if i == last
            else (f"encoder.layers.{i + 1}.self_att.layernorm_before_attention.*")
        )
        rules[f"blocks.{i}.attention_norm.*"] = f"encoder.layers.{i}.ffn.layernorm_before_ffn.*"
        rules[f"blocks.{i}.feedforward_norm.*"] = after
    tied = isinstance(c.head, MaskedLanguageHead) and c.head.tied
    return weight_map(
        c,
        {
            **rules,
            "type_embedding.weight": "token_type_embedding.weight",
            "embedding_norm.*": "encoder.layers.0.self_att.layernorm_before_attention.*",
            "pooler.*": "pooler.dense.*",
            "head.dense.*": "lm_head.dense.*",
            "head.norm.*": "lm_head.layer_norm.*",
            "head.bias": "lm_head.decoder.bias",
            "head.decoder.*": "lm_head.decoder.*",
        },
        # Built whether the head is tied or not, and then read by nothing.
        unused=("lm_head.decoder.weight",) if tied else (),
    )


def prefix_decoder(
    c: Configuration, bias: RelativeBias | SegmentBias, prompts: Prompts | None = None
) -> PrefixDecoder:
    """CPM-1 and CPM-3."""
    one = block(c)
    return PrefixDecoder(
        vocab_size=c.integer("vocab_size"),
        hidden_size=c.integer("dim_model"),
        max_position_embeddings=None,
        blocks=(one,) * c.layers("num_layers"),
        embedding_scale=embedding_scale(c),
        norm=one.norm,
        head=head(c),
        position_bias=bias,
        prompts=prompts,
    )


def prefix_decoder_map(c: PrefixDecoder) -> WeightMap:
    """The map of CPM-1, CPM-3 and CPM-Ant."""
    return weight_map(
        c,
        {
            "position_bias.weight": RELATIVE_BIAS,
            "prompt_embedding.weight": "prompt_embedding.weight",
            "segment_embedding.weight": "segment_embedding.weight",
            **stack(c.blocks),
        },
    )


def encoder_decoder(name: str, hf: Configuration, header: Header) -> EncoderDecoder:
    """T5 and CPM-2, whose embedding is not scaled as their products are."""
    c = arguments(name, hf, header)
    scaled = c.flag("length_scale", default=False)
    tied = c.flag("tied", default=False)
    size = c.integer("dim_model")
    if scaled and name == "t5":
        raise ConfigurationInvalid("has length_scale true, which no T5 has: unsupported")
    head: LanguageHead | ClassificationHead
    if c.values.get("cls_head"):
        head = classes(c)
    else:
        bias = not tied and c.flag("proj_bias", default=False)
        factor = size**-0.5 if scaled and not tied else 1.0
        head = LanguageHead(tied=tied, bias=bias, scale=factor, name="seq2seq-lm")
    if c.values.get("scale"):  # T5's alone: 100 undoes what its released weights are divided by
        if head.bias:
            raise ConfigurationInvalid("has scale and proj_bias, of which no T5 has both: unsupported")
        head = replace(head, scale=head.scale * 100 * size**-0.5)

    def side(layers: str, is_decoder: bool) -> Side:
        own = block(c, causal=is_decoder)
        if name == "t5":
            own = replace(own, feedforward=replace(feedforward(c), precise="fp16"))
        cross = cross_attention(own.attention) if is_decoder else None
        return Side(
            blocks=(replace(own, cross_attention=cross),) * c.layers(layers),
            norm=own.norm,
            positions=relative_bias(c, bidirectional=not is_decoder),
        )

    return EncoderDecoder(
        vocab_size=c.integer("vocab_size"),
        hidden_size=size,
        max_position_embeddings=None,
        encoder=side("num_encoder_layers", is_decoder=False),
        decoder=side("num_decoder_layers", is_decoder=True),
        head=head,
        decoder_start_token_id=0,
    )


def encoder_decoder_map(c: EncoderDecoder) -> WeightMap:
    """The map of T5 and CPM-2."""
    rules: dict[str, Any] = {}
    for ours, theirs, side in (("encoder", "enc", c.encoder), ("decoder", "dec", c.decoder)):
        if side is not None:
            rules |= stack(side.blocks, ours=f"{ours}.", root=ours)
            rules[f"{ours}.position_bias.weight"] = f"position_bias_{theirs}.relative_attention_bias"
    return weight_map(c, rules, spelled=with_oldest)


# --- the other way: from a model to its constructor's arguments


def described(name: str, c: Any, **own: Any) -> dict[str, Any]:
    """The arguments that make the original build `c`; what they cannot say, reading them again shows.

    own: those of the family.
    """
    block = c.blocks[0]
    a, f = block.attention, block.feedforward
    gate = "gated_" if getattr(f, "gated", False) else ""
    told = {
        "vocab_size": c.vocab_size,
        "dim_model": c.hidden_size,
        "num_heads": a.num_heads,
        "dim_head": a.head_dim,
        "dim_ff": f.intermediate_size,
        "num_layers": c.num_layers,
        "norm_bias": block.norm.bias,
        "norm_eps": block.norm.eps,
        "att_bias": a.bias == "all",
        "ffn_bias": f.bias,
        "ffn_activate_fn": gate + f.activation,
        "length_scale": a.length_scaled,
        "attn_scale": a.scale in (None, a.head_dim**-0.5),
    }
    head = getattr(c, "head", None)
    if isinstance(head, LanguageHead):
        told |= {
            "tied": head.tied,
            "proj_bias": head.bias if not head.tied else DEFAULTS[name].get("proj_bias"),
        }
    elif isinstance(head, ClassificationHead) and head.of == "tokens":
        # Tied, so that the original builds no matrix over the vocabulary, which nothing would fill.
        told |= {"cls_head": head.num_labels, "proj_bias": head.bias, "tied": True}
    known = {key: value for key, value in {**told, **own}.items() if key in DEFAULTS[name] or key in own}
    return {**DEFAULTS[name], **known}


Describe = Callable[[Any], dict[str, Any]]


def describe(name: str) -> Describe:
    """`described` for architectures without arguments of their own."""
    return partial(described, name)
