"""Families of GPT's kind: what their older files hold, and what is refused because it computes otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.mpt.modeling_mpt import MptModel

from modelcenter import load, verify
from modelcenter.checkpoint.source import LocalFiles, read_header
from modelcenter.errors import ConfigurationInvalid
from modelcenter.families.match import match
from modelcenter.models.config import ModelConfig
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, inputs, original, stored, write
from tests.support.recipe import Recipe


def recipe(name: str) -> Recipe:
    return next(r for recipes in checkpoints.FAMILIES.values() for r in recipes if r.name == name)


def config_of(name: str, **changes: Any) -> ModelConfig:
    """The config of a recipe's checkpoint with values of config.json changed, removed where None."""
    place = folder(recipe(name))
    values = json.loads((place / "config.json").read_text()) | changes
    kept = {key: value for key, value in values.items() if value is not None}
    return match(kept, read_header(LocalFiles(place)).tensors).config


def test_the_penalty_that_storywriter_was_trained_with_counts(monkeypatch: pytest.MonkeyPatch):
    trained = replace(
        recipe("mpt"),
        name="mpt-storywriter",
        settings=recipe("mpt").settings | {"attn_config": {"alibi_bias_max": 16}},
    )
    asked = inputs(trained)
    with torch.no_grad():
        found, eight = load(folder(trained))(**asked).logits, original(trained)(**asked).logits
        # transformers has the number as an argument, which its model never gives.
        made = partialmethod(MptModel.build_mpt_alibi_tensor, alibi_bias_max=16)
        monkeypatch.setattr(MptModel, "build_mpt_alibi_tensor", made)
        expected = original(trained)(**asked).logits
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (found - eight).abs().max() > 1e-3


# Masks and tables that files held before transformers computed them anew, by the shapes they had.
DERIVED: list[tuple[str, str, torch.Tensor]] = [
    ("gptj", "transformer.h.0.attn.bias", torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()),
    ("gptj", "transformer.h.1.attn.masked_bias", torch.tensor(-1e9)),
    ("gpt_neo", "transformer.h.0.attn.attention.bias", torch.ones(1, 1, 8, 8, dtype=torch.uint8)),
    ("gpt_neo", "transformer.h.1.attn.attention.masked_bias", torch.tensor(-1e9)),
    ("codegen", "transformer.h.0.attn.causal_mask", torch.ones(1, 1, 8, 8, dtype=torch.bool)),
    ("codegen-moss", "transformer.h.1.attn.causal_mask", torch.ones(1, 1, 8, 8, dtype=torch.bool)),
    ("gpt_bigcode", "transformer.h.0.attn.bias", torch.ones(8, 8, dtype=torch.bool)),
    ("falcon-7b", "transformer.h.1.self_attention.rotary_emb.inv_freq", torch.ones(4)),
    ("phi", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(2)),
    ("phi_msft", "transformer.h.0.mixer.rotary_emb.inv_freq", torch.ones(2)),
    ("stablelm", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(2)),
    ("starcoder2", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
]


@pytest.mark.parametrize(("name", "tensor", "value"), DERIVED, ids=[f"{n}-{t}" for n, t, _ in DERIVED])
def test_what_follows_from_the_configuration_is_told_and_not_read(
    name: str, tensor: str, value: torch.Tensor, tmp_path: Path
):
    copy_companions(folder(recipe(name)), tmp_path)
    write(tmp_path, {**stored(folder(recipe(name))), tensor: value})
    assert load(tmp_path).report.audit.derived == (tensor,)
    assert verify(LocalFiles(tmp_path)).is_complete


OF_TYPES: dict[str, Any] = {"attention_layers": None}  # which count before the types
UNSUPPORTED: list[tuple[str, dict[str, Any], str]] = [
    ("codegen-moss", {"wbits": 4}, "wbits 4"),
    ("codegen", {"n_head": 2}, "2 heads; expected a multiple of 4"),
    ("gptj", {"rotary_dim": 12}, "rotates 12 of 8"),
    ("gpt_neo", OF_TYPES | {"attention_types": [[["global"], 1]]}, "of 1 layers and num_layers 2"),
    ("gpt_neo", OF_TYPES | {"attention_types": [[["global", "strided"], 1]]}, "expected pairs"),
    ("gpt_neo", OF_TYPES | {"attention_types": [[["global"], 10**12]]}, "expected pairs"),
    ("bloom", {"n_inner": 7}, "n_inner 7"),
    ("falcon", {"parallel_attn": False}, "parallel_attn False"),
    ("falcon-7b", {"num_ln_in_parallel_attn": 2}, "2 norms a layer"),
    ("mpt", {"attn_config": {"prefix_lm": True}}, "prefix_lm True"),
    ("mpt", {"attn_config": {"alibi": False}}, "lack transformer.wpe.weight"),
    ("mpt", {"attn_config": [1]}, "attn_config that is no table"),
    ("mpt", {"attn_config": {"rope": True}}, "rope True"),
    ("mpt", {"attn_config": {"attn_type": "linear"}}, "attn_type 'linear'"),
    ("mpt", {"norm_type": "rmsnorm"}, "norm_type 'rmsnorm'"),
    ("starcoder2", {"mlp_type": "gated"}, "mlp_type 'gated'"),
    ("gpt_bigcode", {"add_cross_attention": True}, "add_cross_attention True"),
]


@pytest.mark.parametrize(("name", "changes", "said"), UNSUPPORTED)
def test_settings_that_compute_otherwise_are_refused(name: str, changes: dict[str, Any], said: str):
    with pytest.raises(ConfigurationInvalid, match=said):
        config_of(name, **changes)


SPELLINGS: list[tuple[str, dict[str, Any]]] = [
    ("bloom", {"n_embed": 36, "hidden_size": None}),
    ("bloom", {"n_embed": 36, "hidden_size": 5}),
    ("falcon-refined-web", {"new_decoder_architecture": None}),
    ("falcon-refined-web", {"num_attention_heads": None, "num_hidden_layers": None, "num_kv_heads": None}),
    ("falcon-7b", {"model_type": "RefinedWebModel", "new_decoder_architecture": None}),
    ("opt", {"word_embed_proj_dim": None}),
    ("stablelm-epoch", {"partial_rotary_factor": None, "layer_norm_eps": None}),
    ("gpt_neo", {"attention_layers": None}),
]


@pytest.mark.parametrize(("name", "changes"), SPELLINGS)
def test_older_spellings_say_the_same(name: str, changes: dict[str, Any]):
    assert config_of(name, **changes) == config_of(name)
