"""GPT-2, GPT-J, Llama and OPT as transformers and OpenBMB write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelcenter.errors import CannotConvert
from modelcenter.families import openbmb
from modelcenter.families.family import with_blocks
from modelcenter.families.forms.form import HUGGINGFACE, Adapted, Form, Get, common, original, tied
from modelcenter.models.config import ClassificationHead, Decoder, FeedForward

if TYPE_CHECKING:
    from torch import Tensor


def _llama(c: Decoder) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(f, FeedForward)
    return {
        **common(c, "llama", "LlamaForCausalLM" if c.head else "LlamaModel"),
        "hidden_size": c.hidden_size,
        "intermediate_size": f.intermediate_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": a.num_heads,
        "num_key_value_heads": a.num_kv_heads,
        "head_dim": a.head_dim,
        "hidden_act": f.activation,
        "max_position_embeddings": c.max_position_embeddings or 2048,
        "rms_norm_eps": c.blocks[0].norm.eps,
        "tie_word_embeddings": tied(c),
        "attention_bias": a.bias == "all",
        "mlp_bias": f.bias,
        "rope_theta": a.rotary.theta if a.rotary else None,
    }


def _gpt2(c: Decoder) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(f, FeedForward)
    return {
        **common(c, "gpt2", "GPT2LMHeadModel" if c.head else "GPT2Model"),
        "n_embd": c.hidden_size,
        "n_layer": c.num_layers,
        "n_head": a.num_heads,
        "n_inner": f.intermediate_size,
        "n_positions": c.positions.num_positions if c.positions else None,
        "activation_function": f.activation,
        "layer_norm_epsilon": c.blocks[0].norm.eps,
        "scale_attn_weights": a.scale != 1.0,
        "tie_word_embeddings": tied(c),
    }


def _gptj(c: Decoder) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(f, FeedForward)
    return {
        **common(c, "gptj", "GPTJForCausalLM" if c.head else "GPTJModel"),
        "n_embd": c.hidden_size,
        "n_layer": c.num_layers,
        "n_head": a.num_heads,
        "n_inner": f.intermediate_size,
        "n_positions": c.max_position_embeddings or 2048,
        "rotary_dim": a.rotary.dim if a.rotary else None,
        "activation_function": f.activation,
        "layer_norm_epsilon": c.blocks[0].norm.eps,
        "tie_word_embeddings": c.head is not None and tied(c),
    }


def _opt(c: Decoder) -> dict[str, Any]:
    a, f = c.blocks[0].attention, c.blocks[0].feedforward
    assert isinstance(f, FeedForward)
    before = c.blocks[0].norm_placement == "before"
    return {
        **common(c, "opt", "OPTForCausalLM" if c.head else "OPTModel"),
        "hidden_size": c.hidden_size,
        "word_embed_proj_dim": c.embedding_size or c.hidden_size,
        "ffn_dim": f.intermediate_size,
        "num_hidden_layers": c.num_layers,
        "num_attention_heads": a.num_heads,
        "max_position_embeddings": c.positions.num_positions if c.positions else None,
        "activation_function": f.activation,
        "do_layer_norm_before": before,
        "enable_bias": f.bias,
        "layer_norm_elementwise_affine": c.blocks[0].norm.weight,
        "tie_word_embeddings": tied(c),
    }


def _original_llama(c: Decoder) -> dict[str, Any]:
    a = c.blocks[0].attention
    groups = {} if _has_no_groups(c) else {"num_heads_kv": a.num_kv_heads}
    return openbmb.described("llama", c, **groups)


def _has_no_groups(c: Decoder) -> bool:
    """Whether each query head has a key of its own, as always in model-center 1.0.2."""
    return c.blocks[0].attention.num_kv_heads == c.blocks[0].attention.num_heads


# Written, `bmt.load` would take it for a parameter.
_COMPUTED = "position_bias.inv_freq is not written: OpenBMB's classes compute it."


def _llama_to_original(c: Decoder, get: Get) -> Adapted:
    if _has_no_groups(c):
        return Adapted(c, notes=(_COMPUTED,))
    note = (
        f"Its {c.blocks[0].attention.num_heads} query heads share {c.blocks[0].attention.num_kv_heads} keys: "
        "model-center 1.0.2 stops at the argument num_heads_kv; its repository's main branch reads it."
    )
    return Adapted(c, notes=(note, _COMPUTED))


def _original_positions(name: str) -> Callable[[Any], dict[str, Any]]:
    def describe(c: Any) -> dict[str, Any]:
        return openbmb.described(name, c, position_size=c.positions.num_positions)

    return describe


def _original_gptj(c: Decoder) -> dict[str, Any]:
    rotary = c.blocks[0].attention.rotary
    return openbmb.described("gptj", c, pos_rotary_dim=rotary.dim if rotary else 0)


def _original_opt(c: Decoder) -> dict[str, Any]:
    assert c.positions is not None
    if isinstance(c.head, ClassificationHead):
        raise CannotConvert("OpenBMB's OPT cannot be built with cls_head: this model has no such form.")
    own = {"position_size": c.positions.num_positions, "pad_token_id": c.pad_token_id}
    return openbmb.described("opt", c, **own)


def _with_blocks(config: Any, **changes: Any) -> Any:
    return with_blocks(config, lambda block: replace(block, **changes))


def _even_vocabulary(c: Decoder, get: Get) -> Adapted:
    """GPT-2's odd vocabulary gets a row of zeros, so that it can be split in two."""
    if c.vocab_size % 2 == 0 or not tied(c):
        return Adapted(c)

    def padded(get: Get) -> Tensor:
        rows = get("embedding.weight")
        return rows.new_zeros((c.vocab_size + 1, c.hidden_size)).index_copy(0, _indices(c.vocab_size), rows)

    return Adapted(replace(c, vocab_size=c.vocab_size + 1), {"embedding.weight": padded})


def _own_vocabulary(c: Decoder, get: Get) -> Adapted:
    """The row of zeros that OpenBMB's form of GPT-2 has appended goes."""
    is_original = not c.blocks[0].attention.transposed
    if not is_original or c.vocab_size % 2 or not tied(c) or bool(get("embedding.weight")[-1].any()):
        return Adapted(c)
    return Adapted(
        replace(c, vocab_size=c.vocab_size - 1),
        {"embedding.weight": lambda get: get("embedding.weight")[:-1]},
    )


def _indices(count: int) -> Tensor:
    import torch

    return torch.arange(count)


def _norms(c: Decoder) -> Iterable[tuple[str, str]]:
    """GPT-J's pairs of norms, parameter by parameter."""
    for i in range(c.num_layers):
        for kind in ("weight", "bias"):
            yield f"blocks.{i}.attention_norm.{kind}", f"blocks.{i}.feedforward_norm.{kind}"


def _two_norms(c: Decoder, get: Get) -> Adapted:
    """GPT-J's one norm stands before attention and feedforward alike in OpenBMB's form."""
    if c.blocks[0].residual == "parallel":
        return Adapted(c)
    values = {second: lambda get, first=first: get(first) for first, second in _norms(c)}
    return Adapted(_with_blocks(c, residual="parallel"), values)


def _one_norm(c: Decoder, get: Get) -> Adapted:
    from modelcenter.weights.execute import equal_bits

    if c.blocks[0].residual == "parallel_one_norm":
        return Adapted(c)
    for first, second in _norms(c):
        if not equal_bits(get(first), get(second)):
            raise CannotConvert(
                f"{first} and {second} differ: transformers' GPT-J has one norm before attention and "
                "feedforward, so this model has no such form."
            )
    return Adapted(_with_blocks(c, residual="parallel_one_norm"))


FORMS: Mapping[str, Mapping[str, Form]] = {
    "gpt2": {
        HUGGINGFACE: Form(_gpt2, _own_vocabulary),
        openbmb.DIALECT: original(_original_positions("gpt2"), _even_vocabulary),
    },
    "gptj": {HUGGINGFACE: Form(_gptj, _one_norm), openbmb.DIALECT: original(_original_gptj, _two_norms)},
    "opt": {HUGGINGFACE: Form(_opt), openbmb.DIALECT: original(_original_opt)},
    "llama": {HUGGINGFACE: Form(_llama), openbmb.DIALECT: original(_original_llama, _llama_to_original)},
}
"""Family -> the forms of others that it is written in."""
