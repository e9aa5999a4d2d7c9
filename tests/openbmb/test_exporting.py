"""Checkpoints from one form to another and back: equal answers, equal bits, names that the originals read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from modelcenter import load, verify
from modelcenter.checkpoint.source import LocalFiles, open_checkpoint
from modelcenter.errors import CannotConvert, Invalid
from modelcenter.exporting import export
from modelcenter.families import forms, openbmb
from modelcenter.families.forms import FORMS
from tests.openbmb.test_originals import assert_same_answers, relative_error
from tests.support import checkpoints
from tests.support.oracles import model_center
from tests.support.originals import ORIGINALS, Original, answers, folder, inputs, valid
from tests.support.recipe import Recipe
from tests.support.tensors import same

TOLERANCE = 1e-5

# Those of which transformers has the architecture, in all that the recipe says.
BOTH_WAYS = tuple(
    r
    for r in ORIGINALS
    if "huggingface" in FORMS.get(r.architecture, {})
    and r.name not in ("llama-scaled", "vit-represented")
    and (not r.name.endswith("classes") or r.architecture == "bert")
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


def tensors(place: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, whatever its format."""
    with open_checkpoint(place) as checkpoint:
        return {name: checkpoint.tensor(name).clone() for name in checkpoint.header.tensors}


def assert_same_bits(found: Path, expected: Path, but: tuple[str, ...] = ()) -> None:
    """The same names, shapes, dtypes and bits, but for tensors that nothing reads."""
    a, b = ({n: t for n, t in tensors(p).items() if n not in but} for p in (found, expected))
    assert a.keys() == b.keys()
    assert [name for name, value in b.items() if not same(a[name], value)] == []


UNREAD = ("position_bias.inv_freq", "lm_head.decoder.weight")


def unread(recipe: Original) -> tuple[str, ...]:
    """What nothing reads: the head over the vocabulary, too, of a model that tells classes."""
    # GLM's classes have the name of the others' vocabulary.
    tells_classes = recipe.name.endswith("classes") and recipe.architecture != "glm"
    return (*UNREAD, *openbmb.VOCABULARY_HEADS) if tells_classes else UNREAD


def transformers_model(place: Path) -> Any:
    values = json.loads((place / "config.json").read_text())
    kind = getattr(transformers, values["architectures"][0])
    return kind.from_pretrained(place, dtype=torch.float32, attn_implementation="eager").eval()


def told(recipe: Original) -> dict[str, torch.Tensor]:
    """The inputs by transformers' names."""
    return {{"input_seq": "pixel_values"}.get(name, name): value for name, value in inputs(recipe).items()}


@pytest.mark.parametrize("recipe", BOTH_WAYS, ids=lambda r: r.name)
def test_transformers_answers_as_the_original(recipe, place, tmp_path):
    written, original = with_one_norm(recipe, place, torch.float32)
    report = export(written, tmp_path / "hf", "huggingface")
    assert report.identical == report.tensors > 0
    assert verify(LocalFiles(tmp_path / "hf")).is_complete
    expected = answers(recipe, original, inputs(recipe))
    with torch.no_grad():
        found = transformers_model(tmp_path / "hf")(**told(recipe))
    where = valid(recipe, inputs(recipe))
    assert relative_error(found.logits, expected["logits"], where) <= TOLERANCE
    ours = load(tmp_path / "hf")(**told(recipe))
    assert relative_error(ours.logits, expected["logits"], where) <= TOLERANCE


def with_one_norm(recipe: Original, place: Path, dtype: torch.dtype) -> tuple[Path, Any]:
    """The recipe's checkpoint and model; of GPT-J one whose two norms are equal, as transformers' is."""
    if recipe.architecture != "gptj":
        return folder(recipe, place, dtype)
    model = model_center.made(recipe.architecture, recipe.settings)
    for layer in model.encoder.layers:
        layer.ffn.layernorm_before_ffn.load_state_dict(layer.self_att.layernorm_before_attention.state_dict())
    written = place / f"gptj-one-norm-{dtype}"
    model_center.save(model, recipe.settings, written, dtype)
    return written, model


# A T5 with `scale` is multiplied by 100: exact for the half precision that such files have.
EXACT = [
    (recipe, dtype)
    for recipe in BOTH_WAYS
    for dtype in (torch.float16, torch.float32)
    if recipe.name != "t5-scale" or dtype is torch.float16
]


@pytest.mark.parametrize(("recipe", "dtype"), EXACT, ids=lambda value: getattr(value, "name", str(value)))
def test_the_way_to_transformers_and_back_is_exact(recipe, dtype, place, tmp_path):
    written, original = with_one_norm(recipe, place, dtype)
    export(written, tmp_path / "hf", "huggingface")
    report = export(tmp_path / "hf", tmp_path / "back", "modelcenter")
    assert report.files == ("pytorch_model.pt",)
    assert_same_bits(tmp_path / "back", written, unread(recipe))
    assert_same_answers(recipe, load(tmp_path / "back", dtype="fp32"), original)


@pytest.mark.parametrize("recipe", ORIGINALS, ids=lambda r: r.name)
def test_the_way_to_our_own_form_and_back_is_exact(recipe, place, tmp_path):
    written, original = folder(recipe, place, torch.float16)
    report = export(written, tmp_path / "native", "native")
    assert report.dtype == "float16" and report.computed == 0
    for fuse in (True, False):
        assert_same_answers(
            recipe, load(tmp_path / "native", dtype="fp32", fuse=fuse), original, told(recipe)
        )
    export(tmp_path / "native", tmp_path / "back", "modelcenter")
    assert_same_bits(tmp_path / "back", written, unread(recipe))


@pytest.mark.parametrize("recipe", ORIGINALS, ids=lambda r: r.name)
def test_the_original_reads_what_is_written(recipe, place, tmp_path):
    """Strictly: every name and shape is the one that its modules have, and what lacks is told."""
    written, original = folder(recipe, place)
    report = export(written, tmp_path / "again", "modelcenter")
    told = next((note for note in report.notes if note.startswith("The checkpoint lacks ")), "")
    absent = told.removeprefix("The checkpoint lacks ").partition(":")[0].split(", ") if told else []
    again = model_center.load(recipe.architecture, tmp_path / "again", absent)
    assert bool(absent) is (recipe.name == "bert-classes")
    asked = inputs(recipe)
    expected, found = answers(recipe, original, asked), answers(recipe, again, asked)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    half = json.loads((tmp_path / "again" / "config.json").read_text())["half"]
    assert half is False


# --- from transformers

FROM_TRANSFORMERS = tuple(
    recipe
    for family in (
        *("bert", "gpt2", "gptj", "llama", "opt", "roberta", "longformer", "t5", "mt5", "vit", "cpmant"),
    )
    for recipe in checkpoints.FAMILIES[family]
)


def is_told(recipe: Recipe, place: Path) -> bool:
    """Whether OpenBMB's form can hold the recipe's model; writes it then."""
    with suppress(CannotConvert):
        export(checkpoints.folder(recipe), place / "mc", "modelcenter")
    return (place / "mc").exists()


@pytest.mark.parametrize("recipe", FROM_TRANSFORMERS, ids=lambda r: r.name)
def test_what_transformers_wrote_comes_back_bit_for_bit(recipe, tmp_path):
    source = checkpoints.folder(recipe)
    if not is_told(recipe, tmp_path):
        return
    export(tmp_path / "mc", tmp_path / "back", "huggingface")
    if recipe.name.startswith("cpmant"):
        return  # its constants leave the weights: see below
    if recipe.model == "BertForNextSentencePrediction":
        return  # without its head it is a model without any, whose names lack the prefix
    kept = verify(LocalFiles(source))
    lost = [name for name in tensors(source) if "seq_relationship" in name]
    # The bias of an untied head that no logit reads.
    unread = [name for name in tensors(source) if name in ("cls.predictions.bias", "lm_head.bias")]
    assert_same_bits(tmp_path / "back", source, (*lost, *unread, *kept.redundant, *kept.derived))
    ours, theirs = (json.loads((p / "config.json").read_text()) for p in (tmp_path / "back", source))
    assert lost or recipe.apart or ours == theirs


def test_a_head_that_is_untied_by_its_values_keeps_its_one_bias(tmp_path):
    recipe = next(r for r in checkpoints.BERT if r.name == "bert-masked-copies")
    values = checkpoints.stored(checkpoints.folder(recipe))
    del values["cls.predictions.decoder.bias"]
    matrix = 2 * values["bert.embeddings.word_embeddings.weight"]
    checkpoints.copy_companions(checkpoints.folder(recipe), tmp_path / "source")
    checkpoints.write(tmp_path / "source", values | {"cls.predictions.decoder.weight": matrix})
    export(tmp_path / "source", tmp_path / "mc", "modelcenter")
    export(tmp_path / "mc", tmp_path / "back", "huggingface")
    asked = checkpoints.inputs(recipe)
    with torch.no_grad():
        expected = load(tmp_path / "source")(**asked).logits
        for form in ("mc", "back"):
            assert relative_error(load(tmp_path / form)(**asked).logits, expected, None) < TOLERANCE, form


@pytest.mark.parametrize(
    "family", ["bert", "gpt2", "gptj", "llama", "opt", "roberta", "longformer", "t5", "cpmant"]
)
def test_openbmbs_form_holds_some_of_each_family(family, tmp_path):
    """So that the test before says something of each."""
    assert any(is_told(recipe, tmp_path / recipe.name) for recipe in checkpoints.FAMILIES[family])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_cpm_ant_goes_both_ways(dtype, tmp_path):
    recipe = checkpoints.FAMILIES["cpmant"][0]
    source = made_of_one_table(checkpoints.folder(recipe), tmp_path / "source")
    export(source, tmp_path / "mc", "modelcenter")
    asked = checkpoints.inputs(recipe)
    with torch.no_grad():
        expected = load(source)(**asked).logits
        found = load(tmp_path / "mc")(**asked).logits
    # The constant of a norm's root is not scaled with the sums: it is all that differs.
    assert relative_error(found, expected, None) < 1e-3
    if dtype is torch.float16:
        halved = {name: value.half() for name, value in tensors(tmp_path / "mc").items()}
        torch.save(halved, tmp_path / "mc" / "pytorch_model.pt")
        (tmp_path / "mc" / "huggingface_config.json").unlink()
        export(tmp_path / "mc", tmp_path / "hf", "huggingface")
        export(tmp_path / "hf", tmp_path / "back", "modelcenter")
        assert_same_bits(tmp_path / "back", tmp_path / "mc")


def test_a_cpm_ant_of_which_layers_lack_halves_answers_as_its_modules_without_them(tmp_path):
    recipe = checkpoints.FAMILIES["cpmant"][0]
    source = made_of_one_table(checkpoints.folder(recipe), tmp_path / "source")
    export(source, tmp_path / "mc", "modelcenter")
    values = json.loads((tmp_path / "mc" / "config.json").read_text())
    masks = [[False, False] for _ in range(values["num_layers"])]
    masks[0][0] = True
    (tmp_path / "mc" / "config.json").write_text(json.dumps(values | {"mask_modules": masks}))
    kept = {n: t for n, t in tensors(tmp_path / "mc").items() if "layers.0.self_att." not in n}
    torch.save(kept, tmp_path / "mc" / "pytorch_model.pt")
    original = transformers.CpmAntForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    layers = original.cpmant.encoder.layers
    layers[0].self_att.forward = lambda hidden, *_, **__: (hidden, None)
    with torch.no_grad():
        for layer in layers:  # whose sums are one fewer now
            layer.ffn.ffn.w_out.weight /= 1.05
            layer.self_att.self_attention.attention_out.weight /= 1.05
        asked = checkpoints.inputs(recipe)
        expected, model = original(**asked).logits, load(tmp_path / "mc")
        found = model(**asked).logits
    assert relative_error(found[:, -expected.shape[1] :], expected, None) < 1e-3
    (tmp_path / "mc" / "huggingface_config.json").unlink()
    export(tmp_path / "mc", tmp_path / "again", "modelcenter")
    assert_same_bits(tmp_path / "again", tmp_path / "mc")
    with pytest.raises(CannotConvert, match="has_attention"):
        export(tmp_path / "mc", tmp_path / "hf", "huggingface")


def made_of_one_table(source: Path, target: Path) -> Path:
    """CPM-Ant as it is released: its head is the embedding."""
    checkpoints.copy_companions(source, target)
    known = tensors(source)
    rows = known["lm_head.weight"].shape[0]
    known["lm_head.weight"] = known["cpmant.input_embedding.weight"][:rows].clone()
    checkpoints.write(target, known)
    return target


def test_an_odd_vocabulary_gets_a_row_of_zeros_and_loses_it(tmp_path):
    source = checkpoints.folder(checkpoints.FAMILIES["gpt2"][0])
    export(source, tmp_path / "mc", "modelcenter")
    table = tensors(tmp_path / "mc")["input_embedding.weight"]
    assert len(table) == 102 and not table[-1].any()
    export(tmp_path / "mc", tmp_path / "back", "huggingface")
    assert_same_bits(tmp_path / "back", source)


def test_two_norms_that_differ_have_no_form_in_transformers(place, tmp_path):
    recipe = next(r for r in ORIGINALS if r.name == "gptj")
    model = model_center.made(recipe.architecture, recipe.settings, seed=3)
    model_center.save(model, recipe.settings, tmp_path / "mc")
    with pytest.raises(CannotConvert, match="one norm"):
        export(tmp_path / "mc", tmp_path / "hf", "huggingface")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("name", ["llama-scaled", "cpm1", "glm", "vit-represented"])
def test_what_a_form_cannot_hold_is_said(name, place, tmp_path):
    written, _ = folder(next(r for r in ORIGINALS if r.name == name), place)
    with pytest.raises(CannotConvert, match=r"no (way to say|form|place)"):
        export(written, tmp_path / "hf", "huggingface")
    assert list(tmp_path.iterdir()) == []


def test_other_rotary_bases_have_no_original_form(tmp_path):
    source = checkpoints.folder(checkpoints.FAMILIES["llama"][0])  # of base 50
    with pytest.raises(CannotConvert, match=r"rotary\.theta"):
        export(source, tmp_path / "mc", "modelcenter")


def test_a_glm_that_names_no_tokens_gets_the_originals(tmp_path):
    recipe = checkpoints.FAMILIES["glm_10b"][0]
    source = checkpoints.folder(recipe)
    report = export(source, tmp_path / "mc", "modelcenter")
    assert report.identical == report.tensors > 0
    assert "sop_tok_id 50006, eop_tok_id 50007, mask_tok_id 50008" in report.notes[0]
    told = json.loads((tmp_path / "mc" / "config.json").read_text())
    assert (told["sop_tok_id"], told["eop_tok_id"], told["mask_tok_id"]) == (50006, 50007, 50008)
    written, known = tensors(tmp_path / "mc"), tensors(source)
    assert same(written["input_embedding.weight"], known["glm.word_embeddings.weight"])
    a, b = load(source).state_dict(), load(tmp_path / "mc").state_dict()
    assert a.keys() == b.keys() and all(same(b[name], value) for name, value in a.items())


def test_a_vit_of_another_epsilon_is_written_with_a_note(tmp_path):
    """1e-12, as every ViT of transformers has it."""
    recipe = next(r for r in checkpoints.FAMILIES["vit"] if r.name == "vit-old-config")
    source = checkpoints.folder(recipe)
    report = export(source, tmp_path / "mc", "modelcenter")
    assert report.computed == 0 and "epsilon 1e-05, this model of 1e-12" in report.notes[0]
    asked = checkpoints.inputs(recipe)
    with torch.no_grad():
        expected, found = load(source)(**asked).logits, load(tmp_path / "mc")(**asked).logits
    assert 0 < relative_error(found, expected, None) < 1e-2


def test_a_model_that_tells_classes_writes_no_text(place):
    model = load(folder(next(r for r in ORIGINALS if r.name == "t5-classes"), place)[0])
    with pytest.raises(Invalid, match="no language head"):
        model.generate(torch.tensor([[3, 4]]))


def recipe_of(family: str, name: str) -> Recipe:
    return next(r for r in checkpoints.FAMILIES[family] if r.name == name)


@pytest.mark.parametrize("name", ["mt5", "mt5-tied", "mt5-base"])
def test_mt5_runs_in_the_originals_t5_and_comes_back_as_mt5(name, tmp_path):
    recipe = recipe_of("mt5", name)
    source = checkpoints.folder(recipe)
    report = export(source, tmp_path / "mc", "modelcenter")
    assert report.family == "mt5" and (forms.NO_HEAD in report.notes) is (name == "mt5-base")
    original, asked = model_center.load("t5", tmp_path / "mc"), checkpoints.inputs(recipe)
    masks = {name: torch.ones_like(asked[name.replace("attention_mask", "input_ids")]) for name in (
        "attention_mask", "decoder_attention_mask",
    )}  # fmt: skip
    asked = {**masks, **asked}
    with torch.no_grad():
        expected, found = load(source)(**asked), original(**asked, output_logits=True)
    where = asked["decoder_attention_mask"].bool()
    for told in ("logits",) if name != "mt5-base" else ("last_hidden_state",):
        assert relative_error(found[told], getattr(expected, told), where) <= TOLERANCE
    export(tmp_path / "mc", tmp_path / "back", "huggingface")
    assert json.loads((tmp_path / "back" / "config.json").read_text())["model_type"] == "mt5"


@pytest.mark.parametrize(
    "recipe", checkpoints.FAMILIES["gpt2"] + checkpoints.FAMILIES["bert"], ids=lambda r: r.name
)
def test_whatever_the_original_has_and_the_checkpoint_lacks_is_told(recipe, tmp_path):
    if not is_told(recipe, tmp_path):
        return
    (tmp_path / "mc").rename(tmp_path / "first")
    notes = export(checkpoints.folder(recipe), tmp_path / "mc", "modelcenter").notes
    told = next((note for note in notes if note.startswith("The checkpoint lacks ")), "")
    absent = told.removeprefix("The checkpoint lacks ").partition(":")[0].split(", ") if told else []
    model_center.load(recipe.name.partition("-")[0], tmp_path / "mc", absent)
    assert (forms.NO_HEAD in notes) is (recipe.model == "GPT2Model")


def test_a_vit_without_classes_has_a_form(tmp_path):
    torch.manual_seed(6)
    sizes = {"hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=16, **sizes)).eval()
    made.save_pretrained(tmp_path / "source")
    notes = export(tmp_path / "source", tmp_path / "mc", "modelcenter").notes
    assert any("lacks head.weight, head.bias" in note for note in notes)
    assert any("Left out: the pooling head" in note for note in notes)
    model_center.load("vit", tmp_path / "mc", ["head.weight", "head.bias"])
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected, found = made(images), load(tmp_path / "mc")(images)
    assert found.logits is None
    assert relative_error(found.last_hidden_state, expected.last_hidden_state, None) < 1e-2


def grouped(source: Path, **settings: Any) -> Path:
    """A Llama whose query heads share keys, of the one rotary base that OpenBMB's has."""
    torch.manual_seed(4)
    sizes = {"vocab_size": 101, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2}
    config = transformers.LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, **settings)
    transformers.LlamaForCausalLM(config).bfloat16().save_pretrained(source)
    return source


def test_a_llama_of_groups_is_written_for_the_main_branch_alone(tmp_path):
    source = grouped(tmp_path / "source", tie_word_embeddings=False)
    report = export(source, tmp_path / "mc", "modelcenter")
    assert "model-center 1.0.2 stops at the argument num_heads_kv" in report.notes[0]
    with pytest.raises(TypeError, match="num_heads_kv"):  # so the note says
        model_center.load("llama", tmp_path / "mc")
    assert report.dtype == "float32"  # the original reads no bfloat16
    assert load(tmp_path / "mc").dtype is torch.float32
    report = export(tmp_path / "mc", tmp_path / "back", "huggingface")
    a, b = tensors(tmp_path / "back"), tensors(source)
    assert a.keys() == b.keys() and all(same(a[n].bfloat16(), value) for n, value in b.items())


def test_a_checkpoint_written_in_its_own_form_keeps_what_its_configuration_says(place, tmp_path):
    source = checkpoints.folder(recipe_of("mt5", "mt5"))
    export(source, tmp_path / "hf", "huggingface")
    a, b = (json.loads((p / "config.json").read_text()) for p in (tmp_path / "hf", source))
    assert a == b
    written, _ = folder(next(r for r in ORIGINALS if r.name == "gpt2"), place)
    (tmp_path / "mc").mkdir()
    (tmp_path / "mc" / "pytorch_model.pt").symlink_to(written / "pytorch_model.pt")
    said = json.loads((written / "config.json").read_text()) | {"emb_init_std": 0.5, "vocab_size": 101}
    (tmp_path / "mc" / "config.json").write_text(json.dumps(said))
    export(tmp_path / "mc", tmp_path / "again", "modelcenter")
    found = json.loads((tmp_path / "again" / "config.json").read_text())
    assert found["emb_init_std"] == 0.5 and found["vocab_size"] == 102  # the table has that many rows
    assert found.items() >= (said | {"vocab_size": 102}).items()


def test_a_folder_with_files_is_not_written_to(tmp_path):
    source = checkpoints.folder(checkpoints.FAMILIES["gpt2"][0])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Invalid, match="not empty"):
        export(source, tmp_path, "native")


def test_small_files_go_along_and_each_form_keeps_its_configuration(tmp_path):
    source = tmp_path / "source"
    checkpoints.copy_companions(checkpoints.folder(checkpoints.FAMILIES["gpt2"][0]), source)
    checkpoints.write(source, tensors(checkpoints.folder(checkpoints.FAMILIES["gpt2"][0])))
    (source / "vocab.txt").write_text("a\nb\n")
    report = export(source, tmp_path / "mc", "modelcenter")
    assert set(report.copied) >= {"vocab.txt", "huggingface_config.json"}
    report = export(tmp_path / "mc", tmp_path / "back", "huggingface")
    assert "modelcenter_config.json" in report.copied and "huggingface_config.json" not in report.copied
    assert (tmp_path / "back" / "config.json").read_text()


NATIVE = tuple(recipes[0] for recipes in checkpoints.FAMILIES.values())


@pytest.mark.parametrize("recipe", NATIVE, ids=lambda r: r.name)
def test_every_family_has_our_own_form(recipe, tmp_path):
    source = checkpoints.folder(recipe)
    export(source, tmp_path / "native", "native")
    assert verify(LocalFiles(tmp_path / "native")).is_complete
    asked = checkpoints.inputs(recipe)
    a, b = load(source), load(tmp_path / "native")
    assert b.report.family == a.report.family
    with torch.no_grad():
        found, expected = b(**asked), a(**asked)
    assert torch.equal(found.last_hidden_state, expected.last_hidden_state)


BACK = tuple(
    recipe
    for family in ("llama", "qwen2", "mixtral", "gpt2", "bert", "deberta", "marian", "chatglm", "glm_10b")
    for recipe in checkpoints.FAMILIES[family]
)


@pytest.mark.parametrize("recipe", BACK, ids=lambda r: r.name)
def test_our_own_form_has_the_way_back_to_transformers_for_every_family(recipe, tmp_path):
    source = checkpoints.folder(recipe)
    export(source, tmp_path / "native", "native")
    export(tmp_path / "native", tmp_path / "back", "huggingface")
    kept = verify(LocalFiles(source))
    assert_same_bits(tmp_path / "back", source, (*kept.redundant, *kept.derived))
    ours, theirs = (json.loads((p / "config.json").read_text()) for p in (tmp_path / "back", source))
    assert recipe.apart or ours == theirs


def test_a_kept_configuration_of_another_model_is_not_believed(tmp_path):
    export(checkpoints.folder(checkpoints.FAMILIES["qwen2"][0]), tmp_path / "native", "native")
    kept = tmp_path / "native" / "huggingface_config.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"rms_norm_eps": 0.5}))
    with pytest.raises(CannotConvert, match="qwen2 has no form huggingface"):
        export(tmp_path / "native", tmp_path / "back", "huggingface")
    assert not (tmp_path / "back").exists()


def test_a_last_row_of_zeros_that_the_kept_configuration_counts_stays(tmp_path):
    source = tmp_path / "source"
    made = checkpoints.folder(checkpoints.FAMILIES["gpt2"][0])
    checkpoints.copy_companions(made, source)
    known = tensors(made)
    name = next(name for name in known if name.endswith("wte.weight"))
    known[name] = known[name][:100].clone()
    known[name][-1] = 0
    told = json.loads((made / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(told | {"vocab_size": 100}))
    checkpoints.write(source, {n: t for n, t in known.items() if n != "lm_head.weight"})
    export(source, tmp_path / "mc", "modelcenter")
    export(tmp_path / "mc", tmp_path / "back", "huggingface")
    assert tensors(tmp_path / "back")[name].shape[0] == 100
    assert_same_bits(tmp_path / "back", source)


def test_an_odd_vocabulary_that_the_original_wrote_stays_odd(place, tmp_path):
    settings = next(r for r in ORIGINALS if r.name == "gpt2").settings | {"vocab_size": 77}
    written, _ = folder(Original("gpt2-odd", "gpt2", settings), place)
    for to in ("huggingface", "native"):
        export(written, tmp_path / to, to)
        export(tmp_path / to, tmp_path / f"{to}-back", "modelcenter")
        assert_same_bits(tmp_path / f"{to}-back", written)


@pytest.mark.parametrize("recipe", BOTH_WAYS, ids=lambda r: r.name)
def test_the_configuration_comes_back_byte_for_byte(recipe, place, tmp_path):
    written, _ = with_one_norm(recipe, place, torch.float16)
    export(written, tmp_path / "hf", "huggingface")
    export(tmp_path / "hf", tmp_path / "back", "modelcenter")
    assert (tmp_path / "back" / "config.json").read_bytes() == (written / "config.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("llama", "position_bias.inv_freq"),
        ("bert", "lm_head.decoder.weight"),
        ("longformer", "lm_head.decoder.weight"),
    ],
)
def test_what_is_not_carried_is_told_on_both_ways(name, tensor, place, tmp_path):
    written, _ = folder(next(r for r in ORIGINALS if r.name == name), place)
    there = export(written, tmp_path / "hf", "huggingface")
    back = export(tmp_path / "hf", tmp_path / "back", "modelcenter")
    assert all(any(tensor in note for note in report.notes) for report in (there, back))
