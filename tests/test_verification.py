"""verify(): a verdict for whatever a folder holds, from headers, in time, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save as safetensors_bytes

from modelcenter import load, verify
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.cli import cli
from modelcenter.errors import CheckpointError, ConfigurationInvalid, Mismatch, UnknownArchitecture
from modelcenter.verification import NAMED, Verdict
from tests.support import checkpoints
from tests.support.checkpoints import copy_companions, folder, stored, write
from tests.support.files import MemoryFiles
from tests.support.recipe import Recipe

LLAMA, MIXTRAL = checkpoints.LLAMA[0], checkpoints.MIXTRAL[0]


def config_of(recipe: Recipe) -> dict[str, Any]:
    return json.loads((folder(recipe) / "config.json").read_text())


def files_of(recipe: Recipe, **values: Any) -> MemoryFiles:
    """The recipe's files with these values in config.json."""
    return MemoryFiles(
        {
            "config.json": json.dumps(config_of(recipe) | values).encode(),
            "model.safetensors": (folder(recipe) / "model.safetensors").read_bytes(),
        }
    )


def place_of(place: Path, recipe: Recipe, config: str | bytes | None) -> Path:
    """The recipe's weights beside another config.json, or none."""
    write(place, stored(folder(recipe)))
    if config is not None:
        (place / "config.json").write_bytes(config.encode() if isinstance(config, str) else config)
    return place


# --- nothing heavy


def test_a_verdict_needs_no_torch():
    program = f"""
import sys
from pathlib import Path
from modelcenter import verify
from modelcenter.checkpoint.source import LocalFiles
for place in {[str(folder(r, form)) for r in (LLAMA, MIXTRAL) for form in checkpoints.FORMS]!r}:
    verdict = verify(LocalFiles(Path(place)))
    assert verdict.is_complete, verdict
heavy = {{"torch", "safetensors", "transformers", "flask", "sqlalchemy"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_folder_is_named_by_text_or_path(tmp_path: Path):
    place = folder(LLAMA)
    expected = verify(LocalFiles(place))
    assert expected.is_complete
    assert verify(place) == verify(str(place)) == expected
    assert verify(str(tmp_path / "nothing")).status == "no_checkpoint"


class Sparse:
    """The files of a model far larger than any disk here: headers, and sizes."""

    def __init__(self, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
        header, end = {}, 0
        for name, shape in shapes.items():
            start, end = end, end + 2 * torch.Size(shape).numel()
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        head = len(text).to_bytes(8, "little") + text
        self.contents = {"config.json": json.dumps(config).encode(), "model.safetensors": head}
        self.sizes = {"config.json": len(self.contents["config.json"]), "model.safetensors": len(head) + end}

    def names(self) -> Collection[str]:
        return self.contents.keys()

    def size(self, name: str) -> int:
        return self.sizes[name]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        return self.contents[name][start:stop]


def test_a_model_of_seventy_billion_parameters_is_judged_at_once():
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
        "vocab_size": 128256, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 131072,
        "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
    }  # fmt: skip
    size, inner = 8192, 28672
    layer = {
        "input_layernorm": (size,), "post_attention_layernorm": (size,), "self_attn.q_proj": (size, size),
        "self_attn.k_proj": (1024, size), "self_attn.v_proj": (1024, size), "self_attn.o_proj": (size, size),
        "mlp.gate_proj": (inner, size), "mlp.up_proj": (inner, size), "mlp.down_proj": (size, inner),
    }  # fmt: skip
    shapes = {f"model.layers.{i}.{n}.weight": shape for i in range(80) for n, shape in layer.items()}
    shapes |= {"model.embed_tokens.weight": (128256, size), "lm_head.weight": (128256, size)}
    started = time.process_time()
    verdict = verify(Sparse(config, shapes | {"model.norm.weight": (size,)}))
    assert time.process_time() - started < 2
    assert verdict.is_complete, verdict.problem
    assert verdict.parameters == 70_553_706_496 and verdict.facts is not None
    assert verdict.facts.parameters == verdict.parameters
    assert (verdict.facts.num_layers, verdict.facts.num_kv_heads, verdict.facts.head_dim) == (80, 8, 128)
    assert verdict.facts.max_position_embeddings == 131072
    assert verdict.parameters_by_dtype == {"BF16": verdict.parameters}


# --- what is not there


def test_a_folder_without_weights_holds_no_checkpoint(tmp_path: Path):
    copy_companions(folder(LLAMA), tmp_path)
    verdict = verify(LocalFiles(tmp_path))
    assert verdict.status == "no_checkpoint" and "model.safetensors" in verdict.problem
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "pytorch_model.bin"])
def test_an_empty_file_gets_a_verdict(name: str, tmp_path: Path):
    write(copied := place_of(tmp_path, LLAMA, json.dumps(config_of(LLAMA))), stored(folder(LLAMA)))
    if name == "pytorch_model.bin":
        (copied / "model.safetensors").unlink()
    (copied / name).write_bytes(b"")
    verdict = verify(LocalFiles(copied))
    assert verdict.status in ("damaged", "invalid_configuration") and name in verdict.problem
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load(copied)


CONFIGURATIONS: dict[str, tuple[str | bytes | None, type[Exception]]] = {
    "none": (None, UnknownArchitecture),
    "no JSON": ("{'model_type': 'llama'}", ConfigurationInvalid),
    "cut": ('{"model_type": "llama"', ConfigurationInvalid),
    "not UTF-8": (b'{"model_type": "\xff\xfe\xfa"}', ConfigurationInvalid),
    "list": ('["llama"]', ConfigurationInvalid),
    "text": ('"llama"', ConfigurationInvalid),
    "null": ("null", ConfigurationInvalid),
    "deep": ("[" * 200_000, ConfigurationInvalid),
    "long": (" " * 5_000_000 + "{}", ConfigurationInvalid),
    "empty": ("{}", UnknownArchitecture),
    "class alone": ('{"architectures": ["LlamaForCausalLM"]}', ConfigurationInvalid),
    "unknown class": ('{"architectures": ["MambaForCausalLM"]}', UnknownArchitecture),
    "odd class": ('{"architectures": [{"LlamaForCausalLM": 1}]}', UnknownArchitecture),
    "odd type": ('{"model_type": 7}', UnknownArchitecture),
    "list as type": ('{"model_type": ["llama"]}', UnknownArchitecture),
    "unknown": ('{"model_type": "mamba"}', UnknownArchitecture),
    "module's name": ('{"model_type": "table"}', UnknownArchitecture),
    "way out": ('{"model_type": "../llama"}', UnknownArchitecture),
    "type alone": ('{"model_type": "llama"}', ConfigurationInvalid),
    "long number": ('{"model_type": "llama", "hidden_size": ' + "9" * 10_000 + "}", ConfigurationInvalid),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_is_no_configuration_is_told_and_refused(name: str, tmp_path: Path):
    config, error = CONFIGURATIONS[name]
    place_of(tmp_path, LLAMA, config)
    verdict = verify(LocalFiles(tmp_path))
    told: dict[type[Exception], str] = {
        UnknownArchitecture: "unknown_architecture",
        ConfigurationInvalid: "invalid_configuration",
    }
    assert verdict.status == told[error] and verdict.problem
    assert verdict.tensors == len(stored(folder(LLAMA))) and verdict.facts is None
    with pytest.raises(error) as refused:
        load(tmp_path)
    assert str(refused.value) == verdict.problem


def test_an_unknown_architecture_is_named_with_those_that_are_known():
    verdict = verify(files_of(LLAMA, model_type="mamba", architectures=["MambaForCausalLM"]))
    assert verdict.architecture == "MambaForCausalLM" and verdict.family is None
    assert "'mamba'" in verdict.problem and "bert, " in verdict.problem


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "config.json"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(name: str, tmp_path: Path):
    place_of(tmp_path, LLAMA, None)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    if name == "config.json":
        write(tmp_path, stored(folder(LLAMA)))
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)  # nobody writes to it: to open it would take forever
    assert verify(tmp_path).status == "damaged"
    for told in (verify(tmp_path).problem, *refused(tmp_path)):
        assert f"{name} is damaged: it is no regular file" in told


def refused(place: Path) -> Iterator[str]:
    """What `load` says, and the command that converts pickles."""
    with pytest.raises(CheckpointError) as error:
        load(place)
    yield str(error.value)
    if (place / "pytorch_model.bin").exists():
        result = CliRunner().invoke(cli, ["convert", str(place), str(place / "converted")])
        assert result.exit_code != 0 and not (place / "converted").exists()
        yield f"{' '.join(result.output.split())} {result.exception}"


def test_a_link_to_nothing_is_damaged(tmp_path: Path):
    place_of(tmp_path, LLAMA, None)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    (tmp_path / "model.safetensors").symlink_to("blobs/nothing")
    verdict = verify(tmp_path)
    assert verdict.status == "damaged" and "a link to a file that is not" in verdict.problem


# --- values


ROPE = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "original_max_position_embeddings": 16}
MEANINGLESS: list[tuple[str, Any]] = [
    ("rms_norm_eps", float("nan")),
    ("rms_norm_eps", float("inf")),
    ("rms_norm_eps", -1.0),
    ("hidden_size", 0),
    ("hidden_size", -32),
    ("hidden_size", "32"),
    ("hidden_size", 32.0),
    ("hidden_size", True),
    ("num_hidden_layers", 0),
    ("num_hidden_layers", 10**9),
    ("num_attention_heads", 0),
    ("num_attention_heads", 3),
    ("num_key_value_heads", 3),
    ("num_key_value_heads", 8),
    ("num_key_value_heads", 0),
    ("head_dim", 7),
    ("vocab_size", 10**30),
    ("hidden_act", "swiglu"),
    ("hidden_act", ["silu"]),
    ("hidden_act", {"silu": 1}),
    ("tie_word_embeddings", "false"),
    ("attention_bias", 1),
    ("rope_parameters", "yarn"),
    ("rope_parameters", [1]),
    ("rope_parameters", ROPE | {"rope_type": "longrope"}),
    ("rope_parameters", ROPE | {"rope_type": "by-ear"}),
    ("rope_parameters", ROPE | {"rope_type": ["yarn"]}),
    ("rope_parameters", ROPE | {"rope_theta": 0}),
    ("rope_parameters", ROPE | {"rope_theta": -5.0}),
    ("rope_parameters", ROPE | {"rope_theta": "10000"}),
    ("rope_parameters", ROPE | {"factor": 0}),
    ("rope_parameters", ROPE | {"factor": -2.0}),
    ("rope_parameters", ROPE | {"factor": "4"}),
    ("rope_parameters", ROPE | {"original_max_position_embeddings": 0}),
    ("rope_parameters", ROPE | {"beta_fast": 0}),
    ("rope_parameters", {"rope_type": "linear", "rope_theta": 50.0}),
    ("rope_parameters", {"rope_type": "linear", "rope_theta": 50.0, "factor": 0}),
    ("rope_parameters", {"rope_type": "llama3", "rope_theta": 50.0, "factor": 8.0}),
    ("rope_parameters", {
        "rope_type": "llama3", "rope_theta": 50.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 1.0, "original_max_position_embeddings": 16,
    }),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MEANINGLESS, ids=lambda x: str(x)[:60])
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: Any, tmp_path: Path):
    verdict = verify(files_of(LLAMA, **{name: value}))
    assert not verdict.is_complete and verdict.problem and "Error" not in verdict.problem
    place_of(tmp_path, LLAMA, json.dumps(config_of(LLAMA) | {name: value}))
    with pytest.raises((ConfigurationInvalid, Mismatch)):
        load(tmp_path)


GPT2_ODD: list[tuple[str, Any]] = [
    ("n_head", 3),
    ("n_head", 64),
    ("n_embd", 1),
    ("n_positions", 0),
    ("n_inner", 0),
]


@pytest.mark.parametrize(("name", "value"), GPT2_ODD)
def test_sizes_of_gpt2_that_cannot_be_meant_are_told(name: str, value: Any):
    verdict = verify(files_of(checkpoints.GPT2[0], **{name: value}))
    assert not verdict.is_complete and verdict.problem


@pytest.mark.parametrize(("name", "value"), [("num_experts_per_tok", 4), ("num_experts_per_tok", 0),
                                             ("num_local_experts", 0), ("sliding_window", 0),
                                             ("sliding_window", -1)])  # fmt: skip
def test_more_experts_than_there_are_and_empty_windows_are_told(name: str, value: Any):
    verdict = verify(files_of(MIXTRAL, **{name: value}))
    assert not verdict.is_complete and verdict.problem


LARGEST = ("bart", "bert", "deepseek_v3", "gpt2", "llama", "mixtral", "mpt", "t5")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [checkpoints.FAMILIES[name][0] for name in LARGEST], ids=lambda r: r.name)
def test_the_largest_counts_are_judged_in_time(recipe: Recipe):
    """As many layers, and experts in each, as a configuration may name."""
    counts = (
        "num_hidden_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers",
        "n_layer", "n_layers", "num_local_experts",
    )  # fmt: skip
    here = {name: 4096 for name in counts if name in config_of(recipe)}
    started = time.process_time()
    verdict = verify(files_of(recipe, **here))
    assert time.process_time() - started < 10
    assert not verdict.is_complete and len(verdict.problem) < 3000
    assert len(verdict.missing) <= NAMED


# --- copies


@pytest.mark.parametrize("form", checkpoints.FORMS)
def test_a_copy_is_told_as_such(form: str):
    recipe = next(r for r in checkpoints.LLAMA if r.copies)
    verdict = verify(LocalFiles(folder(recipe, form)))
    assert verdict.redundant == {"lm_head.weight": "model.embed_tokens.weight"}


def test_a_copy_of_another_shape_is_named_and_its_original_is_not():
    recipe = next(r for r in checkpoints.LLAMA if r.copies)
    files, tensors = files_of(recipe), stored(folder(recipe))
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:90].clone()
    files.contents["model.safetensors"] = safetensors_bytes(tensors)
    [told] = verify(files).misshapen
    assert (told.name, told.found, told.expected) == ("lm_head.weight", (90, 32), (101, 32))


def test_an_original_of_another_shape_is_named_and_its_copy_is_not():
    recipe = next(r for r in checkpoints.LLAMA if r.copies)
    files, tensors = files_of(recipe), stored(folder(recipe))
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:90].clone()
    files.contents["model.safetensors"] = safetensors_bytes(tensors)
    assert [m.name for m in verify(files).misshapen] == ["model.embed_tokens.weight"]


def test_what_follows_from_the_configuration_is_told_as_derived():
    derived = {
        checkpoints.BERT[2]: ("bert.embeddings.position_ids", torch.arange(40)[None]),
        checkpoints.GPT2[0]: ("transformer.h.1.attn.bias", torch.ones(1, 1, 40, 40, dtype=torch.bool)),
        LLAMA: ("model.layers.1.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        MIXTRAL: ("model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
    }
    for recipe, (name, value) in derived.items():
        files = files_of(recipe)
        files.contents["model.safetensors"] = safetensors_bytes(stored(folder(recipe)) | {name: value})
        verdict = verify(files)
        assert verdict.is_complete and verdict.derived == (name,)


# --- indices


def sharded(place: Path) -> tuple[Path, dict[str, Any]]:
    copy_companions(folder(LLAMA), place)
    write(place, stored(folder(LLAMA)), "sharded")
    index = place / "model.safetensors.index.json"
    return index, json.loads(index.read_text())


def told(place: Path, *names: str) -> None:
    """Both say the same of the damage, with these names."""
    verdict = verify(LocalFiles(place))
    assert not verdict.is_complete
    with pytest.raises(CheckpointError) as refused:
        load(place)
    for name in names:
        assert name in verdict.problem and name in str(refused.value)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path):
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    told(tmp_path, "model-00002-of-00003.safetensors")


def test_a_tensor_that_only_the_index_has_is_named(tmp_path: Path):
    _, content = sharded(tmp_path)
    shard = content["weight_map"]["model.norm.weight"]
    tensors = stored(folder(LLAMA))
    own = {n: tensors[n] for n, file in content["weight_map"].items() if file == shard and "norm" not in n}
    (tmp_path / shard).write_bytes(safetensors_bytes(own))
    told(tmp_path, "model.norm.weight", shard)


def test_a_tensor_that_the_index_places_elsewhere_is_named(tmp_path: Path):
    index, content = sharded(tmp_path)
    other = next(f for f in content["weight_map"].values() if f != content["weight_map"]["model.norm.weight"])
    content["weight_map"]["model.norm.weight"] = other
    index.write_text(json.dumps(content))
    told(tmp_path, "model.norm.weight", other)


@pytest.mark.parametrize(
    "weight_map", [None, [], {}, {"a": 1}, {"a": "../x.safetensors"}, {"a": "/etc/passwd"}]
)
def test_an_index_that_cannot_be_meant_is_named(weight_map: Any, tmp_path: Path):
    index, _ = sharded(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map}))
    told(tmp_path, "model.safetensors.index.json")


# --- the verdict as a value


def test_a_verdict_survives_json():
    files = files_of(LLAMA, vocab_size=103)
    verdict = verify(files)
    assert verdict.misshapen
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


@pytest.mark.parametrize("report", [{}, {"status": "fine"}, {"status": None}])
def test_a_report_of_no_known_status_is_refused(report: dict[str, Any]):
    with pytest.raises(ValueError, match="status"):
        Verdict.from_json(report)


def test_a_report_of_a_later_version_is_still_read():
    report = verify(files_of(LLAMA)).to_json()
    assert Verdict.from_json(report | {"quantization": "int8"}).is_complete


def test_thousands_of_differences_are_counted_and_some_named():
    verdict = verify(files_of(LLAMA, num_hidden_layers=400))
    assert verdict.status == "incomplete"
    assert verdict.counts["missing"] == 398 * 9 and len(verdict.missing) == NAMED
    assert "3572 more" in verdict.problem
