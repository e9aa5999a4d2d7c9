"""What a family's file writes, and what the map makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from modelcenter.errors import Mismatch
from modelcenter.models.config import Attention, CrossAttention, FeedForward
from modelcenter.weights.execute import equal_bits
from modelcenter.weights.plan import audit, plan
from modelcenter.weights.relations import Relation
from modelcenter.weights.rules import (
    WeightMap,
    concat,
    each,
    experts,
    gate_up_separate,
    kv_separate,
    qkv_groups,
    qkv_sections,
    qkv_separate,
    src,
    take,
    within,
)
from tests.support.relations import Info, Memory, executed, header_of, meaning, numbered

GROUPED = Attention(num_heads=6, num_kv_heads=2, head_dim=3, causal=True, layout="groups")


def made(rule: Relation | str, shape: tuple[int, ...]) -> np.ndarray:
    """What a rule makes of numbered tensors."""
    weights = WeightMap.of({"ours": shape}, {"ours": rule})
    return meaning(weights.rules["ours"], numbered(header_of(weights)))


def layout(a: Attention, name: str) -> Attention:
    return dataclasses.replace(a, layout=name)  # type: ignore[arg-type]


def by_hand(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[q1, q2, q3, k1, v1, q4, q5, q6, k2, v2], the heads of GROUPED."""
    heads = [x.reshape(-1, GROUPED.head_dim, x.shape[-1]) for x in (q, k, v)]
    groups = [np.concatenate((heads[0][3 * g : 3 * g + 3], heads[1][[g]], heads[2][[g]])) for g in range(2)]
    return np.concatenate(groups).reshape(-1, q.shape[-1])


def test_three_matrices_become_groups_of_heads():
    [(name, rule)] = qkv_separate(GROUPED, "q", "k", "v").items()
    assert name == "qkv.*"
    q, k, v = (np.arange(start, start + n).reshape(-1, 2) for start, n in ((0, 36), (36, 12), (48, 12)))
    assert np.array_equal(made(rule, (30, 2)), by_hand(q, k, v))


def test_three_matrices_become_sections_or_stay():
    [rule] = qkv_separate(layout(GROUPED, "sections"), "q", "k", "v").values()
    assert np.array_equal(made(rule, (30, 2)), np.arange(60).reshape(30, 2))
    assert qkv_separate(layout(GROUPED, "separate"), "q", "k", "v") == {"q.*": "q", "k.*": "k", "v.*": "v"}


def test_transposed_matrices_join_along_their_last_dimension():
    turned = dataclasses.replace(GROUPED, transposed=True)
    [rule] = qkv_separate(turned, "q", "k", "v").values()
    q, k, v = (np.arange(start, start + n).reshape(2, -1).T for start, n in ((0, 36), (36, 12), (48, 12)))
    assert np.array_equal(made(rule, (2, 30)).T, by_hand(q, k, v))
    bias = WeightMap.of({"qkv.bias": (30,)}, qkv_separate(turned, "q.*", "k.*", "v.*"))
    expected = by_hand(*(np.arange(s, s + n)[:, None] for s, n in ((0, 18), (18, 6), (24, 6))))[:, 0]
    assert np.array_equal(meaning(bias.rules["qkv.bias"], numbered(header_of(bias))), expected)


@pytest.mark.parametrize("name", ["groups", "sections", "separate"])
def test_one_matrix_gives_the_same_rows_from_either_order(name: str):
    wanted = layout(GROUPED, name)
    shapes = {"qkv.*": (30, 2), "q.*": (18, 2), "k.*": (6, 2), "v.*": (6, 2)}
    sections = np.arange(60).reshape(30, 2)
    groups = by_hand(sections[:18], sections[18:24], sections[24:])
    from_sections, from_groups = qkv_sections(wanted, "stored"), qkv_groups(wanted, "stored")
    assert from_sections.keys() == from_groups.keys()
    for ours in from_sections:
        maps = [
            WeightMap.of({"ours": shapes[ours]}, {"ours": rules[ours]})
            for rules in (from_sections, from_groups)
        ]
        one = meaning(maps[0].rules["ours"], {"stored": sections})
        assert np.array_equal(one, meaning(maps[1].rules["ours"], {"stored": groups}))


def test_keys_and_values_of_a_memory_alternate_by_head():
    cross = CrossAttention(num_heads=4, num_kv_heads=2, head_dim=1, layout="groups")
    [rule] = kv_separate(cross, "k", "v").values()
    assert made(rule, (4, 1)).ravel().tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("size", [1, 4, 7, 12, 44, 64, 352, 512, 2048])
def test_gate_and_up_alternate_in_blocks(size: int):
    f = FeedForward(intermediate_size=size, activation="silu", gated=True)
    [rule] = gate_up_separate(f, "gate", "up").values()
    found = made(rule, (2 * size, 1)).ravel()
    blocks = found.reshape(-1, 2, f.block_rows)
    assert np.array_equal(blocks[:, 0].ravel(), np.arange(size))
    assert np.array_equal(blocks[:, 1].ravel(), np.arange(size, 2 * size))
    assert size % f.block_rows == 0


@pytest.mark.parametrize(
    ("size", "rows"),
    [
        (14336, 128),  # Llama 3 8B: 112 blocks
        (11008, 32),  # Llama 2 7B: by 16 would be 16 rows, too few; 344 blocks, by 8
        (28672, 128),  # Llama 3 70B
        (8960, 32),  # by 16 and by 8 alike
        (512, 32),
        (1024, 64),
        (2048, 128),
    ],
)
def test_block_sizes_follow_the_documented_rule(size: int, rows: int):
    """The largest power of two, at most 128, that leaves the blocks divisible by 16; below 32 rows by 8."""
    f = FeedForward(intermediate_size=size, activation="silu", gated=True)
    assert f.block_rows == rows


def test_a_table_is_written_out_for_each_layer_and_for_the_biases_that_exist():
    rules = each(2, "blocks.{i}.", "h.{i}.", within("attention", {"out.*": "attn.{j}.*"}))
    shapes = {"blocks.0.attention.out.weight": (2, 2), "blocks.1.attention.out.bias": (2,)}
    weights = WeightMap.of(shapes, rules)
    names = {ours: rule.names for ours, rule in weights.rules.items()}  # type: ignore[union-attr]
    assert names == {
        "blocks.0.attention.out.weight": ("h.0.attn.{j}.weight",),
        "blocks.1.attention.out.bias": ("h.1.attn.{j}.bias",),
    }


def test_a_source_is_taken_under_the_name_that_the_checkpoint_has():
    weights = WeightMap.of({"norm.weight": (3,)}, {"norm.weight": src("norm.weight", "norm.gamma")})
    for name in ("norm.weight", "norm.gamma"):
        header = {name: Info("F32", (3,))}
        found = audit(weights.bind(header), header)
        assert found.ok and found.read == (name,)
    neither = audit(weights.bind({}), {})
    assert [m.name for m in neither.missing] == ["norm.weight"]


def test_the_prefix_that_base_models_lack_goes_from_every_name():
    weights = WeightMap.of(
        {"ours": (2,)},
        {"ours": "model.a"},
        copies={"lm_head": "model.a"},
        derived=("model.*.inv_freq",),
        optional_prefix="model.",
    )
    for prefix in ("model.", ""):
        header = {n: Info("F32", (2,)) for n in (f"{prefix}a", "lm_head", f"{prefix}layers.0.inv_freq")}
        found = audit(weights.bind(header), header)
        assert found.ok
        assert found.copies == {"lm_head": f"{prefix}a"}
        assert found.derived == (f"{prefix}layers.0.inv_freq",)


def test_one_stray_name_with_the_prefix_does_not_change_all_others():
    shapes = {f"ours{i}": (2,) for i in range(5)}
    rules = {f"ours{i}": f"model.tensor{i}" for i in range(5)}
    weights = WeightMap.of(shapes, rules, optional_prefix="model.")
    header = {f"tensor{i}": Info("F32", (2,)) for i in range(5)} | {"model.extra": Info("F32", (2,))}
    found = audit(weights.bind(header), header)
    assert not found.missing
    assert [u.name for u in found.unexpected] == ["model.extra"]


def test_a_concatenation_takes_a_part_that_is_ordered_along_another_dimension():
    weights = WeightMap.of(
        {"ours": (5, 2)}, {"ours": concat(take("a", [1, 0], 2, dim=1), src("b", length=2))}
    )
    header = {"a": Info("I64", (3, 2)), "b": Info("I64", (2, 2))}
    assert audit(weights, header).ok
    values = numbered(header)
    tensors = Memory({name: torch.from_numpy(value) for name, value in values.items()})
    [ours] = executed(weights, header, tensors, "int64").values()
    assert ours.tolist() == [[1, 0], [3, 2], [5, 4], [6, 7], [8, 9]]


def test_experts_are_read_one_by_one():
    weights = WeightMap.of({"ours": (3, 2, 2)}, {"ours": experts(["a", "b", "c"])})
    header = header_of(weights)
    [assignment] = plan(weights, header, {"ours": (range(1, 2), range(2), range(2))})
    assert list(assignment.elements_by_source()) == [("b", 4)]
    assert str(assignment) == "ours[0:1, 0:2, 0:2] <- b[0:2, 0:2]"


def test_the_plan_follows_the_files_and_prints_as_what_it_is():
    weights = WeightMap.of(
        {"late": (2,), "early": (4,)}, {"late": "z", "early": concat(src("y", length=2), src("x", length=2))}
    )
    header = {"z": Info("F32", (2,), "b", 0), "y": Info("F32", (2,), "a", 8), "x": Info("F32", (2,), "a", 0)}
    assignments = plan(weights, header, {})
    assert [a.parameter for a in assignments] == ["early", "late"]
    assert [piece.source for piece in assignments[0].pieces] == ["x", "y"]
    assert str(assignments[0]) == "early[2:4] <- x[0:2]\nearly[0:2] <- y[0:2]"


def test_a_tensor_in_the_order_of_ours_is_not_copied():
    stored = torch.arange(12.0).reshape(4, 3)
    weights = WeightMap.of({"same": (4, 3), "half": (2, 3), "other": (4, 3)}, {
        "same": "a", "half": take("b", range(2, 4), 4), "other": take("c", [1, 0, 2, 3], 4),
    })  # fmt: skip
    header = header_of(weights, "F32")
    tensors = Memory({"a": stored, "b": stored, "c": stored})
    made = executed(weights, header, tensors, "float32")
    assert made["same"].data_ptr() == stored.data_ptr()
    assert made["half"].data_ptr() == stored[2:].data_ptr()
    assert made["other"].tolist() == stored[[1, 0, 2, 3]].tolist()


def test_an_element_read_twice_is_told():
    weights = WeightMap.of({"a": (2,), "b": (2,)}, {"a": "stored", "b": "stored"})
    header = {"stored": Info("F32", (2,))}
    found = audit(weights, header)
    assert found.repeated == ("stored",)
    with pytest.raises(Mismatch, match=r"read more than once: stored"):
        found.require("here")


def test_long_lists_of_differences_are_cut_and_counted():
    shapes = {f"ours{i}": (2,) for i in range(30)}
    weights = WeightMap.of(shapes, {name: name for name in shapes})
    with pytest.raises(Mismatch) as refused:
        audit(weights, {}).require("./folder")
    assert "ours9 (2,)" in str(refused.value) and "ours10" not in str(refused.value)
    assert "and 20 more" in str(refused.value) and "./folder" in str(refused.value)
    told: Any = refused.value.audit
    assert len(told.missing) == 30


def test_bits_are_compared_not_values():
    nan, zero = torch.tensor([float("nan")]), torch.zeros(1)
    assert equal_bits(nan, nan.clone())
    assert not equal_bits(zero, -zero)
    assert not equal_bits(zero, torch.zeros(1, dtype=torch.float64))
    assert not equal_bits(zero, torch.zeros(1, 1))
    assert equal_bits(torch.arange(6).reshape(2, 3).t(), torch.arange(6).reshape(2, 3).t().contiguous())
    assert not equal_bits(torch.zeros(4)[:2], torch.tensor([0.0, 1.0]))
    same_start = torch.arange(4.0).reshape(2, 2)
    assert not equal_bits(same_start, same_start.t())
