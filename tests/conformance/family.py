"""What every family must do, told by transformers on tiny random models. A family's test is one line:

class TestLlama(WritingFamilySuite):
    recipes = checkpoints.LLAMA

What depends on the kind of file and not on the family is tried with the families of `EVERY_FORM` alone.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import Checkpoint, LocalFiles, read_header
from modelcenter.errors import CheckpointDamaged, CheckpointError, HeadNotFound, Mismatch
from modelcenter.families.match import match
from modelcenter.loading import precise_parameters
from modelcenter.models.build import build
from modelcenter.verification import read_config
from modelcenter.weights import relations
from tests.support.checkpoints import (
    FORMS,
    copy_companions,
    folder,
    inputs,
    mask,
    original,
    stored,
    write,
)
from tests.support.files import MemoryFiles
from tests.support.recipe import Recipe
from tests.support.tensors import same

# Of the largest logit, in fp32: two orders of summation differ by a few units in the last place a layer.
TOLERANCE = 1e-5
REDUCED = (torch.float16, torch.bfloat16)

Tensors = dict[str, torch.Tensor]

# Our field of ModelOutput -> what transformers' outputs call it, in their order of preference.
FIELDS = {
    "last_hidden_state": ("last_hidden_state",),
    "logits": ("logits", "prediction_logits"),
    "pooler_output": ("pooler_output",),
    "next_sentence_logits": ("seq_relationship_logits", "sop_logits"),
    "start_logits": ("start_logits",),
    "end_logits": ("end_logits",),
    "encoder_last_hidden_state": ("encoder_last_hidden_state",),
}
PER_TOKEN = ("last_hidden_state", "logits", "start_logits", "end_logits")


# The heads whose answers are `logits`.
LOGITS = (
    "masked-lm", "causal-lm", "seq2seq-lm", "replaced-token", "sequence-classification",
    "token-classification", "multiple-choice", "image-classification", "permutation-lm",
)  # fmt: skip


def answers(recipe: Recipe, asked: Tensors, dtype: torch.dtype = torch.float32) -> Tensors:
    """What transformers' model says, by our names; the last hidden states also of models with a head."""
    batch = len(next(iter(asked.values())))
    if recipe.row_by_row and batch > 1:
        rows = [{name: ids[i : i + 1] for name, ids in asked.items()} for i in range(batch)]
        parts = [answers(recipe, row, dtype) for row in rows]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    model = original(recipe, dtype)
    chooses = recipe.model.endswith("MultipleChoice")
    with torch.no_grad():
        # Each row is then the only choice of its own.
        out = model(
            **({n: t[:, None] for n, t in asked.items()} if chooses else asked), output_hidden_states=True
        )
        told = {ours: out[name] for ours, names in FIELDS.items() for name in names if name in out}
        states = out.get("decoder_hidden_states") or out.get("hidden_states")
        last = model.vit(**asked).last_hidden_state if hasattr(model, "vit") else states[-1]
        if recipe.is_encoder:  # what heads were given: the states of some models are not their last
            inner = model.base_model(**asked)
            last = inner.last_hidden_state
            told.setdefault("pooler_output", inner.get("pooler_output"))
        told.setdefault("last_hidden_state", last)
    if recipe.model.endswith("NextSentencePrediction"):
        told["next_sentence_logits"] = told.pop("logits")
    return {name: value for name, value in told.items() if value is not None}


@cache
def usual(recipe: Recipe) -> Tensors:
    """What it says to the usual inputs."""
    return answers(recipe, inputs(recipe))


def assert_same_answers(ours: Any, theirs: Tensors, *, tokens: torch.Tensor | None = None) -> None:
    """Every answer of theirs, to TOLERANCE of its largest value; where `tokens` is 0, anything will do.

    encoder_last_hidden_state is compared through what the decoder makes of it where something is padded.
    """
    told = {name for name in FIELDS if getattr(ours, name) is not None}
    assert told == set(theirs)
    for name, expected in theirs.items():
        found = getattr(ours, name)
        assert found.shape == expected.shape, name
        assert found.isfinite().all(), name
        if tokens is not None and name == "encoder_last_hidden_state":
            continue
        if tokens is not None and name in PER_TOKEN and expected.shape[:2] == tokens.shape:
            found, expected = found[tokens.bool()], expected[tokens.bool()]
        largest = expected.abs().max().item()
        difference = (found.double() - expected.double()).abs().max().item()
        assert difference <= TOLERANCE * largest, (name, difference, largest)


def precise(model: Any) -> tuple[set[str], set[str]]:
    """The parameters that stay in single precision, by our names and by those of the file."""
    ours = set(precise_parameters(model.config, model.dtype))
    weights = model.source.matched.weights(model.config, dict.fromkeys(model.source.stored))
    return ours, {theirs for name in ours for theirs in relations.names(weights.rules[name])}


def assert_dtypes(model: Any, precise: set[str], dtype: torch.dtype) -> None:
    """All parameters are `dtype`, the precise ones in single precision."""
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if name in precise else dtype), name


def typical_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The median over tokens of the largest difference: a router may send one token elsewhere."""
    return (found.double() - exact.double()).abs().flatten(0, -2).amax(-1).median().item()


def ask(model: Any, asked: Tensors) -> Any:
    with torch.no_grad():
        return model(**asked)


def assert_same_files(found: Tensors, expected: Tensors) -> None:
    """The same names, dtypes, shapes and bits."""
    assert found.keys() == expected.keys()
    different = [name for name, value in expected.items() if not same(found[name], value)]
    assert different == []


@contextmanager
def no_weights_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails what asks for a tensor's values."""

    def refuse(self: Checkpoint, name: str) -> torch.Tensor:
        raise AssertionError(f"{name} was read")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "tensor", refuse)
        yield


# --- damage: what becomes of a file, and what must be said of it


@dataclass
class Damage:
    """One tensor changed. missing, unexpected: names; misshapen: name -> (found, expected)."""

    tensors: Tensors
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()


def dropped(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    return Damage({n: t for n, t in tensors.items() if n != name}, missing=(name,))


def new_name(tensors: Tensors, name: str, chance: random.Random) -> str:
    """A name that nothing reads: misspelt, of another layer, of another module."""
    digits = [i for i, c in enumerate(name) if c.isdigit()]
    names = [name + "_", name.replace(".", "..", 1), "extra." + name, name.upper()]
    if digits:
        names += [name[: digits[0]] + "77" + name[digits[0] + 1 :]]
    found = chance.choice(names)
    assert found not in tensors
    return found


def renamed(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    new = new_name(tensors, name, chance)
    return Damage(
        {new if n == name else n: t for n, t in tensors.items()}, missing=(name,), unexpected=(new,)
    )


def added(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    new = new_name(tensors, name, chance)
    return Damage({**tensors, new: tensors[name].clone()}, unexpected=(new,))


def reshaped_to(tensors: Tensors, name: str, value: torch.Tensor) -> Damage:
    found, expected = tuple(value.shape), tuple(tensors[name].shape)
    return Damage({**tensors, name: value.contiguous()}, misshapen=((name, found, expected),))


def reshaped(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    value = tensors[name]
    shapes = [(1, *value.shape), (*value.shape, 1)]
    if value.ndim > 1:
        shapes.append((value.numel(),))
    if value.shape[0] % 2 == 0:
        shapes.append((2, value.shape[0] // 2, *value.shape[1:]))
        shapes.append((value.shape[0] // 2, 2 * value.numel() // value.shape[0]))
    return reshaped_to(tensors, name, value.reshape(chance.choice(shapes)))


def longer(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    value = tensors[name]
    return reshaped_to(tensors, name, torch.cat((value, value[:1])))


def shorter(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    return reshaped_to(tensors, name, tensors[name][:-1])


def transposed(tensors: Tensors, name: str, chance: random.Random) -> Damage:
    return reshaped_to(tensors, name, tensors[name].t())


def is_oblong(value: torch.Tensor) -> bool:
    return value.ndim == 2 and value.shape[0] != value.shape[1]


DAMAGES: dict[str, Callable[[Tensors, str, random.Random], Damage]] = {
    "dropped": dropped,
    "renamed": renamed,
    "added": added,
    "reshaped": reshaped,
    "longer": longer,
    "shorter": shorter,
    "transposed": transposed,
}


def candidates(recipe: Recipe, kind: str) -> list[str]:
    """The tensors to which that may be done. What may be lacking is not dropped: a copy, say."""
    tensors = stored(folder(recipe))
    spare = {*verify(LocalFiles(folder(recipe))).redundant, *recipe.optional}
    # Rows more than config.json says are padding, unless another table of the vocabulary says otherwise.
    vocabulary = [n for n, t in tensors.items() if t.shape[:1] == (recipe.settings.get("vocab_size"),)]
    return [
        name
        for name in sorted(tensors)
        if not (kind in ("dropped", "renamed") and name in spare)
        and not (kind == "longer" and [name] == vocabulary)
        and not (kind == "transposed" and not is_oblong(tensors[name]))
    ]


def one_of_each(names: list[str], chance: random.Random) -> list[str]:
    """Of names that differ by numbers alone, layers' or experts', one: the same rule reads them all."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"\d+", "0", name), []).append(name)
    return [chance.choice(group) for group in alike.values()]


def assert_told(found: Any, damage: Damage) -> None:
    """`found`, a verdict or an audit, names the damage and nothing else."""
    assert tuple(m.name for m in found.missing) == damage.missing
    assert tuple(u.name for u in found.unexpected) == damage.unexpected
    assert tuple((m.name, m.found, m.expected) for m in found.misshapen) == damage.misshapen


def assert_said(sentence: str, damage: Damage, tensors: Tensors, files: dict[str, str]) -> None:
    """The sentence has every name with the shapes; what was found, with its file."""
    for name in damage.missing:
        assert f"{name} {tuple(tensors[name].shape)}" in sentence
    for name in damage.unexpected:
        assert name in sentence and files[name] in sentence
    for name, is_, should in damage.misshapen:
        assert name in sentence and str(is_) in sentence and str(should) in sentence
        assert files[name] in sentence


def tied_names(recipe: Recipe) -> tuple[str, ...]:
    """The names that files use of the model's first tied tensor, its own first; none where none is tied."""
    files = LocalFiles(folder(recipe))
    header, values = read_header(files).tensors, read_config(files)
    matched = match(values, header)
    is_tied = getattr(getattr(matched.config, "head", None), "tied", False) and not verify(files).corrections
    weights = matched.weights(matched.config, header)
    copies = {
        copy: of
        for copy, of in weights.copies.items()
        if of in header
        and copy not in weights.apart
        and (is_tied or (recipe.is_encoder_decoder and "embed_tokens" in copy))
        # MiniCPM's file tells by the name alone that the two are not tied.
        and match(values, {**header, copy: header[of]}).config == matched.config
    }
    first = next(iter(copies.values()), None)
    return () if first is None else (first, *(copy for copy, of in copies.items() if of == first))


# The recipes whose checkpoints are tried in every form: reading a form knows nothing of families.
EVERY_FORM = (
    "bert-masked-copies", "bert-pretraining", "gpt2", "llama-gqa", "llama-copies", "mixtral", "t5", "t5-v1.1",
)  # fmt: skip

Test = TypeVar("Test", bound=Callable[..., None])


def forms(*names: str) -> Callable[[Test], Test]:
    """Of a test that takes `filed` and `form`: the forms that it tries."""

    def mark(test: Test) -> Test:
        test.forms = names  # type: ignore[attr-defined]
        return test

    return mark


class FamilySuite:
    """Inherit, and say how the family's checkpoints are made.

    A test asks for a `recipe`, for a `reader` (a recipe whose model takes text), for a `writer` (one that
    generates text) or for a `filed` one (whose files hold what no other recipe's do) or, where much is tried,
    for the `first` of each family.
    """

    recipes: tuple[Recipe, ...] = ()
    firsts: tuple[Recipe, ...] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        kinds = {
            "recipe": self.recipes,
            "reader": [recipe for recipe in self.recipes if not recipe.is_image],
            "writer": [recipe for recipe in self.recipes if recipe.generates],
            "filed": [recipe for recipe in self.recipes if not recipe.only_numbers],
            "first": self.firsts,
        }
        forms = getattr(metafunc.function, "forms", None)
        if forms is not None:
            tried = [
                (recipe, form)
                for recipe in kinds.pop("filed")
                for form in forms
                if form == "safetensors" or recipe.name in EVERY_FORM
            ]
            metafunc.parametrize(
                "filed, form", tried, ids=[f"{recipe.name}-{form}" for recipe, form in tried]
            )
        for argument, recipes in kinds.items():
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, recipes, ids=[recipe.name for recipe in recipes])
        if "fuse" in metafunc.fixturenames:
            metafunc.parametrize("fuse", [True, False], ids=["fused", "stored"])

    # --- numbers

    def test_the_answers_are_those_of_transformers(self, recipe: Recipe, fuse: bool):
        asked = inputs(recipe)
        model = load(folder(recipe), fuse=fuse)
        assert not model.training
        assert_same_answers(ask(model, asked), usual(recipe))

    @forms(*FORMS[1:])
    def test_every_kind_of_file_gives_the_same_model(self, filed: Recipe, form: str, fuse: bool):
        model, same_model = load(folder(filed), fuse=fuse), load(folder(filed, form), fuse=fuse)
        assert_same_files(dict(same_model.state_dict()), dict(model.state_dict()))
        asked = inputs(filed)
        assert_same_answers(ask(same_model, asked), usual(filed))

    def test_padding_changes_no_answer(self, reader: Recipe):
        model = load(folder(reader))
        # Those whose context is seen whole take what stands at the left for padding, whatever is asked.
        for side in ("left",) if reader.sees_ahead else ("left", "right"):
            asked = inputs(reader)
            shown = asked["input_ids"]
            asked["attention_mask"] = tokens = mask(shown, side)
            if reader.settings.get("pad_token_id") is not None and not reader.is_encoder_decoder:
                asked["input_ids"] = shown.where(tokens.bool(), reader.settings["pad_token_id"])
            if "decoder_input_ids" in asked:
                tokens = mask(asked["decoder_input_ids"], side)
                asked["decoder_attention_mask"] = tokens
            assert_same_answers(ask(model, asked), answers(reader, asked), tokens=tokens)

    def test_a_mask_without_padding_says_nothing(self, first: Recipe):
        if first.is_image:
            return
        asked = inputs(first)
        model = load(folder(first))
        masked = ask(model, asked | {"attention_mask": torch.ones_like(asked["input_ids"])})
        assert torch.equal(masked.last_hidden_state, ask(model, asked).last_hidden_state)

    def test_long_sequences_agree_as_well(self, recipe: Recipe):
        asked = inputs(recipe, length=40, batch=2, seed=1)
        assert_same_answers(ask(load(folder(recipe)), asked), answers(recipe, asked))

    def test_one_token_is_enough(self, reader: Recipe):
        asked = inputs(reader, length=3, batch=1, seed=2)
        asked = {name: ids[:, :1] for name, ids in asked.items()}
        assert_same_answers(ask(load(folder(reader)), asked), answers(reader, asked))

    # --- dtypes

    @pytest.mark.parametrize("dtype", REDUCED, ids=str)
    def test_a_reduced_dtype_is_the_stored_values_rounded(
        self, first: Recipe, dtype: torch.dtype, tmp_path: Path
    ):
        model = load(folder(first), dtype=dtype, fuse=dtype is torch.float16)
        ours, theirs = precise(model)
        assert_dtypes(model, ours, dtype)
        assert model.report.dtype == str(dtype).removeprefix("torch.")
        save(model, tmp_path)
        whole = stored(folder(first))
        expected = {name: value if name in theirs else value.to(dtype) for name, value in whole.items()}
        assert_same_files(stored(tmp_path), expected)

    def test_a_reduced_dtype_costs_no_more_than_in_transformers(self, recipe: Recipe):
        dtype = random.Random(recipe.name).choice(REDUCED)
        asked = inputs(recipe, batch=8)
        exact, theirs = answers(recipe, asked), answers(recipe, asked, dtype)
        ours = ask(load(folder(recipe), dtype=dtype), asked)
        for name, expected in exact.items():
            found = getattr(ours, name)
            assert found.dtype == dtype
            least = torch.finfo(dtype).eps * expected.abs().max().item()
            assert typical_error(found, expected) <= 1.5 * typical_error(theirs[name], expected) + least, name

    @pytest.mark.parametrize("dtype", REDUCED[1:], ids=str)
    def test_the_dtype_is_the_checkpoints_own_unless_asked(
        self, first: Recipe, dtype: torch.dtype, tmp_path: Path
    ):
        place = folder(first, dtype=dtype)
        model = load(place)
        assert_dtypes(model, precise(model)[0], dtype)
        assert not model.report.cast
        save(model, tmp_path)
        assert_same_files(stored(tmp_path), stored(place))

    def test_casting_a_loaded_model_does_not_round_its_positions(self, first: Recipe):
        asked = inputs(first, length=40, batch=2)
        cast = ask(load(folder(first)).half(), asked)
        loaded = load(folder(first), dtype="fp16")
        for parameter in loaded.parameters():  # those that stay in single precision are cast too
            parameter.data = parameter.data.half()
        assert torch.equal(cast.last_hidden_state, ask(loaded, asked).last_hidden_state)

    # --- files

    @forms("safetensors", "sharded", "bin")
    def test_the_files_come_back_bit_for_bit(self, filed: Recipe, form: str, fuse: bool, tmp_path: Path):
        written = save(load(folder(filed, form), fuse=fuse), tmp_path)
        assert written == ("model.safetensors",)
        assert_same_files(stored(tmp_path), stored(folder(filed)))
        ours, theirs = (json.loads((p / "config.json").read_text()) for p in (tmp_path, folder(filed, form)))
        told = {"dtype", "torch_dtype"} | ({"tie_word_embeddings"} if filed.apart else set())
        assert {n: v for n, v in ours.items() if n not in told} == {
            n: v for n, v in theirs.items() if n not in told
        }

    def test_what_was_saved_loads_again(self, first: Recipe, tmp_path: Path):
        asked = inputs(first)
        model = load(folder(first))
        save(model, tmp_path)
        assert verify(LocalFiles(tmp_path)).status == "complete"
        again = ask(load(tmp_path), asked)
        assert torch.equal(again.last_hidden_state, ask(model, asked).last_hidden_state)

    def test_a_checkpoint_saved_over_itself_stays_whole(self, first: Recipe, tmp_path: Path):
        copy_companions(folder(first), tmp_path)
        write(tmp_path, stored(folder(first)))
        save(load(tmp_path, fuse=False), tmp_path)
        assert_same_files(stored(tmp_path), stored(folder(first)))

    # --- names

    def test_any_name_of_a_tied_tensor_is_enough(self, filed: Recipe, tmp_path: Path):
        names, files = tied_names(filed), MemoryFiles.of(folder(filed))
        tensors = stored(folder(filed))

        def verdict(kept: tuple[str, ...], **more: torch.Tensor) -> Any:
            others = {name: tensor for name, tensor in tensors.items() if name not in names}
            values = {name: tensors[names[0]].clone() for name in kept}
            files.contents["model.safetensors"] = safetensors_bytes(others | values | more)
            return verify(files)

        for kept in {names[1:], *((name,) for name in names[1:])} - {()}:
            found = verdict(kept)
            assert found.is_complete, (kept, found.problem)
            assert set(kept[1:]) <= found.redundant.keys(), kept
            # Of another shape it is a stranger, of the same it may be the one that is lacking.
            for shape, missing in (((3,), ()), (tensors[names[0]].shape, names[:1])):
                found = verdict(kept, stranger=torch.ones(shape))
                assert tuple(u.name for u in found.unexpected) == ("stranger",), kept
                assert tuple(m.name for m in found.missing) == missing, kept
        if len(names) > 1:
            verdict(names[-1:])
            for name, content in files.contents.items():
                (tmp_path / name).write_bytes(content)
            model = load(tmp_path)
            assert_same_answers(ask(model, inputs(filed)), usual(filed))
            ask(load(tmp_path, head="none"), inputs(filed))
            save(model, tmp_path / "saved")
            assert_same_files(stored(tmp_path / "saved"), stored(tmp_path))

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "base_model.model."])
    def test_what_training_wraps_a_model_in_is_seen_through(self, first: Recipe, prefix: str, tmp_path: Path):
        wrapped = {prefix + name: tensor for name, tensor in stored(folder(first)).items()}
        copy_companions(folder(first), tmp_path / "a")
        write(tmp_path / "a", wrapped)
        assert verify(LocalFiles(tmp_path / "a")).is_complete
        model = load(tmp_path / "a")
        assert_same_answers(ask(model, inputs(first)), usual(first))
        save(model, tmp_path / "b")
        assert_same_files(stored(tmp_path / "b"), wrapped)

    # --- the model

    def test_the_module_is_what_its_configuration_says(self, filed: Recipe):
        values = json.loads((folder(filed) / "config.json").read_text())
        matched = match(values, read_header(LocalFiles(folder(filed))).tensors)
        for layout in ("fused", "separate", "stored"):
            config = matched.arranged(None, layout)
            module = build(config)
            shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
            assert shapes == config.parameters()
            assert config.num_parameters == sum(p.numel() for p in module.parameters())
            assert all(p.is_meta for p in module.parameters())

    def test_nothing_is_left_without_values(self, filed: Recipe):
        model = load(folder(filed))
        held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        assert [name for name, value in held.items() if value.is_meta] == []
        assert {name: tuple(p.shape) for name, p in model.state_dict().items()} == model.config.parameters()
        lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
        assert len(lists) == 1 + filed.is_encoder_decoder

    @forms("safetensors", "sharded", "bin")
    def test_the_report_accounts_for_every_tensor(self, filed: Recipe, form: str):
        report = load(folder(filed, form)).report
        audit = report.audit
        accounts = [*audit.read, *audit.copies, *audit.derived, *audit.unused]
        assert sorted(accounts) == sorted(stored(folder(filed)))
        assert audit.ok and not audit.unused
        header = read_header(LocalFiles(folder(filed, form))).tensors
        assert report.bytes_read == sum(header[name].size_bytes for name in audit.read)
        assert str(len(audit.read)) in str(report)

    def test_the_model_alone_has_no_answers_but_its_states(self, filed: Recipe, tmp_path: Path):
        asked = inputs(filed)
        model = load(folder(filed), head="none")
        bare, whole = ask(model, asked), usual(filed)
        kept = {n: v for n, v in whole.items() if n in ("last_hidden_state", "encoder_last_hidden_state")}
        assert_same_answers(bare, kept)
        audit = model.report.audit
        accounts = [*audit.read, *audit.copies, *audit.derived, *audit.unused]
        assert sorted(accounts) == sorted(stored(folder(filed)))

    def test_each_head_answers_for_itself(self, filed: Recipe):
        asked, whole = inputs(filed), usual(filed)
        fields = dict.fromkeys(LOGITS, "logits") | {
            "pooling": "pooler_output", "next-sentence": "next_sentence_logits",
            "sentence-order": "next_sentence_logits", "question-answering": "start_logits",
        }  # fmt: skip
        carried = verify(LocalFiles(folder(filed))).heads
        assert {fields[head] for head in carried} >= set(whole) & set(fields.values())
        for head in carried:
            out = ask(load(folder(filed), head=head), asked)
            found = getattr(out, fields[head])
            if fields[head] in whole:  # transformers does not show what only a head above it sees
                expected = whole[fields[head]]
                assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
            others = {fields[h] for h in carried if h != head} - {fields[head]}
            if getattr(load(folder(filed), head=head), "pooler", None) is not None:
                others -= {"pooler_output"}  # what that head is told from
            assert all(getattr(out, field) is None for field in others)

    def test_a_head_that_is_not_there_is_refused_by_name(self, first: Recipe, monkeypatch):
        with no_weights_read(monkeypatch), pytest.raises(HeadNotFound) as refused:
            load(folder(first), head="object-detection")
        assert refused.value.head == "object-detection"
        assert refused.value.carried == verify(LocalFiles(folder(first))).heads

    # --- verdicts

    @forms("safetensors", "sharded", "legacy-bin")
    def test_the_verdict_is_complete(self, filed: Recipe, form: str):
        verdict = verify(LocalFiles(folder(filed, form)))
        tensors = stored(folder(filed))
        assert (verdict.status, verdict.problem) == ("complete", "") and verdict.is_complete
        assert verdict.architecture == filed.model
        assert verdict.tensors == len(tensors)
        assert verdict.parameters == sum(t.numel() for t in tensors.values())
        assert verdict.bytes == 4 * verdict.parameters
        assert verdict.facts is not None
        theirs = original(filed)
        assert verdict.facts.vocab_size == getattr(theirs.config, "vocab_size", None)
        assert verdict.facts.hidden_size == theirs.config.hidden_size
        assert verdict.facts.num_heads == theirs.config.num_attention_heads
        assert verdict.facts.parameters == sum(
            t.numel() for n, t in tensors.items() if n not in verdict.redundant
        )
        assert type(verdict).from_json(json.loads(json.dumps(verdict.to_json()))) == verdict

    def test_only_headers_are_read_for_a_verdict(self, first: Recipe):
        files = MemoryFiles.of(folder(first))
        files.contents["model.safetensors"] += b"\0" * 10**6
        header = 8 + int.from_bytes(files.contents["model.safetensors"][:8], "little")
        verify(files)  # damaged: longer than its header says
        read = sum(size for name, size in files.reads if name.endswith(".safetensors"))
        assert read <= max(header, 256 << 10)

    @pytest.mark.parametrize("kind", DAMAGES)
    def test_exactly_the_damaged_tensor_is_named(self, first: Recipe, kind: str, tmp_path, monkeypatch):
        chance = random.Random(f"{first.name} {kind}")
        tensors, names = stored(folder(first)), candidates(first, kind)
        for form in chance.sample(FORMS, 2):
            damage = DAMAGES[kind](tensors, chance.choice(names), chance)
            place = tmp_path / form
            copy_companions(folder(first), place)
            write(place, damage.tensors, form)
            verdict = verify(LocalFiles(place))
            assert_told(verdict, damage)
            assert verdict.status == "incomplete"
            with no_weights_read(monkeypatch), pytest.raises(Mismatch) as refused:
                load(place)
            assert_told(refused.value.audit, damage)
            files = {name: info.file for name, info in read_header(LocalFiles(place)).tensors.items()}
            assert_said(str(refused.value), damage, tensors, files)
            assert_said(verdict.problem, damage, tensors, files)

    @pytest.mark.slow
    def test_the_verdict_names_every_tensor_that_can_be_damaged(self, first: Recipe):
        tensors = stored(folder(first))
        config = (folder(first) / "config.json").read_bytes()
        for kind, damaged in DAMAGES.items():
            for name in one_of_each(candidates(first, kind), random.Random(f"{first.name} {kind}")):
                damage = damaged(tensors, name, random.Random(name))
                contents = {"config.json": config, "model.safetensors": safetensors_bytes(damage.tensors)}
                assert_told(verify(MemoryFiles(contents)), damage)

    @forms(*FORMS)
    def test_a_file_cut_short_is_named(self, filed: Recipe, form: str, tmp_path: Path, monkeypatch):
        chance = random.Random(f"{filed.name} {form}")
        copy_companions(folder(filed), tmp_path)
        write(tmp_path, stored(folder(filed)), form)
        weights = sorted(p for p in tmp_path.iterdir() if p.suffix in (".safetensors", ".bin"))
        for _ in range(2):
            cut = chance.choice(weights)
            whole = cut.read_bytes()
            cut.write_bytes(whole[: chance.choice([0, 5, chance.randrange(len(whole)), len(whole) - 1])])
            verdict = verify(LocalFiles(tmp_path))
            assert verdict.status == "damaged" and cut.name in verdict.problem
            with no_weights_read(monkeypatch), pytest.raises(CheckpointDamaged) as refused:
                load(tmp_path)
            assert refused.value.file == cut.name and cut.name in str(refused.value)
            cut.write_bytes(whole)

    @pytest.mark.slow
    def test_hostile_configurations_get_a_verdict_in_time(self, first: Recipe):
        files = MemoryFiles({"model.safetensors": safetensors_bytes(stored(folder(first)))})
        problems = []
        for told, config in hostile(first):
            files.contents["config.json"] = config
            started = time.process_time()
            try:
                verdict = verify(files)
            except Exception as error:  # noqa: BLE001 — a verdict is never an exception: all are told
                problems.append(f"{told}: raised {error!r}")
                continue
            if time.process_time() - started > IN_TIME_SECONDS:
                problems.append(f"{told}: took too long")
            if verdict.is_complete == bool(verdict.problem):
                problems.append(f"{told}: {verdict.status} and {verdict.problem!r}")
        assert not problems, "\n".join(problems)

    @pytest.mark.slow
    def test_what_a_verdict_refuses_is_refused_by_the_loader_and_nothing_else(
        self, first: Recipe, tmp_path: Path
    ):
        shutil.copy(folder(first) / "model.safetensors", tmp_path)
        chance = random.Random(first.name)
        problems = []
        for told, config in hostile(first):
            if chance.random() < 0.7:
                continue
            (tmp_path / "config.json").write_bytes(config)
            refused = None
            try:
                load(tmp_path)
            except CheckpointError as error:
                refused = error
            except Exception as error:  # noqa: BLE001 — the loader's errors are typed: all others are told
                problems.append(f"{told}: raised {error!r}")
                continue
            if verify(LocalFiles(tmp_path)).is_complete != (refused is None):
                problems.append(f"{told}: refused by one of the two ({refused!r})")
        assert not problems, "\n".join(problems)


class WritingFamilySuite(FamilySuite):
    """Of families of which some generate text."""

    def test_generation_needs_no_cache(self, first: Recipe):
        if not first.generates or first.is_encoder_decoder or first.sees_ahead:
            return
        model, tokens = load(folder(first)), prompt(first, padded=False)["input_ids"]
        for _ in range(NEW_TOKENS):
            tokens = torch.cat((tokens, ask(model, {"input_ids": tokens}).logits[:, -1:].argmax(-1)), dim=1)
        assert torch.equal(tokens, generated(first, False, None))

    def test_generated_text_is_that_of_transformers(self, writer: Recipe):
        model = load(folder(writer))
        for padded in (False, True):
            found = model.generate(**prompt(writer, padded), max_new_tokens=NEW_TOKENS, eos_token_id=None)
            assert torch.equal(found, generated(writer, padded, None)), padded

    def test_generated_rows_stop_at_their_end_tokens(self, first: Recipe):
        if not first.generates:
            return
        model, padded = load(folder(first)), True
        free = generated(first, padded, None)[:, -NEW_TOKENS:]
        for ends in (int(free[1, 2]), (int(free[0, 1]), int(free[2, 4]))):
            found = model.generate(**prompt(first, padded), max_new_tokens=NEW_TOKENS, eos_token_id=ends)
            assert torch.equal(found, generated(first, padded, ends)), ends


# --- prompts and what transformers makes of them

NEW_TOKENS = 9


def prompt(recipe: Recipe, padded: bool) -> dict[str, Any]:
    """Three rows of seven tokens, padded on the left (an encoder: on the right) where asked."""
    ids = inputs(recipe, length=7, seed=3)["input_ids"]
    if not padded:
        return {"input_ids": ids}
    tokens = mask(ids, "right" if recipe.is_encoder_decoder else "left")
    return {"input_ids": ids * tokens, "attention_mask": tokens}


@cache
def generated(recipe: Recipe, padded: bool, ends: int | tuple[int, ...] | None) -> torch.Tensor:
    """transformers' greedy continuation of the prompt."""
    model, asked = original(recipe), prompt(recipe, padded)
    settings = model.generation_config
    kept = settings.eos_token_id
    settings.eos_token_id, settings.pad_token_id = list(ends) if isinstance(ends, tuple) else ends, 0
    if recipe.is_encoder_decoder:
        settings.decoder_start_token_id = 0
    try:
        return model.generate(
            asked["input_ids"],
            attention_mask=asked.get("attention_mask", torch.ones_like(asked["input_ids"])),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            # Its cache for an encoder-decoder has as many layers as the encoder.
            use_cache=not recipe.is_encoder_decoder,
        )
    finally:
        settings.eos_token_id = kept


# --- values that config.json may hold where a number is meant

IN_TIME_SECONDS = 2
ABSENT = object()
HOSTILE: list[Any] = [
    ABSENT, None, "12", "", -1, 0, 1, 3, 10**6, 10**12, 10**400, 1.5, -0.5, 1e-30, 1e308, float("nan"),
    float("inf"), True, False, [], [1, 2], [[]], {}, {"rope_type": "longrope"}, {"rope_theta": "x"},
    {"rope_type": "yarn", "factor": 0}, {"type": "llama3"}, {"rope_type": ["yarn"]}, "gated-", "../../etc",
]  # fmt: skip


TRIED = 10  # of them for each name of a family: most names are read in most families, or in none


def hostile(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    """The recipe's config.json with one value that cannot be meant, and what it is."""
    values = json.loads((folder(recipe) / "config.json").read_text())
    for name in values:
        for value in random.Random(f"{recipe.name} {name}").sample(HOSTILE, TRIED):
            changed = {**values, name: value}
            if value is ABSENT:
                del changed[name]
            yield f"{name}: {'absent' if value is ABSENT else str(value)[:40]}", json.dumps(changed).encode()
