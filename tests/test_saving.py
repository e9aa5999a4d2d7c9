"""save(): what goes back to disk, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles, read_header
from modelcenter.errors import Invalid
from modelcenter.families.match import match
from modelcenter.models.build import build
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, inputs, original, stored, write
from tests.support.recipe import Recipe, old_rope
from tests.support.tensors import same

LLAMA = checkpoints.LLAMA[0]
COPIES = next(r for r in checkpoints.LLAMA if r.copies)
T5_COPIES = next(r for r in checkpoints.T5 if r.name == "t5-copies")
GPT2, BERT = checkpoints.GPT2[0], checkpoints.BERT[2]
BERT_COPIES = next(r for r in checkpoints.BERT if r.name == "bert-masked-copies")

TRIANGLE = torch.ones(40, 40).tril().bool()[None, None]
DERIVED: dict[Recipe, dict[str, torch.Tensor]] = {
    LLAMA: {
        f"model__layers__{i}__self_attn__rotary_emb__inv_freq": LLAMA.settings["rope_parameters"][
            "rope_theta"
        ]
        ** (-torch.arange(0, 8, 2) / 8)
        for i in range(2)
    },
    GPT2: {
        "transformer__h__0__attn__bias": TRIANGLE,
        "transformer__h__0__attn__masked_bias": torch.tensor(-1e4),
        "transformer__h__1__attn__bias": TRIANGLE.to(torch.uint8),
    },
    BERT: {"bert__embeddings__position_ids": torch.arange(40)[None]},
}


def altered(recipe: Recipe, place: Path, **tensors: torch.Tensor) -> Path:
    """The recipe's checkpoint with other tensors in it; `__` stands for a dot."""
    copy_companions(folder(recipe), place)
    write(place, stored(folder(recipe)) | {name.replace("__", "."): value for name, value in tensors.items()})
    return place


def config_of(place: Path) -> dict:
    return json.loads((place / "config.json").read_text())


def test_large_checkpoints_are_sharded_and_indexed(tmp_path: Path):
    written = save(load(folder(LLAMA)), tmp_path, max_shard_bytes=20_000)
    assert written[-1] == "model.safetensors.index.json" and len(written) > 3
    assert {p.name for p in tmp_path.glob("model*")} == set(written)
    assert all(same(value, stored(tmp_path)[name]) for name, value in stored(folder(LLAMA)).items())
    assert verify(LocalFiles(tmp_path)).is_complete
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    asked = inputs(LLAMA)
    with torch.no_grad():
        assert torch.equal(theirs(**asked).logits, original(LLAMA)(**asked).logits)


def test_shards_that_a_single_file_replaces_are_gone(tmp_path: Path):
    model = load(folder(LLAMA))
    save(model, tmp_path, max_shard_bytes=20_000)
    assert save(model, tmp_path) == ("model.safetensors",)
    assert [p.name for p in tmp_path.glob("model*")] == ["model.safetensors"]


def test_what_goes_with_the_weights_is_copied_and_no_other_weights(tmp_path: Path):
    source = altered(LLAMA, tmp_path / "source")
    names = {
        "tokenizer_config.json": "{}", "vocab.txt": "a", "README.md": "# A", "chat_template.jinja": "{{ a }}",
        "spiece.model": "s", "pytorch_model.bin": "old", "flax_model.msgpack": "old", "model.onnx": "old",
    }  # fmt: skip
    for name, text in names.items():
        (source / name).write_text(text)
    target = tmp_path / "target"
    save(load(source), target)
    found = {p.name: p.read_text() for p in target.iterdir() if p.name in names}
    kept = ("tokenizer_config.json", "vocab.txt", "README.md", "chat_template.jinja", "spiece.model")
    assert found == {name: names[name] for name in kept}
    assert [p.name for p in target.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(("respell", "key"), [(None, "dtype"), (old_rope, "torch_dtype")])
def test_the_configuration_tells_the_dtype_that_was_saved(tmp_path: Path, respell, key: str):
    source = altered(LLAMA, tmp_path / "source")
    values = config_of(source)
    values = respell(values) if respell else values
    (source / "config.json").write_text(json.dumps(values))
    save(load(source, dtype="bf16"), tmp_path / "target")
    assert config_of(tmp_path / "target") == values | {key: "bfloat16"}
    assert {p.dtype for p in load(tmp_path / "target").parameters()} == {torch.bfloat16}


def test_changed_values_are_what_is_saved(tmp_path: Path):
    model = load(folder(LLAMA))
    with torch.no_grad():
        model.get_parameter("blocks.1.attention.qkv.weight").mul_(2)
    save(model, tmp_path)
    for name, value in stored(folder(LLAMA)).items():
        factor = 2 if "layers.1.self_attn" in name and "o_proj" not in name else 1
        assert torch.equal(stored(tmp_path)[name], value * factor), name


def test_changing_a_loaded_model_does_not_change_its_file(tmp_path: Path):
    source = altered(LLAMA, tmp_path)
    model = load(source, fuse=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(same(value, stored(source)[name]) for name, value in stored(folder(LLAMA)).items())


def test_copies_are_written_again_where_the_checkpoint_had_them(tmp_path: Path):
    model = load(folder(COPIES))
    with torch.no_grad():
        model.get_parameter("embedding.weight").add_(1)
    save(model, tmp_path)
    tensors = stored(tmp_path)
    assert same(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])
    assert torch.equal(tensors["lm_head.weight"], stored(folder(COPIES))["lm_head.weight"] + 1)


@pytest.mark.parametrize("dtype", [None, "bf16"])
@pytest.mark.parametrize("recipe", [LLAMA, GPT2, BERT], ids=lambda recipe: recipe.name)
def test_derived_tensors_are_written_again_as_they_were(recipe: Recipe, dtype: str | None, tmp_path: Path):
    source = altered(recipe, tmp_path / "source", **DERIVED[recipe])
    model = load(source, dtype=dtype)
    assert len(model.report.audit.derived) == len(DERIVED[recipe]) and not model.report.corrections
    save(model, source)  # over the very file that they lie in
    again = stored(source)
    for name, value in DERIVED[recipe].items():
        assert same(again[name.replace("__", ".")], value)
    assert again.keys() == stored(folder(recipe)).keys() | {n.replace("__", ".") for n in DERIVED[recipe]}
    save(load(source), tmp_path / "target")
    assert all(same(value, stored(tmp_path / "target")[name]) for name, value in again.items())


def mixed(recipe: Recipe, place: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """The recipe's checkpoint in bfloat16, all vectors in fp32, as mixed files have them; its tensors."""
    tensors = {n: v if v.ndim < 2 else v.bfloat16() for n, v in stored(folder(recipe)).items()}
    source = altered(recipe, place, **{name.replace(".", "__"): value for name, value in tensors.items()})
    (source / "config.json").write_text(json.dumps(config_of(source) | {"dtype": "bfloat16"}))
    return source, tensors


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "as_stored"])
@pytest.mark.parametrize("recipe", [LLAMA, GPT2, BERT], ids=lambda recipe: recipe.name)
def test_a_file_of_several_dtypes_is_given_back_bit_for_bit(recipe: Recipe, fuse: bool, tmp_path: Path):
    source, tensors = mixed(recipe, tmp_path / "source")
    model = load(source, fuse=fuse)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16} and model.report.cast["F32"]
    save(model, tmp_path / "target")
    again = stored(tmp_path / "target")
    assert again.keys() == tensors.keys()
    assert [name for name, value in tensors.items() if not same(again[name], value)] == []


def test_what_was_changed_in_a_file_of_several_dtypes_is_saved_changed(tmp_path: Path):
    source, tensors = mixed(LLAMA, tmp_path / "source")
    model = load(source)
    with torch.no_grad():
        model.get_parameter("norm.weight")[1] = 7.0
    save(model, tmp_path / "target")
    tensors["model.norm.weight"][1] = 7.0
    assert all(same(value, stored(tmp_path / "target")[name]) for name, value in tensors.items())


@pytest.mark.parametrize("asked", ["load", "to"])
def test_a_dtype_that_is_asked_for_is_that_of_every_tensor(asked: str, tmp_path: Path):
    source, _ = mixed(LLAMA, tmp_path / "source")
    save(load(source, dtype="fp16") if asked == "load" else load(source).half(), tmp_path / "target")
    assert {value.dtype for value in stored(tmp_path / "target").values()} == {torch.float16}


@pytest.mark.parametrize("recipe", [COPIES, T5_COPIES, BERT_COPIES], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("says", [True, False], ids=["tied", "silent"])
def test_an_untied_head_survives_a_round_trip(recipe: Recipe, says: bool, tmp_path: Path):
    """The files hold a head of its own, whatever config.json says: nothing is lost, and the numbers stay."""
    tensors = stored(folder(recipe))
    name = next(n for n in ("lm_head.weight", "cls.predictions.decoder.weight") if n in tensors)
    source = altered(recipe, tmp_path / "source", **{name.replace(".", "__"): tensors[name] + 1})
    left_out = ("scale_decoder_outputs", "tie_word_embeddings")
    values = {n: v for n, v in config_of(source).items() if n not in left_out}
    if says or recipe is COPIES:  # whose family is untied by default
        values["tie_word_embeddings"] = True
    (source / "config.json").write_text(json.dumps(values))
    model, asked = load(source), inputs(recipe)
    assert "untied" in " ".join(model.report.corrections)
    save(model, tmp_path / "target")
    assert all(same(value, stored(tmp_path / "target")[n]) for n, value in stored(source).items())
    with torch.no_grad():
        expected = model(**asked).logits
        assert torch.equal(load(tmp_path / "target")(**asked).logits, expected)
        theirs = getattr(transformers, recipe.model).from_pretrained(tmp_path / "target")(**asked).logits
    assert (theirs - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_part_of_a_checkpoint_is_not_saved_as_the_whole(tmp_path: Path):
    pretraining = next(r for r in checkpoints.BERT if r.name == "bert-pretraining")
    model = load(folder(pretraining), head="pooling")
    with pytest.raises(Invalid, match=r"without the heads of cls\.predictions"):
        save(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_another_origin_is_refused(tmp_path: Path):
    values = config_of(folder(LLAMA))
    header = read_header(LocalFiles(folder(LLAMA))).tensors
    with pytest.raises(Invalid, match="not made by load"):
        save(build(match(values, header).config), tmp_path)


def test_a_folder_of_links_is_saved_over_without_touching_what_they_point_to(tmp_path: Path):
    cache, place = tmp_path / "blobs", tmp_path / "snapshot"
    altered(LLAMA, cache)
    place.mkdir()
    for file in cache.iterdir():
        (place / file.name).symlink_to(file)
    before = {file.name: file.read_bytes() for file in cache.iterdir()}
    save(load(place, dtype="fp16"), place)
    assert {file.name: file.read_bytes() for file in cache.iterdir()} == before
    assert {p.dtype for p in load(place).parameters()} == {torch.float16}
