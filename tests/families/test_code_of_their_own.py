"""Models whose code lies in their own repositories: what their released files have that no recipe writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as safetensors_bytes
from transformers import DeepseekV2ForCausalLM

from modelcenter import load, verify
from modelcenter.errors import ConfigurationInvalid
from tests.support.checkpoints import FAMILIES, folder, inputs, original, stored, write
from tests.support.files import MemoryFiles
from tests.support.recipe import Values

DERIVED = {
    "baichuan": "model.layers.1.self_attn.rotary_emb.inv_freq",
    "chatglm": "transformer.rotary_pos_emb.inv_freq",
    "internlm": "model.layers.0.self_attn.rotary_emb.inv_freq",
    "qwen": "transformer.rotary_emb.inv_freq",
    "telechat": "transformer.h.1.self_attention.rotary_emb.inv_freq",
}


@pytest.mark.parametrize(("family", "name"), DERIVED.items())
def test_frequencies_in_files_are_told_as_derived(family: str, name: str):
    files = MemoryFiles.of(folder(FAMILIES[family][0]))
    tensors = stored(folder(FAMILIES[family][0])) | {name: torch.ones(4)}
    files.contents["model.safetensors"] = safetensors_bytes(tensors)
    verdict = verify(files)
    assert verdict.is_complete and verdict.derived == (name,)


def first_qwen(values: Values) -> Values:
    """As the first files of Qwen-7B say it."""
    names = {
        "hidden_size": "n_embd",
        "intermediate_size": "ffn_hidden_size",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    return {names.get(name, name): value for name, value in values.items()}


def true_norm_head(values: Values) -> Values:
    """As who saves Index with a flag for a number."""
    return values | {"norm_head": True}


def first_baichuan(values: Values) -> Values:
    """As who saves Baichuan-7B without the length: the frequencies in its files tell that it rotates."""
    return {name: value for name, value in values.items() if name != "max_position_embeddings"}


@pytest.mark.parametrize(
    ("family", "respell"),
    [("qwen", first_qwen), ("index", true_norm_head), ("baichuan", first_baichuan)],
)
def test_other_spellings_mean_the_same(family: str, respell: Callable[[Values], Values], tmp_path: Path):
    place = folder(FAMILIES[family][0])
    values = json.loads((place / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(respell(values)))
    more = {DERIVED["baichuan"]: torch.ones(4)} if family == "baichuan" else {}
    write(tmp_path, stored(place) | more)
    asked = inputs(FAMILIES[family][0], length=40)
    with torch.no_grad():
        assert torch.equal(load(tmp_path)(**asked).logits, load(place)(**asked).logits)


@pytest.mark.parametrize(
    ("family", "told", "reason"),
    [
        ("chatglm", {"quantization_bit": 4}, "quantization_bit 4"),
        ("chatglm", {"rope_ratio": 1e-9}, "rope_ratio 1e-09"),
        ("chatglm", {"multi_query_attention": False}, "multi_query_attention"),
        ("chatglm", {"position_encoding_2d": False}, "position_encoding_2d"),
        ("bluelm", {"rope_scaling": {"type": "ntkmixed", "factor": 16.0, "power": 0.3}}, "'ntkmixed'"),
        ("internlm", {"rotary": {"base": 10000, "type": "spiral"}}, "spiral"),
        ("qwen", {"intermediate_size": 89}, "intermediate_size 89"),
        ("telechat", {"n_head": 16}, "2 rotated elements"),
    ],
)
def test_what_they_cannot_mean_is_refused(family: str, told: Values, reason: str, tmp_path: Path):
    place = folder(FAMILIES[family][0])
    values = json.loads((place / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | told))
    write(tmp_path, stored(place))
    with pytest.raises(ConfigurationInvalid, match=reason):
        load(tmp_path)


@pytest.mark.parametrize("chosen", [1, 3])
def test_deepseek_v2_brings_weights_to_a_sum_of_one_or_scales_them(chosen: int, tmp_path: Path):
    """As its own modeling_deepseek.py does; transformers leaves `norm_topk_prob` unread and always scales."""
    recipe = FAMILIES["deepseek_v2"][0]
    values = json.loads((folder(recipe) / "config.json").read_text())
    told = {"norm_topk_prob": True, "num_experts_per_tok": chosen}
    (tmp_path / "config.json").write_text(json.dumps(values | told))
    write(tmp_path, stored(folder(recipe)))
    oracle = DeepseekV2ForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()

    def summing_to_one(gate: Any, asked: Any, answer: Any) -> Any:
        logits, weights, experts = answer
        return logits, weights / weights.sum(dim=-1, keepdim=True), experts

    for layer in oracle.model.layers:
        if chosen > 1 and hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(summing_to_one)
    asked = inputs(recipe)
    with torch.no_grad():
        found, expected = load(tmp_path)(**asked).logits, oracle(**asked).logits
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_first_chatglm_writes_where_the_mask_is():
    """A prompt ends with a mask and the start token; what stands before them is seen whole."""
    recipe = next(r for r in FAMILIES["chatglm"] if r.model == "ChatGLMModel")
    oracle, model = original(recipe), load(folder(recipe))
    tokens = torch.tensor([[1, 2, 3, 4, 6, 9], [0, 0, 11, 5, 7, 9]])
    shown = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
    found = model.generate(tokens, attention_mask=shown, max_new_tokens=6, eos_token_id=None)
    for _ in range(6):
        chosen = oracle(tokens, shown)["logits"][:, -1].argmax(-1)
        tokens = torch.cat((tokens, chosen[:, None]), dim=1)
        shown = torch.cat((shown, torch.ones_like(chosen[:, None])), dim=1)
    assert torch.equal(found, tokens)
