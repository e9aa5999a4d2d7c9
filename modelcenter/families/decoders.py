"""What decoder families share: the facts that each config.json has, and the names that most files use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.configuration import Configuration
from modelcenter.families.encoders import task
from modelcenter.families.family import Header, has_language_head
from modelcenter.models.config import (
    Attention,
    Block,
    ClassificationHead,
    Decoder,
    FeedForward,
    LanguageHead,
    Norm,
    Rotary,
)
from modelcenter.weights.rules import (
    RulesLike,
    WeightMap,
    each_block,
    gate_up_sections,
    gate_up_separate,
    qkv_separate,
    src,
    within,
)

TANH_GELU = "gelu_pytorch_tanh"  # Gemma's
UNTIED = LanguageHead(tied=False)
TIED = LanguageHead(tied=True)

# (q, k and v have a bias, the output has one) -> how `Attention` says it.
BIASES: Mapping[tuple[bool, bool], Literal["none", "qkv", "out", "all"]] = {
    (False, False): "none",
    (True, False): "qkv",
    (False, True): "out",
    (True, True): "all",
}

# As configurations since GPT-2 have spelled them. Where both are there, BLOOM's and Falcon's n_embed counts.
HIDDEN_SIZE = ("n_embed", "hidden_size", "n_embd", "d_model")
NUM_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


def attention(
    hf: Configuration,
    rotary: Callable[[int], Rotary | None],
    *,
    own_head_dim: bool = True,
    head_dim: int = 0,
    **options: Any,
) -> Attention:
    """Causal attention of NUM_HEADS, grouped by `num_key_value_heads`; q, k and v stored apart.

    rotary: from the width of a head. own_head_dim: whether the family's `head_dim` may differ from the
    hidden size's share. head_dim: the family's default of it, 0: that share. options: whatever else
    `Attention` takes.
    """
    hidden_size, num_heads = hf.integer(*HIDDEN_SIZE), hf.integer(*NUM_HEADS)
    own = hf.integer("head_dim", default=head_dim) if own_head_dim else 0
    head_dim = own or hf.head_dim(hidden_size, num_heads)
    given: dict[str, Any] = {
        "num_kv_heads": hf.integer("num_key_value_heads", default=num_heads),
        "causal": is_causal(hf),
        "layout": "separate",
        "rotary": rotary(head_dim),
        **options,
    }
    return Attention(num_heads=num_heads, head_dim=head_dim, **given)


def is_causal(hf: Configuration) -> bool:
    """Whether tokens see only those before them: not so where a decoder was made an encoder of texts."""
    return hf.flag("is_causal", default=True)


def attention_bias(
    hf: Configuration, kind: Literal["qkv", "all"] = "all", *, default: bool = False
) -> Literal["none", "qkv", "all"]:
    """Which products of attention have a bias: those of `kind` where `attention_bias` says so."""
    return kind if hf.flag("attention_bias", default=default) else "none"


def window(hf: Configuration, default: int | None = None) -> int | None:
    """`sliding_window` in tokens: none where it is null, the family's default where it is absent."""
    size = hf.integer("sliding_window", default=None if "sliding_window" in hf.values else default)
    # Both ways, transformers counts the tokens to each side, and the token itself besides.
    return size if size is None or is_causal(hf) else size + 1


def layer_types(hf: Configuration, usual: Callable[[int], bool]) -> tuple[str, ...]:
    """The kind of each layer's attention, `full_attention` or `sliding_attention`.

    usual: whether layer i is a sliding one where config.json has no `layer_types`.
    """
    count = hf.layers("num_hidden_layers")
    kinds = hf.values.get("layer_types")
    if kinds is None:
        return tuple("sliding_attention" if usual(i) else "full_attention" for i in range(count))
    if not isinstance(kinds, list) or len(kinds) != count:
        raise ConfigurationInvalid(f"has layer_types that are not a list of {count}, one for each layer")
    for kind in kinds:
        if kind not in ("full_attention", "sliding_attention"):
            raise ConfigurationInvalid(
                f"has a layer of type {kind!r}; expected full_attention or sliding_attention"
            )
    return tuple(kinds)


def windowed(
    block: Block, kinds: Sequence[str], window: int | None, rotary: Rotary | None = None
) -> tuple[Block, ...]:
    """`block` for each of `kinds`, with `window` and, if given, `rotary` where it is `sliding_attention`."""
    if window is None and "sliding_attention" in kinds:
        raise ConfigurationInvalid("has layers of sliding_attention and no sliding_window")
    attention = replace(block.attention, window=window, rotary=rotary or block.attention.rotary)
    sliding = replace(block, attention=attention)
    return tuple(sliding if kind == "sliding_attention" else block for kind in kinds)


def gated(hf: Configuration, *names: str, activation: str = "silu", **options: Any) -> FeedForward:
    """A gated feedforward of `intermediate_size` whose two matrices are stored apart.

    names: of the activation, the first that is set; activation: the family's default.
    """
    given: dict[str, Any] = {
        "intermediate_size": hf.integer("intermediate_size"),
        "activation": hf.activation(*(names or ("hidden_act",)), default=activation),
        "layout": "separate",
        **options,
    }
    return FeedForward(gated=True, **given)


def rms_norm(hf: Configuration, *names: str, eps: float = 1e-6, **options: Any) -> Norm:
    """The root mean square norm of `rms_norm_eps`, or of the first of `names` that is set."""
    return Norm(kind="rms", eps=hf.number(*(names or ("rms_norm_eps",)), default=eps), **options)


def layer_norm(hf: Configuration, *names: str, eps: float = 1e-5, bias: bool = True) -> Norm:
    """The layer norm of `layer_norm_eps`, or of the first of `names` that is set."""
    return Norm(kind="layer", eps=hf.number(*(names or ("layer_norm_eps",)), default=eps), bias=bias)


def decoder(
    hf: Configuration,
    header: Header,
    blocks: Sequence[Block],
    norm: Norm | None,
    *,
    head: LanguageHead = UNTIED,
    prefix: str = "model.",
    heads: tuple[str, ...] = ("lm_head.",),
    max_position_embeddings: int | None = None,
    **options: Any,
) -> Decoder:
    """The decoder of `blocks`, with what every config.json says of one.

    head: what it has where the checkpoint carries one; `tied` is the default of `tie_word_embeddings`.
    prefix: of the model's own tensors in a file with a head; heads: how a head's tensors begin.
    max_position_embeddings: the family's default. options: whatever else `Decoder` takes.
    """
    if not is_causal(hf) and any(block.attention.causal for block in blocks):
        hf.refuse(is_causal=(True,))
    has_head = has_language_head(hf, header, prefix, *heads)
    tied = hf.flag("tie_word_embeddings", default=head.tied)
    given: dict[str, Any] = {
        "hidden_size": hf.integer(*HIDDEN_SIZE),
        "max_position_embeddings": hf.integer(
            "max_position_embeddings", "n_positions", "seq_length", default=max_position_embeddings
        ),
        **options,
    }
    return Decoder(
        vocab_size=hf.integer("vocab_size"),
        blocks=tuple(blocks),
        pad_token_id=hf.pad_token_id,
        eos_token_ids=hf.eos_token_ids,
        norm=norm,
        head=classification(hf) or (replace(head, tied=tied) if has_head else None),
        **given,
    )


# What else every decoder's classes are for; they are made alike.
CLASSIFYING = ("SequenceClassification", "TokenClassification", "QuestionAnswering")


def classification(hf: Configuration) -> ClassificationHead | None:
    """The head of the class it was saved from, where that tells classes of texts or tokens apart, or where
    an answer begins and ends.

    A text's class is told from its last token that is not padding.
    """
    kind = task(hf)
    if kind == "SequenceClassification":
        return ClassificationHead(
            name="sequence-classification", num_labels=hf.num_labels, of="last", bias=False
        )
    if kind == "TokenClassification":
        hf.refuse(token_classification_bias=(True,))
        return ClassificationHead(name="token-classification", num_labels=hf.num_labels, of="tokens")
    if kind == "QuestionAnswering":
        return ClassificationHead(name="question-answering", num_labels=2, of="tokens", answer="span")
    return None


def llama_layer(block: Block) -> RulesLike:
    """The names that Llama's files use in a layer, and most after it."""
    return {
        "attention_norm.*": "input_layernorm.*",
        **llama_attention(block),
        "feedforward_norm.*": "post_attention_layernorm.*",
        **llama_feedforward(block),
    }


def llama_attention(block: Block) -> RulesLike:
    """The names of Llama's attention; norms of queries and keys by the names of Qwen 3."""
    return {
        **within(
            "attention",
            qkv_separate(block.attention, "self_attn.q_proj.*", "self_attn.k_proj.*", "self_attn.v_proj.*"),
        ),
        "attention.out.*": "self_attn.o_proj.*",
        "attention.q_norm.*": "self_attn.q_norm.*",
        "attention.k_norm.*": "self_attn.k_norm.*",
    }


def llama_feedforward(block: Block, name: str = "mlp") -> RulesLike:
    """The names of Llama's feedforward."""
    assert isinstance(block.feedforward, FeedForward)
    return {
        **within(
            "feedforward",
            gate_up_separate(block.feedforward, f"{name}.gate_proj.*", f"{name}.up_proj.*"),
        ),
        "feedforward.down.*": f"{name}.down_proj.*",
    }


def fused_feedforward(block: Block, gate_up: str = "mlp.gate_up_proj") -> RulesLike:
    """The names of a feedforward whose gate and up are stored as one matrix [gate | up]."""
    assert isinstance(block.feedforward, FeedForward)
    return {
        **within("feedforward", gate_up_sections(block.feedforward, f"{gate_up}.*")),
        "feedforward.down.*": "mlp.down_proj.*",
    }


def decoder_map(
    c: Decoder,
    layer: Callable[[Block], RulesLike] = llama_layer,
    *,
    embedding: str = "model.embed_tokens",
    layers: str = "model.layers.{i}.",
    norm: str = "model.norm",
    head: tuple[str, ...] = ("lm_head",),
    prefix: str = "model.",
    derived: tuple[str, ...] = ("*.rotary_emb.inv_freq",),
    unused: tuple[str, ...] = (),
    prefixes: tuple[str, ...] = (),
    **more: str,
) -> WeightMap:
    """The map of a decoder onto files that call its parts so; all names without `.weight`.

    layer: the rules of a block. head: by every name that files use, the one that they are written with first.
    prefix: what base models' files lack. derived, unused, prefixes: see WeightMap. more: our parts beyond
    these -> their names (`position_embedding`).
    """
    weights = tuple(f"{name}.weight" for name in head)
    answers = isinstance(c.head, ClassificationHead) and c.head.answer == "span"
    classes = ("qa_outputs",) if answers else ("score", "classifier")
    rules: RulesLike = {
        "embedding.weight": f"{embedding}.weight",
        **each_block(c.blocks, "blocks.{i}.", layers, layer),
        "norm.*": f"{norm}.*",
        "head.weight": src(*weights),
        "head.bias": src(*(f"{name}.bias" for name in head)),
        "head.out.weight": src(*(f"{name}.weight" for name in classes)),
        "head.out.bias": src(*(f"{name}.bias" for name in classes)),
        **{f"{ours}.*": f"{theirs}.*" for ours, theirs in more.items()},
    }
    further = [layers.replace("{i}", str(c.num_layers + i)) + "*" for i in range(c.num_mtp_layers)]
    return WeightMap.of(
        c.parameters(),
        rules,
        copies=dict.fromkeys(weights, f"{embedding}.weight"),
        derived=derived,
        optional_prefix=prefix,
        prefixes=prefixes,
        unused=(*unused, *further),
    )


def gptj_decoder(
    hf: Configuration,
    header: Header,
    rotary: Rotary,
    *,
    kv_heads: tuple[str, ...] = NUM_HEADS,
    **options: Any,
) -> Decoder:
    """GPT-J and those after it: attention and feedforward side by side behind one norm, a bias in the head.

    kv_heads: where the number of key/value heads is told, else it is that of all heads. options: whatever
    else `Attention` takes.
    """
    block = Block(
        attention=attention(
            hf,
            lambda head_dim: rotary,
            num_kv_heads=hf.integer(*kv_heads, default=hf.integer(*NUM_HEADS)),
            own_head_dim=False,
            **options,
        ),
        feedforward=FeedForward(
            intermediate_size=hf.integer("n_inner", default=4 * hf.integer(*HIDDEN_SIZE)),
            activation=hf.activation("activation_function", default="gelu_new"),
            gated=False,
            bias=True,
        ),
        norm=layer_norm(hf, "layer_norm_epsilon"),
        residual="parallel_one_norm",
    )
    return decoder(
        hf,
        header,
        (block,) * hf.layers("n_layer", "num_hidden_layers"),
        block.norm,
        head=LanguageHead(tied=False, bias=True),
        prefix="transformer.",
        max_position_embeddings=2048,
    )


def gpt2_layer(qkv: RulesLike, out: str = "attn.c_proj.*") -> RulesLike:
    """The names of GPT-2's layer, and of those who follow it; how q, k and v are stored is their own."""
    return {
        "attention_norm.*": "ln_1.*",
        **within("attention", qkv),
        "attention.out.*": out,
        "feedforward_norm.*": "ln_2.*",
        "feedforward.up.*": "mlp.c_fc.*",
        "feedforward.down.*": "mlp.c_proj.*",
    }


def gpt2_map(
    c: Decoder, layer: Callable[[Block], RulesLike], derived: tuple[str, ...], **names: str
) -> WeightMap:
    """The map onto GPT-2's names of a decoder; names: those that differ, as `decoder_map` takes them."""
    return decoder_map(
        c,
        layer,
        embedding=names.pop("embedding", "transformer.wte"),
        layers="transformer.h.{i}.",
        norm="transformer.ln_f",
        prefix="transformer.",
        derived=derived,
        unused=("multiple_choice_head.*",),  # what GPT2DoubleHeadsModel has beside its language head
        **{"position_embedding": "transformer.wpe", **names},  # type: ignore[arg-type]
    )
