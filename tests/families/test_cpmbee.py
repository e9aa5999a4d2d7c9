"""CPM-Bee's structured texts, and its two forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from modelcenter import load, save, verify
from modelcenter.checkpoint.source import LocalFiles
from modelcenter.errors import ConfigurationInvalid
from tests.support.checkpoints import FAMILIES, folder, inputs, original, stored, write
from tests.support.recipe import Values

RECIPE = FAMILIES["cpmbee"][0]
SEGMENTS, LENGTH = 4, 11
NAMES = {"ext_table_ids": torch.tensor([7, 7, 9]), "ext_table_sub": torch.tensor([0, 1, 2])}


def structured() -> dict[str, Tensor]:
    """Two texts in trees of four parts: some parts given, samples beside the text, a second span."""
    generator = torch.Generator().manual_seed(0)

    def rows(*values: list[int]) -> Tensor:
        return torch.tensor(values)

    relations = torch.randint(0, 12, (2, 1 + SEGMENTS**2), generator=generator)
    return {
        "input_ids": torch.randint(0, 101, (2, LENGTH), generator=generator),
        "input_sub": torch.randint(0, 3, (2, LENGTH), generator=generator),
        "context": rows([1] * 6 + [0] * 5, [1] * 8 + [0] * 3),
        "sample_ids": rows([0] * 4 + [1] * 3 + [0] * 4, [0] * 3 + [2] * 4 + [1] * 4),
        "num_segments": torch.full((2, LENGTH), SEGMENTS),
        "segment": rows([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]),
        "segment_rel_offset": torch.ones((2, LENGTH), dtype=torch.long),
        "segment_rel": relations,
        "span": rows([0] * 11, [0] * 9 + [1] * 2),
    }


def told(asked: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What each token sees, and the relation to it, pair by pair."""
    seen = torch.zeros(2, LENGTH, LENGTH, dtype=torch.bool)
    related = torch.ones(2, LENGTH, LENGTH, dtype=torch.long)
    for b in range(2):
        of = {name: values[b].tolist() for name, values in asked.items()}
        for q in range(LENGTH):
            for k in range(LENGTH):
                one_span = of["span"][q] == of["span"][k]
                one_sample = of["sample_ids"][q] == of["sample_ids"][k]
                reaches = of["context"][k] or (not of["context"][q] and k <= q)
                seen[b, q, k] = bool(reaches and one_span and (one_sample or of["sample_ids"][q] == 0))
                if one_span and one_sample:
                    place = of["segment"][q] * SEGMENTS + of["segment"][k] + of["segment_rel_offset"][q]
                    related[b, q, k] = of["segment_rel"][place]
    return seen, related


def test_structured_texts_are_read_as_described():
    asked = structured()
    seen, related = told(asked)
    oracle, model = original(RECIPE), load(folder(RECIPE))
    with torch.no_grad():
        out = model(**asked, **NAMES)
        places = torch.arange(LENGTH).expand(2, -1)
        states = oracle.structured(asked["input_ids"], asked["input_sub"], seen, places, related)
        names = oracle.embedded(NAMES["ext_table_ids"], NAMES["ext_table_sub"])
        logits = torch.cat((oracle.logits(states), states @ names.T), dim=-1)
    assert out.logits.shape == (2, LENGTH, 101 + 3)
    assert (out.last_hidden_state - states).abs().max() <= 1e-5 * states.abs().max()
    assert (out.logits - logits).abs().max() <= 1e-5 * logits.abs().max()


def test_structured_texts_are_read_in_two_parts():
    asked, model, cut = structured(), load(folder(RECIPE)), 8
    cache = model.new_cache(LENGTH)
    with torch.no_grad():
        whole = model(**asked).logits
        parts = [
            model(
                **{name: v if name == "segment_rel" else v[:, piece] for name, v in asked.items()},
                cache=cache,
            ).logits
            for piece in (slice(cut), slice(cut, LENGTH))
        ]
    # What is given sees only what is given, all of which the first part has.
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


def as_cpm_live(values: Values) -> Values:
    """The arguments of CPM-Live's class, which names no architecture."""
    names = {
        "hidden_size": "dim_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
    }
    ours = {names.get(name, name): value for name, value in values.items()}
    left = ("model_type", "architectures", "distance_scale", "dtype", "pad_token_id")
    return {name: value for name, value in ours.items() if name not in left}


def test_its_original_form_is_told_by_its_tensors_and_comes_back(tmp_path: Path):
    place = folder(RECIPE)
    values = as_cpm_live(json.loads((place / "config.json").read_text()))
    (tmp_path / "config.json").write_text(json.dumps(values))
    tensors = {name.removeprefix("cpmbee."): value for name, value in stored(place).items()}
    write(tmp_path, tensors, "bin")
    assert verify(LocalFiles(tmp_path)).is_complete
    asked, model = inputs(RECIPE), load(tmp_path)
    assert model.report.family == "cpmbee"
    with torch.no_grad():
        assert torch.equal(model(**asked).logits, load(place)(**asked).logits)
    save(model, tmp_path / "again")
    again = stored(tmp_path / "again")
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


@pytest.mark.parametrize(
    "masks", [[[True, False]], [[True, False], [True, False]], [[0.5, 1], [False, False]], "none"]
)
def test_halves_of_layers_that_cannot_be_meant_are_refused(masks, tmp_path: Path):
    values = json.loads((folder(RECIPE) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"mask_modules": masks}))
    write(tmp_path, stored(folder(RECIPE)))
    with pytest.raises(ConfigurationInvalid, match="mask_modules"):
        load(tmp_path)
