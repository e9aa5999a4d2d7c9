"""Tiny random models of transformers, no parameter of which is trivial, and their files in every form.

A recipe says how one is made; `folder(recipe, form, dtype)` is its checkpoint, written once a session. The
files are those that transformers writes: they, not `state_dict()`, are the oracle of names. Where released
checkpoints differ from what today's transformers writes (spellings, copies of tied tensors), the recipe
says so and transformers reads the altered folder itself.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

FORMS = ("safetensors", "sharded", "bin", "legacy-bin", "sharded-bin")
SHARDS = 3
Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a checkpoint is made.

    settings: of transformers' configuration. respell: config.json as other writers spell it. apart: tied
    tensors that get values of their own. copies: tensors that the file holds once more, copy -> original.
    keywords: of the class. seed: of all values. only_numbers: whether another recipe's files have the same
    tensors, so that only what the model computes is new.
    """

    name: str
    model: str
    settings: Values
    respell: Callable[[Values], Values] | None = None
    apart: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    keywords: Values = field(default_factory=dict)
    seed: int = 20
    only_numbers: bool = False

    @property
    def generates(self) -> bool:
        return self.model.endswith(("CausalLM", "LMHeadModel", "ConditionalGeneration"))

    @property
    def is_encoder_decoder(self) -> bool:
        return self.model.startswith("T5")

    @property
    def is_encoder(self) -> bool:
        return self.model.startswith("Bert")


def original(recipe: Recipe, dtype: torch.dtype = torch.float32) -> Any:
    """transformers' model, in evaluation mode; read back from its own file where that says more."""
    return _original(recipe, dtype)


@cache
def _original(recipe: Recipe, dtype: torch.dtype) -> Any:
    if dtype is torch.float32 and not (recipe.respell or recipe.apart):
        return made(recipe)
    kind = getattr(transformers, recipe.model)
    model = kind.from_pretrained(
        folder(recipe), dtype=dtype, attn_implementation="eager", experts_implementation="eager",
        **recipe.keywords,
    )  # fmt: skip
    return model.eval()


@cache
def made(recipe: Recipe) -> Any:
    """transformers' model before it was written."""
    kind = getattr(transformers, recipe.model)
    config = kind.config_class(**recipe.settings)
    config._attn_implementation = config._experts_implementation = "eager"
    torch.manual_seed(recipe.seed)
    model = kind(config, **recipe.keywords).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.normal_(1.0 if is_norm else 0.0, 0.2)
    return model


def folder(recipe: Recipe, form: str = "safetensors", dtype: torch.dtype = torch.float32) -> Path:
    """The folder of the recipe's checkpoint in one of FORMS. Shared by all tests: not to be written to."""
    return _folder(recipe, form, dtype)


@cache
def _folder(recipe: Recipe, form: str, dtype: torch.dtype) -> Path:
    place = _place()
    if form == "safetensors":
        made(recipe).save_pretrained(place)
        tensors = {name: value.to(dtype) for name, value in load_file(place / "model.safetensors").items()}
        generator = torch.Generator().manual_seed(recipe.seed + 1)
        for name in recipe.apart:
            like = tensors[recipe.copies.get(name, name)]
            tensors[name] = (0.2 * torch.randn(like.shape, generator=generator)).to(dtype)
        for copy, of in recipe.copies.items():
            tensors.setdefault(copy, tensors[of].clone())
        write(place, tensors)
        values = json.loads((place / "config.json").read_text())
        values["dtype"] = str(dtype).removeprefix("torch.")
        values = recipe.respell(values) if recipe.respell else values
        (place / "config.json").write_text(json.dumps(values))
        return place
    source = folder(recipe, dtype=dtype)
    copy_companions(source, place)
    write(place, stored(source), form)
    return place


@cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="checkpoints-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _place() -> Path:
    return Path(tempfile.mkdtemp(dir=_root()))


def copy_companions(source: Path, target: Path) -> None:
    """The configuration files, without the weights."""
    target.mkdir(exist_ok=True)
    for file in source.glob("*.json"):
        if not file.name.endswith(".index.json"):
            shutil.copy(file, target)


def stored(place: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder's safetensors files, as the reference library reads them."""
    return {
        name: value for file in sorted(place.glob("*.safetensors")) for name, value in load_file(file).items()
    }


def write(place: Path, tensors: Mapping[str, torch.Tensor], form: str = "safetensors") -> None:
    """Write tensors as one of FORMS, by the reference libraries."""
    if form == "safetensors":
        save_file(dict(tensors), place / "model.safetensors", metadata={"format": "pt"})
    elif form in ("bin", "legacy-bin"):
        is_zip = form == "bin"
        torch.save(dict(tensors), place / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    else:
        stem, end = ("model", "safetensors") if form == "sharded" else ("pytorch_model", "bin")
        names = sorted(tensors)
        weight_map: dict[str, str] = {}
        for i in range(SHARDS):
            file = f"{stem}-{i + 1:05}-of-{SHARDS:05}.{end}"
            shard = {name: tensors[name] for name in names[i::SHARDS]}
            weight_map |= dict.fromkeys(shard, file)
            if form == "sharded":
                save_file(shard, place / file, metadata={"format": "pt"})
            else:
                torch.save(shard, place / file)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (place / f"{stem}.{end}.index.json").write_text(json.dumps(index))


def inputs(recipe: Recipe, *, length: int = 11, batch: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """What both models are asked, nothing padded."""
    generator = torch.Generator().manual_seed(seed)
    vocab = recipe.settings["vocab_size"]

    def ids(limit: int, width: int) -> torch.Tensor:
        return torch.randint(0, limit, (batch, width), generator=generator)

    asked = {"input_ids": ids(vocab, length)}
    if recipe.is_encoder:
        asked["token_type_ids"] = ids(recipe.settings["type_vocab_size"], length)
    if recipe.is_encoder_decoder:
        asked["decoder_input_ids"] = ids(vocab, length - 2)
    return asked


def mask(ids: torch.Tensor, side: str) -> torch.Tensor:
    """Row i of `ids` (batch, length) has i * 2 padding tokens on that side; the first has none."""
    padding = 2 * torch.arange(ids.shape[0])[:, None]
    places = torch.arange(ids.shape[1])[None]
    return (places >= padding if side == "left" else places < ids.shape[1] - padding).long()


# --- respelling: as older writers spell config.json


def without(*names: str) -> Callable[[Values], Values]:
    """config.json without what older files lack."""
    return lambda values: {name: value for name, value in values.items() if name not in names}


def old_rope(values: Values) -> Values:
    """Rotary settings at the top level, as files before transformers 5 have them."""
    parameters = dict(values.pop("rope_parameters"))
    kind = parameters.pop("rope_type")
    values["rope_theta"] = parameters.pop("rope_theta")
    values["rope_scaling"] = {"rope_type": kind, **parameters} if kind != "default" else None
    values["torch_dtype"] = values.pop("dtype")
    return values


def oldest_rope(values: Values) -> Values:
    """The same with the first name of the kind."""
    values = old_rope(values)
    values["rope_scaling"]["type"] = values["rope_scaling"].pop("rope_type")
    return values


def released_t5(values: Values) -> Values:
    """As google/t5-v1_1-* say it: untied, and by that unscaled; no word on the activation's parts."""
    values["tie_word_embeddings"] = False
    return without("scale_decoder_outputs", "dense_act_fn", "is_gated_act", "num_decoder_layers")(values)


# --- the recipes of the families, each beyond the defaults of its configuration

_BERT: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 44, "max_position_embeddings": 40, "type_vocab_size": 3, "pad_token_id": 0,
}  # fmt: skip
_BERT_COPIES = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
BERT = (
    Recipe("bert-pooler", "BertModel", _BERT | {"layer_norm_eps": 1e-3}),
    Recipe(
        "bert-no-pooler", "BertModel", _BERT | {"hidden_act": "relu", "num_hidden_layers": 3},
        keywords={"add_pooling_layer": False},
    ),
    Recipe("bert-masked", "BertForMaskedLM", _BERT | {"hidden_act": "gelu_new"}),
    Recipe("bert-masked-copies", "BertForMaskedLM", _BERT, copies=_BERT_COPIES),
    Recipe("bert-masked-untied", "BertForMaskedLM", _BERT | {"tie_word_embeddings": False}),
    Recipe("bert-pretraining", "BertForPreTraining", _BERT | {"hidden_act": "silu"}),
    Recipe("bert-pretraining-copies", "BertForPreTraining", _BERT, copies=_BERT_COPIES),
    Recipe("bert-pretraining-untied", "BertForPreTraining", _BERT | {"tie_word_embeddings": False}),
    Recipe("bert-old-config", "BertForMaskedLM", _BERT, respell=without("tie_word_embeddings", "dtype"),
           only_numbers=True),
)  # fmt: skip

_LLAMA: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "rms_norm_eps": 1e-3,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "pad_token_id": 0,
}  # fmt: skip


def _rope(kind: str, **values: float | bool) -> Values:
    return _LLAMA | {"rope_parameters": {"rope_type": kind, "rope_theta": 500.0, **values}}


def _rotary(name: str, settings: Values, respell: Callable[[Values], Values] | None = None) -> Recipe:
    return Recipe(name, "LlamaForCausalLM", settings, respell=respell, only_numbers=True)


_LLAMA3 = _rope(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
)
_YARN = _rope("yarn", factor=4.0, original_max_position_embeddings=16)
_YARN_BETAS = _rope(
    "yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=8.0, beta_slow=2.0,
    attention_factor=1.3, truncate=False,
)  # fmt: skip
_YARN_MSCALE = _rope("yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.9)
LLAMA = (
    Recipe("llama-gqa", "LlamaForCausalLM", _LLAMA),
    Recipe("llama-mha-tied", "LlamaForCausalLM", _LLAMA | {
        "num_key_value_heads": 4, "tie_word_embeddings": True, "hidden_act": "gelu",
    }),
    Recipe("llama-mqa-biases", "LlamaForCausalLM", _LLAMA | {
        "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "intermediate_size": 44,
    }),
    Recipe("llama-head-dim", "LlamaForCausalLM", _LLAMA | {"head_dim": 14, "num_hidden_layers": 1}),
    Recipe("llama-copies", "LlamaForCausalLM", _LLAMA | {"tie_word_embeddings": True},
           copies={"lm_head.weight": "model.embed_tokens.weight"}),
    Recipe("llama-base", "LlamaModel", _LLAMA),
    _rotary("llama-linear", _rope("linear", factor=3.0)),
    _rotary("llama-llama3", _LLAMA3),
    _rotary("llama-yarn", _YARN),
    _rotary("llama-yarn-betas", _YARN_BETAS),
    _rotary("llama-yarn-mscale", _YARN_MSCALE),
    _rotary("llama-old", _LLAMA, old_rope),
    _rotary("llama-old-linear", _rope("linear", factor=3.0), oldest_rope),
    _rotary("llama-old-llama3", _LLAMA3, old_rope),
    _rotary("llama-old-yarn", _YARN, oldest_rope),
    _rotary("llama-oldest", _LLAMA | {
        "num_key_value_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
    }, without("num_key_value_heads", "rope_parameters", "head_dim", "attention_bias", "mlp_bias")),
)  # fmt: skip

_GPT2: Values = {
    "vocab_size": 101, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
GPT2 = (
    Recipe("gpt2", "GPT2LMHeadModel", _GPT2),
    Recipe("gpt2-inner", "GPT2LMHeadModel", _GPT2 | {
        "n_inner": 44, "activation_function": "relu", "layer_norm_epsilon": 1e-3,
    }),
    Recipe("gpt2-by-layer", "GPT2LMHeadModel", _GPT2 | {
        "scale_attn_by_inverse_layer_idx": True, "n_layer": 3, "activation_function": "gelu",
    }, only_numbers=True),
    Recipe("gpt2-unscaled", "GPT2LMHeadModel", _GPT2 | {
        "scale_attn_weights": False, "activation_function": "gelu_fast",
    }, only_numbers=True),
    Recipe("gpt2-upcast", "GPT2LMHeadModel", _GPT2 | {
        "reorder_and_upcast_attn": True, "activation_function": "quick_gelu",
    }, only_numbers=True),
    Recipe("gpt2-untied", "GPT2LMHeadModel", _GPT2 | {"tie_word_embeddings": False}),
    Recipe("gpt2-base", "GPT2Model", _GPT2),
    Recipe("gpt2-copies", "GPT2LMHeadModel", _GPT2, copies={"lm_head.weight": "transformer.wte.weight"}),
    Recipe("gpt2-old-config", "GPT2LMHeadModel", _GPT2, respell=without(
        "n_inner", "scale_attn_by_inverse_layer_idx", "scale_attn_weights", "reorder_and_upcast_attn",
        "tie_word_embeddings", "add_cross_attention",
    ), only_numbers=True),
)  # fmt: skip

_NEOX: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 44, "max_position_embeddings": 64, "layer_norm_eps": 1e-3, "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
}  # fmt: skip
_NEOX_LINEAR = {"rope_type": "linear", "factor": 3.0, "rope_theta": 50.0, "partial_rotary_factor": 0.75}


def old_neox(values: Values) -> Values:
    """As EleutherAI's files say it: the base and the share by names of their own, no word on biases."""
    parameters = dict(values.pop("rope_parameters"))
    kind = parameters.pop("rope_type")
    values["rotary_emb_base"] = int(parameters.pop("rope_theta"))
    values["rotary_pct"] = parameters.pop("partial_rotary_factor")
    values["rope_scaling"] = {"type": kind, **parameters} if kind != "default" else None
    return without("attention_bias", "layer_norm_eps", "tie_word_embeddings")(values)


GPT_NEOX = (
    Recipe("neox", "GPTNeoXForCausalLM", _NEOX),
    Recipe("neox-sequential", "GPTNeoXForCausalLM", _NEOX | {
        "use_parallel_residual": False, "attention_bias": False, "num_hidden_layers": 3, "hidden_act": "relu",
    }),
    Recipe("neox-rotates-all", "GPTNeoXForCausalLM", _NEOX | {
        "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 1.0},
        "hidden_act": "gelu_new",
    }, only_numbers=True),
    Recipe("neox-linear", "GPTNeoXForCausalLM", _NEOX | {
        "rope_parameters": _NEOX_LINEAR, "hidden_act": "gelu_fast",
    }, only_numbers=True),
    Recipe("neox-tied", "GPTNeoXForCausalLM", _NEOX | {
        "tie_word_embeddings": True, "hidden_act": "quick_gelu",
    }),
    Recipe("neox-copies", "GPTNeoXForCausalLM", _NEOX | {"tie_word_embeddings": True},
           copies={"embed_out.weight": "gpt_neox.embed_in.weight"}),
    Recipe("neox-base", "GPTNeoXModel", _NEOX),
    Recipe("neox-old", "GPTNeoXForCausalLM", _NEOX, respell=old_neox, only_numbers=True),
    Recipe("neox-old-linear", "GPTNeoXForCausalLM", _NEOX | {
        "rope_parameters": _NEOX_LINEAR, "use_parallel_residual": False,
    }, respell=old_neox, only_numbers=True),
    Recipe("neox-oldest", "GPTNeoXForCausalLM", _NEOX, respell=without(
        "rope_parameters", "attention_bias", "use_parallel_residual", "hidden_act", "layer_norm_eps",
        "max_position_embeddings", "tie_word_embeddings", "dtype",
    ), only_numbers=True),
)  # fmt: skip

_T5: Values = {
    "vocab_size": 101, "d_model": 32, "d_kv": 6, "d_ff": 44, "num_heads": 4, "num_layers": 2,
    "num_decoder_layers": 3, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip
_T5_COPIES = {
    "encoder.embed_tokens.weight": "shared.weight",
    "decoder.embed_tokens.weight": "shared.weight",
    "lm_head.weight": "shared.weight",
}
_GATED = _T5 | {"feed_forward_proj": "gated-gelu"}
T5 = (
    Recipe("t5", "T5ForConditionalGeneration", _T5),
    Recipe("t5-copies", "T5ForConditionalGeneration", _T5 | {"layer_norm_epsilon": 1e-3}, copies=_T5_COPIES),
    Recipe("t5-unscaled", "T5ForConditionalGeneration", _GATED | {"scale_decoder_outputs": False}),
    Recipe("t5-v1.1", "T5ForConditionalGeneration", _GATED | {"num_decoder_layers": 2}, respell=released_t5,
           apart=("lm_head.weight",), copies=_T5_COPIES),
    Recipe("t5-v1.1-rewritten", "T5ForConditionalGeneration", _GATED | {"scale_decoder_outputs": False},
           apart=("lm_head.weight",), copies={"lm_head.weight": "shared.weight"}),
    Recipe("t5-gated-silu", "T5ForConditionalGeneration", _T5 | {
        "feed_forward_proj": "gated-silu", "num_decoder_layers": 1, "relative_attention_num_buckets": 32,
    }),
    Recipe("t5-old-config", "T5ForConditionalGeneration", _T5 | {"num_decoder_layers": 2}, respell=without(
        "feed_forward_proj", "dense_act_fn", "is_gated_act", "scale_decoder_outputs", "num_decoder_layers",
        "relative_attention_max_distance", "tie_word_embeddings",
    ), only_numbers=True),
    Recipe("t5-base", "T5Model", _T5),
)  # fmt: skip

_MIXTRAL: Values = {
    "vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 3, "num_experts_per_tok": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-3, "pad_token_id": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50.0},
}  # fmt: skip
MIXTRAL = (
    Recipe("mixtral", "MixtralForCausalLM", _MIXTRAL),
    Recipe("mixtral-window", "MixtralForCausalLM", _MIXTRAL | {"sliding_window": 4}),
    Recipe("mixtral-tied", "MixtralForCausalLM", _MIXTRAL | {
        "tie_word_embeddings": True, "head_dim": 10, "num_experts_per_tok": 1, "intermediate_size": 44,
    }),
    Recipe("mixtral-old", "MixtralForCausalLM", _MIXTRAL | {"num_local_experts": 5, "hidden_act": "gelu"},
           respell=old_rope),
    Recipe("mixtral-base", "MixtralModel", _MIXTRAL),
)  # fmt: skip

FAMILIES = {
    "bert": BERT, "llama": LLAMA, "gpt2": GPT2, "gpt_neox": GPT_NEOX, "t5": T5, "mixtral": MIXTRAL,
}  # fmt: skip
