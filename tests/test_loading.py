"""load(): what it takes, what it refuses before it reads, and what it tells."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import Checkpoint, LocalFiles, read_header
from modelcenter.errors import (
    CheckpointError,
    CheckpointNotFound,
    ConfigurationInvalid,
    CopyDiffers,
    HeadNotFound,
    Invalid,
    Mismatch,
    UnknownArchitecture,
)
from modelcenter.families.match import match
from modelcenter.verification import read_config
from modelcenter.weights.relations import names
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, inputs, original, stored, write
from tests.support.recipe import Recipe, old_rope, oldest_rope
from tests.support.tensors import same

LLAMA = checkpoints.LLAMA[0]
BERT = {recipe.name: recipe for recipe in checkpoints.BERT}
PRETRAINING = BERT["bert-pretraining"]


def altered(place: Path, recipe: Recipe, tensors: dict[str, Any], form: str = "safetensors") -> Path:
    """The recipe's checkpoint with other tensors in it; None takes one out."""
    copy_companions(folder(recipe), place)
    changed = stored(folder(recipe)) | tensors
    write(place, {name: value for name, value in changed.items() if value is not None}, form)
    return place


def configured(place: Path, recipe: Recipe, **values: Any) -> Path:
    """The recipe's checkpoint with these values in config.json."""
    altered(place, recipe, {})
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | values))
    return place


def ask(model: Any, recipe: Recipe) -> Any:
    with torch.no_grad():
        return model(**inputs(recipe))


# --- what may be given


def test_the_public_names_are_functions_that_stay():
    import modelcenter.loading

    assert modelcenter.load is modelcenter.loading.load is load
    assert callable(modelcenter.save) and callable(modelcenter.verify)


def test_importing_load_imports_no_torch():
    program = "import sys; from modelcenter import load, save, verify; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    program = "import sys; from modelcenter.loading import load; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("spelling", [str, Path], ids=["text", "path"])
def test_a_folder_may_be_a_text_or_a_path(spelling):
    assert load(spelling(folder(LLAMA))).report.folder == folder(LLAMA)


def test_a_folder_may_be_relative(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder(LLAMA).parent)
    assert load(f"./{folder(LLAMA).name}").report.family == "llama"
    assert load(folder(LLAMA).name).report.family == "llama"  # it has a config.json
    monkeypatch.chdir(folder(LLAMA))
    assert load(".").report.family == "llama"


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("fp16", torch.float16), ("float16", torch.float16), ("half", torch.float16),
        (torch.float16, torch.float16),
        ("bf16", torch.bfloat16), ("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16),
        ("fp32", torch.float32), ("float32", torch.float32), ("float", torch.float32), (None, torch.float32),
        ("float64", torch.float64),
    ],
)  # fmt: skip
def test_dtypes_go_by_object_or_name(dtype, expected: torch.dtype):
    model = load(folder(LLAMA), dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {model.dtype} == {expected}


@pytest.mark.parametrize("dtype", ["int8", torch.int64, "fp17", "load", "", "tensor", 16, torch])
def test_what_is_no_floating_dtype_is_refused(dtype, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Checkpoint, "tensor", forbidden)
    with pytest.raises(Invalid, match="floating dtype"):
        load(folder(LLAMA), dtype=dtype)


def forbidden(self: Checkpoint, name: str) -> torch.Tensor:
    raise AssertionError(f"{name} was read")


@pytest.mark.parametrize("stated", ["float32", "bfloat16", "float16", None])
def test_the_own_dtype_is_what_the_configuration_says_of_mixed_files(stated: str | None, tmp_path: Path):
    """Where no tensor has what it says, or it says nothing, the commonest."""
    tensors = {n: t.to(torch.bfloat16) if t.ndim > 1 else t for n, t in stored(folder(LLAMA)).items()}
    place = altered(tmp_path, LLAMA, tensors)
    values = {n: v for n, v in json.loads((place / "config.json").read_text()).items() if n != "dtype"}
    (place / "config.json").write_text(json.dumps(values | ({"dtype": stated} if stated else {})))
    model = load(place)
    if stated == "float32":
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert "cast from BF16" in str(model.report)
        return
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    norms = sum(t.ndim == 1 for t in tensors.values())
    assert model.report.cast == {"F32": norms}


def test_tensors_that_are_cast_are_counted_by_what_they_were():
    report = load(folder(LLAMA), dtype="fp16").report
    assert report.cast == {"F32": len(report.audit.read)}
    assert not load(folder(LLAMA), dtype="fp32").report.cast


def test_a_device_by_name_or_object():
    assert load(folder(LLAMA), device="cpu").device == load(folder(LLAMA), device=torch.device("cpu")).device


def test_a_device_that_is_none_is_refused_before_reading(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Checkpoint, "tensor", forbidden)
    with pytest.raises((Invalid, RuntimeError), match="toaster"):
        load(folder(LLAMA), device="toaster")


def test_a_folder_without_a_checkpoint_says_what_was_looked_for(tmp_path: Path):
    copy_companions(folder(LLAMA), tmp_path)
    with pytest.raises(CheckpointNotFound, match=r"model\.safetensors, .*pytorch_model\.bin"):
        load(tmp_path)


# --- memory


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_the_stored_layout_is_mapped_and_not_copied(form: str):
    """Every parameter lies where the checkpoint's own view of the tensor would: in the file's pages."""
    model = load(folder(LLAMA, form), fuse=False)
    mapped = mapped_ranges(folder(LLAMA, form))
    assert all(any(start <= p.data_ptr() < stop for start, stop in mapped) for p in model.parameters())


def mapped_ranges(place: Path) -> list[tuple[int, int]]:
    """Where this process has the files of a folder in memory."""
    lines = [
        line for line in Path("/proc/self/maps").read_text().splitlines() if str(place.resolve()) in line
    ]
    return [(int(a, 16), int(b, 16)) for a, b in (line.split()[0].split("-") for line in lines)]


def test_a_model_outlives_its_files(tmp_path: Path):
    model = load(altered(tmp_path, LLAMA, {}), fuse=False)
    before = ask(model, LLAMA).logits
    for file in tmp_path.iterdir():
        file.unlink()
    assert torch.equal(ask(model, LLAMA).logits, before)


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "stored"])
def test_two_loads_share_no_memory(fuse: bool):
    one, other = load(folder(LLAMA), fuse=fuse), load(folder(LLAMA), fuse=fuse)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.zero_()
    assert all(bool(p.any()) for p in other.parameters())


def test_each_layout_has_the_parameters_that_it_promises():
    fused, separate = load(folder(LLAMA)).state_dict(), load(folder(LLAMA), fuse=False).state_dict()
    assert fused["blocks.0.attention.qkv.weight"].shape == (64, 32)
    assert fused["blocks.0.feedforward.gate_up.weight"].shape == (96, 32)
    theirs = stored(folder(LLAMA))
    for ours, name in {"attention.q": "self_attn.q_proj", "feedforward.up": "mlp.up_proj"}.items():
        assert same(separate[f"blocks.1.{ours}.weight"], theirs[f"model.layers.1.{name}.weight"])
    heads = fused["blocks.0.attention.qkv.weight"].split(8)  # q1, q2, k1, v1, q3, q4, k2, v2
    q, k, v = (theirs[f"model.layers.0.self_attn.{n}_proj.weight"].split(8) for n in "qkv")
    for found, expected in zip(heads, (q[0], q[1], k[0], v[0], q[2], q[3], k[1], v[1]), strict=True):
        assert same(found, expected)


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "stored"])
def test_pickled_views_of_other_tensors_load_as_what_they_show(fuse: bool, tmp_path: Path):
    """Old files hold transposed tensors, and several in one storage."""
    tensors = stored(folder(LLAMA))
    q, k, v = (f"model.layers.0.self_attn.{n}_proj.weight" for n in "qkv")
    joined = torch.cat([tensors[q], tensors[k], tensors[v]])
    tensors[q], tensors[k], tensors[v] = joined.split([32, 16, 16])
    for name in ("model.layers.1.mlp.down_proj.weight", "lm_head.weight"):
        tensors[name] = tensors[name].t().contiguous().t()
    copy_companions(folder(LLAMA), tmp_path)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    model, expected = load(tmp_path, fuse=fuse), load(folder(LLAMA), fuse=fuse).state_dict()
    assert all(same(value, expected[name]) for name, value in model.state_dict().items())
    assert all(p.is_contiguous() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool], ids=str)
def test_weights_that_are_codes_are_refused_by_name(dtype: torch.dtype, tmp_path: Path):
    """Quantised values without their scales are other numbers: casting them would load nonsense."""
    name = "model.layers.1.mlp.down_proj.weight"
    place = altered(tmp_path, LLAMA, {name: (stored(folder(LLAMA))[name] * 8).to(dtype)})
    assert not verify(LocalFiles(place)).is_complete
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load(place)


# --- copies


def copies(name: str) -> Recipe:
    return next(r for rs in checkpoints.FAMILIES.values() for r in rs if r.name == name)


@pytest.mark.parametrize("form", checkpoints.FORMS)
@pytest.mark.parametrize("name", ["llama-copies", "gpt2-copies", "t5-copies", "bert-masked-copies"])
def test_equal_copies_are_compared_and_told(name: str, form: str):
    report = load(folder(copies(name), form)).report
    assert report.audit.copies == dict(copies(name).copies)
    assert f"{len(report.audit.copies)} compared" in str(report)
    assert not report.corrections


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("t5-copies", "encoder.embed_tokens.weight"),
        ("t5-copies", "decoder.embed_tokens.weight"),
    ],
)
@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_a_copy_that_differs_in_one_bit_is_refused_by_name(name: str, copy: str, form: str, tmp_path: Path):
    recipe = copies(name)
    value = stored(folder(recipe))[copy].clone()
    value.view(torch.int32).view(-1)[-1] ^= 1
    place = altered(tmp_path, recipe, {copy: value}, form)
    with pytest.raises(CopyDiffers) as refused:
        load(place)
    assert (refused.value.copy, refused.value.original) == (copy, recipe.copies[copy])
    assert (place / refused.value.file).is_file()
    verdict = verify(LocalFiles(place))
    assert (verdict.status, verdict.problem) == ("damaged", str(refused.value))
    assert verify(LocalFiles(place), values=False).redundant[copy] == recipe.copies[copy]
    assert all(word in str(refused.value) for word in (copy, recipe.copies[copy], refused.value.file))


@pytest.mark.parametrize(
    ("name", "copy", "ours"),
    [
        ("llama-copies", "lm_head.weight", "head.weight"),
        ("gpt2-copies", "lm_head.weight", "head.weight"),
        ("t5-copies", "lm_head.weight", "head.weight"),
        ("bert-masked-copies", "cls.predictions.decoder.weight", "head.decoder.weight"),
        ("bert-masked-copies", "cls.predictions.decoder.bias", "head.decoder.bias"),
    ],
)
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "stored"])
def test_a_head_that_differs_makes_the_model_untied_and_is_told(
    name: str, copy: str, ours: str, fuse: bool, tmp_path: Path
):
    recipe = copies(name)
    tensors = stored(folder(recipe))
    place = altered(tmp_path, recipe, {copy: tensors[copy] * 2})
    model = load(place, fuse=fuse)
    assert same(model.state_dict()[ours], tensors[copy] * 2)
    [told] = [told for told in model.report.corrections if copy in told]
    assert "untied" in told
    verdict = verify(LocalFiles(place))
    assert verdict.is_complete and verdict.corrections == (told,) and copy not in verdict.redundant
    assert verdict.model_parameters == sum(p.numel() for p in model.parameters())
    assert copy in model.report.audit.read and copy not in model.report.audit.copies
    theirs = getattr(transformers, recipe.model).from_pretrained(place, attn_implementation="eager")
    expected = ask(theirs, recipe).logits
    assert (ask(model, recipe).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    bare = load(place, fuse=fuse, head="none")
    assert ask(bare, recipe).logits is None and copy in bare.report.audit.unused


# Masked-lm heads whose matrix the files may hold once more: as in BERT, and those that never have two biases.
MASKED = (
    "albert-masked", "bert-masked", "deberta_v2-legacy", "distilbert-masked", "electra-generator",
    "longformer-masked", "modernbert-masked", "mpnet-masked", "roberta-masked", "roformer-masked",
)  # fmt: skip


def head_names(recipe: Recipe) -> tuple[str, str]:
    """How the file calls the bias of its masked-lm head, and the copy of its matrix."""
    header = read_header(LocalFiles(folder(recipe))).tensors
    matched = match(read_config(LocalFiles(folder(recipe))), header)
    weights = matched.weights(matched.config, header)
    [bias] = names(weights.rules["head.bias"])
    return bias, next(copy for copy in weights.copies if copy.endswith("weight"))


@pytest.mark.parametrize("name", MASKED)
def test_a_head_that_differs_needs_no_second_bias(name: str, tmp_path: Path):
    """transformers writes the bias of a tied head once."""
    recipe = copies(name)
    bias, matrix = head_names(recipe)
    tensors = stored(folder(recipe))
    tables = ("word_embeddings.weight", "tok_embeddings.weight")
    embedding = next(tensor for name, tensor in tensors.items() if name.endswith(tables))
    second = {matrix.replace("weight", "bias"): None}
    place = altered(tmp_path / "a", recipe, {matrix: 2 * embedding} | second | {bias: tensors[bias]})
    model = load(place)
    [told] = model.report.corrections
    assert matrix in told and "untied" in told and verify(LocalFiles(place)).corrections == (told,)
    expected = 2 * ask(load(folder(recipe)), recipe).logits - tensors[bias]
    assert (ask(model, recipe).logits - expected).abs().max() <= 1e-5 * expected.abs().max()
    save(model, tmp_path / "b")
    written = stored(tmp_path / "b")
    assert written.keys() == stored(place).keys() and same(written[matrix], 2 * embedding)
    with pytest.raises(Invalid, match="without the heads"):
        save(load(place, head="none"), tmp_path / "c")


@pytest.mark.parametrize("name", ["bert-masked", "roberta-masked"])
def test_a_second_bias_that_differs_without_a_matrix_of_its_own_is_refused_by_name(name: str, tmp_path: Path):
    recipe = copies(name)
    bias, matrix = head_names(recipe)
    second = matrix.replace("weight", "bias")
    place = altered(tmp_path, recipe, {second: 2 * stored(folder(recipe))[bias]})
    with pytest.raises(CopyDiffers) as refused:
        load(place)
    assert (refused.value.copy, refused.value.original) == (second, bias)
    assert verify(LocalFiles(place)).problem == str(refused.value)


def test_zeros_of_either_sign_differ_and_nans_of_the_same_bits_do_not(tmp_path: Path):
    recipe = copies("t5-copies")
    value = stored(folder(recipe))["shared.weight"].clone()
    value[0, 0], value[0, 1] = float("nan"), 0.0
    every = dict.fromkeys([*recipe.copies, "shared.weight"])
    same_bits = altered(tmp_path / "a", recipe, {name: value.clone() for name in every})
    assert not load(same_bits).report.corrections
    other = value.clone()
    other[0, 1] = -0.0
    one_differs = {name: value.clone() for name in every} | {"encoder.embed_tokens.weight": other}
    with pytest.raises(CopyDiffers):
        load(altered(tmp_path / "b", recipe, one_differs))


def test_a_copy_that_shares_its_bytes_is_seen_as_equal(tmp_path: Path):
    recipe = copies("llama-copies")
    tensors = stored(folder(recipe))
    tensors["lm_head.weight"] = tensors[
        "model.embed_tokens.weight"
    ]  # one storage, as torch saves tied models
    copy_companions(folder(recipe), tmp_path)
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert load(tmp_path).report.audit.copies == {"lm_head.weight": "model.embed_tokens.weight"}


def test_a_copy_in_another_dtype_is_not_taken_for_equal(tmp_path: Path):
    recipe = copies("t5-copies")
    half = stored(folder(recipe))["shared.weight"].half()
    with pytest.raises(CopyDiffers):
        load(altered(tmp_path, recipe, {"encoder.embed_tokens.weight": half}))


# --- heads


def test_heads_of_pretraining_are_chosen_by_name():
    whole = ask(load(folder(PRETRAINING)), PRETRAINING)
    fields = ("logits", "pooler_output", "next_sentence_logits")
    given = {
        "masked-lm": ("logits",),
        "pooling": ("pooler_output",),
        "next-sentence": ("pooler_output", "next_sentence_logits"),
        "none": (),
    }
    for head, shown in given.items():
        model = load(folder(PRETRAINING), head=head)
        out = ask(model, PRETRAINING)
        for name in fields:
            assert (getattr(out, name) is not None) == (name in shown)
        for name in shown:
            assert torch.equal(getattr(out, name), getattr(whole, name))
        names = model.report.audit.unused
        assert any("seq_relationship" in name for name in names) == (head != "next-sentence")
        assert any("cls.predictions" in name for name in names) == (head != "masked-lm")


@pytest.mark.parametrize("head", ["causal-lm", "Masked-LM", "", "pooler"])
def test_a_head_that_is_not_carried_is_refused_with_those_that_are(head: str):
    with pytest.raises(HeadNotFound) as refused:
        load(folder(BERT["bert-masked"]), head=head)
    assert repr(head) in str(refused.value) and "'masked-lm'" in str(refused.value)


def test_a_base_model_carries_no_language_head():
    base = next(r for r in checkpoints.LLAMA if r.model == "LlamaModel")
    with pytest.raises(HeadNotFound, match="carries none"):
        load(folder(base), head="causal-lm")


def test_a_head_beside_a_base_model_with_its_prefix_is_found(tmp_path: Path):
    """Released files carry more heads than `architectures` names: what is there says what there is."""
    place = configured(tmp_path, PRETRAINING, architectures=["BertModel"])
    model = load(place)
    assert model.config.heads == ("masked-lm", "pooling", "next-sentence")
    assert torch.equal(ask(model, PRETRAINING).logits, ask(load(folder(PRETRAINING)), PRETRAINING).logits)


def test_a_head_that_the_architecture_promises_is_missed(tmp_path: Path):
    base = next(r for r in checkpoints.LLAMA if r.model == "LlamaModel")
    with pytest.raises(Mismatch) as refused:
        load(configured(tmp_path, base, architectures=["LlamaForCausalLM"]))
    told: Any = refused.value.audit
    assert [m.name for m in told.missing] == ["lm_head.weight"]


@pytest.mark.parametrize("recipe", [LLAMA, checkpoints.GPT2[0], checkpoints.MIXTRAL[0], BERT["bert-masked"]],
                         ids=lambda recipe: recipe.name)  # fmt: skip
def test_a_checkpoint_whose_names_lack_the_prefix_loads_alike(recipe: Recipe, tmp_path: Path):
    prefix = {"Llam": "model.", "GPT2": "transformer.", "Mixt": "model.", "Bert": "bert."}[recipe.model[:4]]
    copy_companions(folder(recipe), tmp_path)
    write(tmp_path, {name.removeprefix(prefix): value for name, value in stored(folder(recipe)).items()})
    assert torch.equal(ask(load(tmp_path), recipe).logits, ask(load(folder(recipe)), recipe).logits)


def test_an_added_tensor_with_the_prefix_that_the_others_lack_is_alone_named(tmp_path: Path):
    base = next(r for r in checkpoints.LLAMA if r.model == "LlamaModel")
    with pytest.raises(Mismatch) as refused:
        load(altered(tmp_path, base, {"model.extra.weight": torch.ones(3)}))
    audit: Any = refused.value.audit
    assert ([u.name for u in audit.unexpected], audit.missing) == (["model.extra.weight"], ())


# --- what would change the numbers


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        (BERT["bert-masked"], {"position_embedding_type": "relative_key"}),
        (BERT["bert-masked"], {"is_decoder": True}),
        (checkpoints.GPT2[0], {"add_cross_attention": True}),
        (LLAMA, {"rope_scaling": {"rope_type": "by-ear", "factor": 2.0}, "rope_parameters": None}),
    ],
    ids=lambda value: "" if isinstance(value, Recipe) else str(value)[:40],
)
def test_a_setting_that_would_be_ignored_is_refused(recipe, values: dict[str, Any], tmp_path: Path):
    with pytest.raises(ConfigurationInvalid):
        load(configured(tmp_path, recipe, **values))


def test_another_familys_configuration_does_not_load_what_merely_fits(tmp_path: Path):
    """A Mixtral checkpoint that calls itself Llama lacks the feedforwards and has experts too many."""
    with pytest.raises(UnknownArchitecture, match="MixtralForCausalLM"):
        load(configured(tmp_path / "a", checkpoints.MIXTRAL[0], model_type="llama"))
    as_llama = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    with pytest.raises(Mismatch) as refused:
        load(configured(tmp_path, checkpoints.MIXTRAL[0], **as_llama))
    told: Any = refused.value.audit
    assert told.missing and told.unexpected
    with pytest.raises(UnknownArchitecture, match="'mistral3'"):
        load(configured(tmp_path / "b", checkpoints.MIXTRAL[0], model_type="mistral3"))


# --- the tokeniser comes along


def test_a_model_without_a_tokeniser_has_none():
    assert load(folder(LLAMA)).tokenizer is None


def test_a_vocabulary_beside_the_weights_becomes_the_tokeniser(tmp_path: Path):
    recipe = BERT["bert-masked"]
    altered(tmp_path, recipe, {})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    assert load(tmp_path).tokenizer is not None


# --- the originals agree with themselves

RESPELT = [
    recipe
    for recipe in (*checkpoints.LLAMA, *checkpoints.MIXTRAL)
    if recipe.respell in (old_rope, oldest_rope)
]


@pytest.mark.parametrize("recipe", RESPELT, ids=lambda recipe: recipe.name)
def test_an_old_spelling_means_what_the_new_one_does(recipe: Recipe):
    """The oracle itself: transformers reads the respelt folder as the model that was written."""
    made = next(r for rs in checkpoints.FAMILIES.values() for r in rs if r.settings == recipe.settings)
    assert torch.equal(
        original(recipe)(**inputs(recipe)).logits, ask(checkpoints.made(recipe), recipe).logits
    )
    assert recipe is made or torch.equal(
        ask(load(folder(made)), made).logits, ask(load(folder(recipe)), made).logits
    )


def test_a_loaded_model_can_be_pickled():
    model = load(folder(checkpoints.LLAMA[0]))
    again = pickle.loads(pickle.dumps(model))
    for name, parameter in model.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter), name
    assert again.config == model.config
