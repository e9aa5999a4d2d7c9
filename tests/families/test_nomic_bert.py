"""Nomic BERT's config.json as its authors wrote it, which transformers does not read."""

import json
from pathlib import Path

import pytest
import torch

from modelcenter import load, save
from modelcenter.errors import ConfigurationInvalid
from tests.support.checkpoints import FAMILIES, copy_companions, folder, inputs, stored, write

RECIPE = next(recipe for recipe in FAMILIES["nomic_bert"] if recipe.name == "nomic_bert-model")
AUTHORS = {
    "model_type": "nomic_bert", "architectures": ["NomicBertModel"], "activation_function": "swiglu",
    "causal": False, "layer_norm_epsilon": 1e-5, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "n_embd": 32,
    "n_head": 4, "n_inner": 44, "n_layer": 2, "n_positions": 64, "parallel_block": False, "prenorm": False,
    "qkv_proj_bias": False, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "rotary_scaling_factor": None,
    "scale_attn_weights": True, "torch_dtype": "float32", "type_vocab_size": 3, "use_rms_norm": False,
    "vocab_size": 101,
}  # fmt: skip


def states(place: Path, length: int = 11) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = load(place)(**inputs(RECIPE, length=length)).last_hidden_state
    return found


def spelled(tmp_path: Path, **values: object) -> Path:
    write(tmp_path, stored(folder(RECIPE)))
    (tmp_path / "config.json").write_text(json.dumps(AUTHORS | values))
    return tmp_path


def test_the_authors_spelling_is_the_same_model(tmp_path: Path):
    assert torch.equal(states(spelled(tmp_path)), states(folder(RECIPE)))


def test_the_base_grows_with_texts_longer_than_trained(tmp_path: Path):
    grown = spelled(tmp_path, rotary_scaling_factor=2.0, max_trained_positions=16)
    assert torch.equal(states(grown, 16), states(folder(RECIPE), 16))
    assert not torch.allclose(states(grown, 32), states(folder(RECIPE), 32), atol=1e-3)


def test_the_authors_name_of_the_model_is_read_and_written(tmp_path: Path):
    recipe = next(recipe for recipe in FAMILIES["nomic_bert"] if recipe.model.endswith("MaskedLM"))
    copy_companions(folder(recipe), tmp_path)
    tensors = {name.replace("nomic_bert.", "bert."): t for name, t in stored(folder(recipe)).items()}
    assert any(name.startswith("bert.") for name in tensors)
    write(tmp_path, tensors)
    with torch.no_grad():
        model = load(tmp_path)
        assert torch.equal(model(**inputs(recipe)).logits, load(folder(recipe))(**inputs(recipe)).logits)
    save(model, tmp_path / "again")
    assert stored(tmp_path / "again").keys() == tensors.keys()


@pytest.mark.parametrize("values", [{"prenorm": True}, {"num_experts": 8}, {"activation_function": "gelu"}])
def test_what_is_another_model_is_refused(values: dict[str, object], tmp_path: Path):
    with pytest.raises(ConfigurationInvalid, match=next(iter(values))):
        load(spelled(tmp_path, **values))
