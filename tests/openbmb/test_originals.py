"""Checkpoints that the original ModelCenter has written: loaded, they answer as its own modules do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.cli import cli
from modelcenter.errors import Invalid, Mismatch, UnknownArchitecture
from modelcenter.exporting import export
from modelcenter.families import openbmb
from tests.support.oracles import model_center
from tests.support.originals import LENGTH, ORIGINALS, Original, answers, folder, inputs, valid

# Of the largest value, in fp32: sums are taken in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(params=ORIGINALS, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Original:
    found: Original = request.param
    return found


def relative_error(found: Tensor, expected: Tensor, where: Tensor | None) -> float:
    """The largest difference where that is asked, in units of the largest value."""
    if where is not None and found.ndim == 3:
        found, expected = found[where], expected[where]
    return ((found.double() - expected.double()).abs().max() / expected.abs().max()).item()


def assert_same_answers(
    recipe: Original, model: Any, original: Any, told: dict[str, Tensor] | None = None
) -> None:
    """told: the inputs where the model knows them by other names."""
    asked = inputs(recipe)
    expected = answers(recipe, original, asked)
    with torch.no_grad():
        found = model(**(told or asked))
    for name, value in expected.items():
        assert relative_error(getattr(found, name), value, valid(recipe, asked)) <= TOLERANCE, name


@pytest.mark.parametrize(
    ("dtype", "fuse"), [(torch.float32, True), (torch.float16, False)], ids=["fp32-fused", "fp16-stored"]
)
def test_the_answers_are_those_of_the_original(recipe, dtype, fuse, place):
    written, original = folder(recipe, place, dtype)
    model = load(written, dtype="float32", fuse=fuse, architecture=recipe.override)
    assert_same_answers(recipe, model, original)


ONE_OF_EACH = tuple({recipe.architecture: recipe for recipe in reversed(ORIGINALS)}.values())


@pytest.mark.parametrize("recipe", ONE_OF_EACH, ids=lambda recipe: recipe.architecture)
def test_every_argument_of_the_original_is_taken(recipe, place):
    written, original = folder(recipe, place)
    model, asked = load(written, architecture=recipe.override), inputs(recipe)
    parameters = inspect.signature(type(original).forward).parameters
    usual = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    with torch.no_grad():
        found, expected = model(**{**usual, **asked}), model(**asked)
    assert torch.equal(found.last_hidden_state, expected.last_hidden_state)
    for name in {"use_cache", "return_dict"} & set(usual):
        with pytest.raises(Invalid, match=f"{name} is {not usual[name]}"):
            model(**asked, **{name: not usual[name]})


def test_past_key_values_may_be_our_cache(place):
    recipe = next(r for r in ORIGINALS if r.name == "gpt2")
    written, original = folder(recipe, place)
    model, ids = load(written), inputs(recipe)["input_ids"]
    past = model.new_cache(LENGTH)
    with torch.no_grad():
        parts = [
            model(ids[:, cut], use_cache=True, past_key_values=past, token_type_ids=ids[:, cut]).logits
            for cut in (slice(0, 5), slice(5, LENGTH))
        ]
        expected = original(ids, output_logits=True, use_cache=True)
    assert relative_error(torch.cat(parts, dim=1), expected["logits"], None) <= TOLERANCE
    with pytest.raises(Invalid, match="past_key_values is a list"):
        model(ids[:, :1], past_key_values=list(expected["past_key_values"]))


def test_the_verdict_is_complete(recipe, place):
    written, _ = folder(recipe, place)
    verdict = verify(LocalFiles(written))
    assert verdict.is_complete, verdict.problem
    assert verdict.family == ("glm-10b" if recipe.architecture == "glm" else recipe.architecture)


def test_the_dtype_is_the_files(recipe, place):
    model = load(folder(recipe, place, torch.float16)[0])
    assert model.dtype is torch.float16


def test_a_saved_model_keeps_its_form(recipe, place, tmp_path):
    written, _ = folder(recipe, place)
    model = load(written)
    save(model, tmp_path)
    again = load(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()).keys() >= {"half"}
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_absent_arguments_have_the_originals_defaults():
    library = model_center.library()
    for name, stated in openbmb.DEFAULTS.items():
        made = vars(getattr(library, model_center.CLASSES[name][1])())
        for key, value in stated.items():
            found = made.get(key, value)  # a few arguments are read by no class
            assert (float(found) == float(value)) if key == "att_mask_value" else (found == value), (
                name,
                key,
            )


def test_a_sparse_configuration_is_filled_in(place, tmp_path):
    recipe = ORIGINALS[0]
    written, original = folder(recipe, place)
    (tmp_path / "pytorch_model.pt").write_bytes((written / "pytorch_model.pt").read_bytes())
    settings = {**recipe.settings, "vocab_size": 99}  # wrong, as in a released one: the table's rows count
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert_same_answers(recipe, load(tmp_path), original)


def test_names_from_before_march_2022_are_read(place, tmp_path):
    recipe = next(r for r in ORIGINALS if r.name == "cpm1")
    written, original = folder(recipe, place)
    tensors = torch.load(written / "pytorch_model.pt", weights_only=True)

    def older(name: str) -> str:
        name = name.replace("ffn.ffn.w_in.w_0.weight", "ffn.ffn.w_0").replace(
            "ffn.ffn.w_in.w_1.weight", "ffn.ffn.w_1"
        )
        parts = ("project_q", "project_k", "project_v", "attention_out", "w_out")
        return name.removesuffix(".weight") if any(part in name for part in parts) else name

    torch.save({older(name): value for name, value in tensors.items()}, tmp_path / "pytorch_model.pt")
    (tmp_path / "config.json").write_text((written / "config.json").read_text())
    assert_same_answers(recipe, load(tmp_path), original)


def renamed(
    written: Path, target: Path, name: Callable[[str], str], more: dict[str, Tensor] | None = None
) -> None:
    """The same checkpoint under other names, with more tensors beside."""
    tensors = torch.load(written / "pytorch_model.pt", weights_only=True)
    target.mkdir(exist_ok=True)
    torch.save(
        {name(old): value for old, value in tensors.items()} | (more or {}), target / "pytorch_model.pt"
    )
    (target / "config.json").write_text((written / "config.json").read_text())


@pytest.mark.parametrize("recipe", ORIGINALS, ids=lambda recipe: recipe.name)
def test_a_model_saved_within_a_tasks_is_read(recipe, place, tmp_path):
    """As OpenBMB's examples write it: the original is a member, beside a layer of the task."""
    written, original = folder(recipe, place)
    own = {"dense.weight": torch.randn(2, 32), "dense[0].bias": torch.randn(2)}
    renamed(written, tmp_path, lambda name: f"module.bert.{name}", own)
    model = load(tmp_path)
    assert set(own) <= set(model.report.audit.unused)
    assert_same_answers(recipe, model, original)
    report = export(tmp_path, tmp_path / "alone", "modelcenter")
    assert any("dense.weight, dense[0].bias" in note for note in report.notes)
    assert_same_answers(recipe, load(tmp_path / "alone"), original)


def test_a_model_saved_within_a_tasks_is_saved_again(place, tmp_path):
    written, original = folder(ORIGINALS[0], place)
    renamed(written, tmp_path / "held", "model.{}".format)
    save(load(tmp_path / "held"), tmp_path / "again")
    assert_same_answers(ORIGINALS[0], load(tmp_path / "again"), original)


def test_of_two_models_in_one_file_none_is_guessed(place, tmp_path):
    written, _ = folder(ORIGINALS[0], place)
    second = {
        f"student.{n}": v for n, v in torch.load(written / "pytorch_model.pt", weights_only=True).items()
    }
    renamed(written, tmp_path, "teacher.{}".format, second)
    assert verify(LocalFiles(tmp_path)).status == "incomplete"


def test_a_tensor_that_lacks_within_a_tasks_model_is_named(place, tmp_path):
    written, _ = folder(ORIGINALS[0], place)
    renamed(written, tmp_path, "model.{}".format)
    tensors = torch.load(tmp_path / "pytorch_model.pt", weights_only=True)
    tensors["stray.weight"] = tensors.pop("model.encoder.output_layernorm.weight")
    torch.save(tensors, tmp_path / "pytorch_model.pt")
    with pytest.raises(Mismatch, match=r"model\.encoder\.output_layernorm\.weight"):
        load(tmp_path)


def oldest(name: str) -> str:
    """CPM-2's names of 2021. Source: the names that openbmb's first converters read and write."""
    side, _, rest = name.partition(".layers.")
    if not rest:
        for new, old in (("encoder.output_layernorm", "layernorm_after_enc"),
                         ("decoder.output_layernorm", "layernorm_after_dec"),
                         ("relative_attention_bias", "weight")):  # fmt: skip
            name = name.replace(new, old)
        return name
    i, _, rest = rest.partition(".")
    own = "layernorm_before_self_attention" if side == "decoder" else "layernorm_before_attention"
    known = {
        "self_att.layernorm_before_attention.weight": f"{own}.weight",
        "cross_att.layernorm_before_attention.weight": "layernorm_before_cross_attention.weight",
        "ffn.layernorm_before_ffn.weight": "layernorm_before_ff.weight",
        "ffn.ffn.w_in.w_0.weight": "ff.w_0",
        "ffn.ffn.w_in.w_1.weight": "ff.w_1",
        "ffn.ffn.w_out.weight": "ff.w_out",
    }
    for part in ("project_q", "project_k", "project_v", "attention_out"):
        known[f"self_att.self_attention.{part}.weight"] = f"self_attention.{part}"
        known[f"cross_att.self_attention.{part}.weight"] = f"cross_attention.{part}"
    return f"{side[:3]}_layers.{i}.{known[rest]}"


def test_the_oldest_names_of_cpm_2_are_read(place, tmp_path):
    recipe = next(r for r in ORIGINALS if r.name == "cpm2")
    written, original = folder(recipe, place)
    renamed(written, tmp_path, oldest)
    model = load(tmp_path)
    assert model.report.family == "cpm2"
    assert_same_answers(recipe, model, original)


def test_the_architecture_can_be_overridden_where_nothing_tells(place, tmp_path):
    written, _ = folder(next(r for r in ORIGINALS if r.name == "bert"), place)
    assert load(written, architecture="bert").report.family == "bert"
    asked = CliRunner().invoke(cli, ["verify", str(written), "--json", "--architecture", "bert"])
    assert json.loads(asked.output)["family"] == verify(written, architecture="bert").family == "bert"
    with pytest.raises(UnknownArchitecture, match="no original form"):
        load(written, architecture="elmo")
    assert verify(written, architecture="elmo").status == "unknown_architecture"


def test_cpm_2_of_its_classes_defaults_is_no_t5(place):
    settings = {k: v for k, v in next(r for r in ORIGINALS if r.name == "cpm2").settings.items()
                if k not in ("length_scale", "attn_scale")}  # fmt: skip
    recipe = Original("cpm2-defaults", "cpm2", settings)
    written, original = folder(recipe, place)
    model = load(written)
    assert model.report.family == "cpm2"
    assert_same_answers(recipe, model, original)


@pytest.mark.parametrize(
    ("key", "value"), [("pos_bias_type", "alibi"), ("post_layer_norm", True), ("dim_ff", -1)]
)
def test_what_would_change_the_computation_is_refused(key, value, place, tmp_path):
    written, _ = folder(ORIGINALS[0], place)
    (tmp_path / "pytorch_model.pt").write_bytes((written / "pytorch_model.pt").read_bytes())
    settings = {**ORIGINALS[0].settings, key: value}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    verdict = verify(LocalFiles(tmp_path))
    assert verdict.status == "invalid_configuration" and key in verdict.problem
