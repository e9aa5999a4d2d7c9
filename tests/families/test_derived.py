"""Derived tensors that hold something else than the configuration implies are told by `load` and `verify`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
import transformers
from rich.console import Console

from modelcenter import load, save, verify
from modelcenter.cli import verdicts
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, stored, write
from tests.support.recipe import Recipe
from tests.support.tensors import same

LLAMA, GPT2, BERT, GPTJ, GPT_NEO, ROFORMER, M2M = (
    checkpoints.FAMILIES["llama"][0],
    checkpoints.FAMILIES["gpt2"][0],
    checkpoints.BERT[2],
    *(checkpoints.FAMILIES[name][0] for name in ("gptj", "gpt_neo", "roformer", "m2m_100")),
)


def config(recipe: Recipe) -> transformers.PretrainedConfig:
    return transformers.AutoConfig.from_pretrained(folder(recipe))


def rope(recipe: Recipe, base: float | None = None) -> torch.Tensor:
    """The frequencies as LLaMA's first files have them."""
    c = config(recipe)
    dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    theta = c.rope_parameters["rope_theta"] if base is None else base
    return 1.0 / (theta ** (torch.arange(0, dim, 2).float() / dim))


def sines(recipe: Recipe) -> torch.Tensor:
    """transformers' own tables."""
    model = checkpoints.made(recipe)
    if recipe is GPTJ:
        return model.transformer.h[0].attn.embed_positions
    if recipe is ROFORMER:
        return model.base_model.encoder.embed_positions.weight.detach()
    return model.base_model.encoder.embed_positions.weights


def mask(size: int, window: int | None = None) -> torch.Tensor:
    seen = torch.ones(size, size).tril().bool()
    return (seen if window is None else seen ^ seen.tril(-window))[None, None]


GPTJ_TABLE, SINES = "transformer.h.0.attn.embed_positions", "model.encoder.embed_positions.weights"
INV_FREQ, BIAS = "model.layers.0.self_attn.rotary_emb.inv_freq", "transformer.h.0.attn.bias"
NEO_BIAS = "transformer.h.1.attn.attention.bias"


def as_they_should_be() -> list[tuple[Recipe, str, torch.Tensor]]:
    rotated, table = rope(LLAMA), "roformer.encoder.embed_positions.weight"
    return [
        *((LLAMA, INV_FREQ, rotated.to(dtype)) for dtype in (torch.float32, torch.bfloat16, torch.float16)),
        (LLAMA, INV_FREQ, rotated.half().float()),
        (GPT2, BIAS, mask(40)),
        (GPT2, BIAS, mask(24).float()),
        (GPT2, "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
        (GPT_NEO, NEO_BIAS, mask(40, config(GPT_NEO).window_size)),
        (BERT, "bert.embeddings.position_ids", torch.arange(40)[None]),
        (GPTJ, GPTJ_TABLE, sines(GPTJ)),
        (ROFORMER, table, sines(ROFORMER)),
        (M2M, SINES, sines(M2M)),
        (M2M, SINES, sines(M2M).bfloat16()),
    ]


CONTRADICTIONS = [
    (LLAMA, INV_FREQ, rope(LLAMA, 1234567.0), "4 frequencies of a base near 1.23"),
    (LLAMA, INV_FREQ, rope(LLAMA)[:2], "2 frequencies"),
    (LLAMA, INV_FREQ, torch.full((4,), torch.nan), "no frequencies"),
    (GPT2, BIAS, torch.ones(1, 1, 40, 40), "no mask"),
    (GPT2, BIAS, mask(40, 3), "no mask"),
    (GPT2, "transformer.h.0.attn.masked_bias", torch.tensor(1.0), "expected a negative value"),
    (GPT_NEO, NEO_BIAS, mask(40, 29), "no mask"),
    (BERT, "bert.embeddings.position_ids", torch.arange(1, 41)[None], "other numbers"),
    (GPTJ, GPTJ_TABLE, torch.ones(40, 4), "other values"),
    (M2M, SINES, torch.ones(20, 32), "other values"),
]


def with_tensor(
    recipe: Recipe, name: str, value: torch.Tensor, place: Path, form: str = "safetensors"
) -> Path:
    copy_companions(folder(recipe), place)
    write(place, stored(folder(recipe)) | {name: value.clone().contiguous()}, form)
    return place


@pytest.mark.parametrize("number", range(13))
def test_what_the_configuration_implies_is_told_as_derived_and_no_more(number: int, tmp_path: Path):
    recipe, name, value = as_they_should_be()[number]
    place = with_tensor(recipe, name, value, tmp_path)
    verdict, report = verify(place), load(place).report
    assert verdict.derived == report.audit.derived == (name,)
    assert not verdict.contradicted and not report.corrections


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("recipe", "name", "value", "told"), CONTRADICTIONS, ids=lambda v: getattr(v, "name", None)
)
def test_something_else_is_named_and_given_back(
    recipe: Recipe, name: str, value: torch.Tensor, told: str, form: str, tmp_path: Path
):
    place = with_tensor(recipe, name, value, tmp_path / "source", form)
    verdict, model = verify(place), load(place)
    assert verdict.is_complete and list(verdict.contradicted) == [name] and told in verdict.contradicted[name]
    assert model.report.corrections == (
        f"{name} holds {verdict.contradicted[name]}: config.json is followed.",
    )
    save(model, tmp_path / "target")
    assert same(stored(tmp_path / "target")[name], value)


def test_headers_alone_tell_nothing_of_values(tmp_path: Path):
    place = with_tensor(LLAMA, INV_FREQ, torch.ones(4), tmp_path)
    verdict = verify(place, values=False)
    assert verdict.derived == (INV_FREQ,) and not verdict.contradicted


def test_every_tensor_that_makes_no_parameter_is_listed_with_the_reason(tmp_path: Path):
    recipe, bias = checkpoints.T5[0], "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    copies = "encoder.embed_tokens.weight"
    place = with_tensor(recipe, bias, torch.ones(8, 2), tmp_path)
    write(place, stored(place) | {copies: stored(place)["shared.weight"]})
    verdict = verify(place)
    expected = {bias: "learned, but read by no layer", copies: "repeats shared.weight, which load compares"}
    assert verdict.is_complete and verdict.ignored == expected
    told = json.loads(json.dumps(verdict.to_json()))
    assert told["ignored"] == expected and told["unused"] == [bias]
    assert type(verdict).from_json(told) == verdict
    out = io.StringIO()
    Console(file=out, width=200).print(verdicts.drawn(verdict))
    assert "ignored (2)" in out.getvalue() and f"{copies}: repeats shared.weight" in out.getvalue()


def test_what_is_no_tensor_in_a_pickle_is_listed_too(tmp_path: Path):
    copy_companions(folder(LLAMA), tmp_path)
    torch.save({**stored(folder(LLAMA)), "epoch": 3, INV_FREQ: rope(LLAMA)}, tmp_path / "pytorch_model.bin")
    verdict = verify(tmp_path)
    assert verdict.ignored == {
        INV_FREQ: "derived from the configuration",
        "epoch": "int, no tensor: training state",
    }
