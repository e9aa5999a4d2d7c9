"""The laws of the weight map, on random relations: one declaration, read in every direction."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcenter.weights.execute import exported
from modelcenter.weights.indices import Index
from modelcenter.weights.plan import audit
from modelcenter.weights.relations import Relation, renamed
from modelcenter.weights.rules import WeightMap
from tests.support.relations import Info, Memory, executed, header_of, meaning, numbered, reads, relations

CPU = torch.device("cpu")
law = settings(max_examples=120, deadline=None, derandomize=True, database=None)


def map_of(relation: Relation, shape: tuple[int, ...]) -> WeightMap:
    return WeightMap.of({"ours": shape}, {"ours": relation})


def imported(weights: WeightMap, header: dict[str, Info], values: dict, wants: dict | None = None):
    tensors = Memory({name: torch.as_tensor(value) for name, value in values.items()})
    dtype = next(iter(header.values())).torch_dtype
    return executed(weights, header, tensors, dtype, wants)


@law
@given(relations())
def test_what_is_made_is_what_the_relation_means(made):
    relation, shape = made
    weights = map_of(relation, shape)
    header = header_of(weights)
    values = numbered(header)
    ours = imported(weights, header, values)["ours"]
    assert np.array_equal(ours.numpy(), meaning(relation, values))


@law
@given(relations(), st.integers(0, 2**32 - 1))
def test_export_undoes_import_bit_for_bit(made, seed):
    relation, shape = made
    weights = map_of(relation, shape)
    header = header_of(weights, "BF16")
    generator = torch.Generator().manual_seed(seed)
    bits = {  # every pattern, the many that are no numbers among them
        name: torch.randint(-(2**15), 2**15, info.shape, dtype=torch.int16, generator=generator)
        for name, info in header.items()
    }
    ours = imported(weights, header, {n: b.view(torch.bfloat16) for n, b in bits.items()})
    given_back = {name: (shape, dtype, values()) for name, shape, dtype, values in exported(weights, ours)}
    assert given_back.keys() == bits.keys()
    for name, (shape, dtype, values) in given_back.items():
        assert shape == header[name].shape == tuple(values.shape)
        assert dtype == values.dtype == torch.bfloat16
        assert torch.equal(values.view(torch.int16), bits[name])


@st.composite
def wants(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Index, ...]:
    """A rectangle of a tensor: a range or any rows in any order, along every dimension."""

    def along(n: int) -> Index:
        if draw(st.booleans()):
            start = draw(st.integers(0, n - 1))
            return range(start, draw(st.integers(start + 1, n)))
        return np.array(draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True)), dtype=np.int64)

    return tuple(along(n) for n in shape)


@law
@given(st.data())
def test_a_part_is_that_part_of_the_whole_and_reads_nothing_else(data):
    relation, shape = data.draw(relations(whole=False))
    want = data.draw(wants(shape))
    weights = map_of(relation, shape)
    header = header_of(weights)
    values = numbered(header)
    expected = meaning(relation, values)[np.ix_(*(np.asarray(index) for index in want))]
    part = imported(weights, header, values, {"ours": want})["ours"]
    assert np.array_equal(part.numpy(), expected)
    counts = reads(weights, header, {"ours": want})
    read = {value for name, count in counts.items() for value in values[name][count > 0].tolist()}
    assert read == set(expected.ravel().tolist())
    assert max(count.max(initial=0) for count in counts.values()) == 1


@law
@given(relations(), st.integers(2, 4), st.integers(0, 2))
def test_the_ranks_parts_make_the_whole_and_read_each_element_once(made, world, dim):
    relation, shape = made
    dim %= len(shape)
    weights = map_of(relation, shape)
    header = header_of(weights)
    values = numbered(header)
    step = -(-shape[dim] // world)
    shares = [range(min(r * step, shape[dim]), min((r + 1) * step, shape[dim])) for r in range(world)]
    every = [(*map(range, shape[:dim]), rows, *map(range, shape[dim + 1 :])) for rows in shares]
    parts = [imported(weights, header, values, {"ours": want})["ours"] for want in every]
    assert np.array_equal(torch.cat(parts, dim).numpy(), meaning(relation, values))
    total = [reads(weights, header, {"ours": want}) for want in every]
    for name in header:
        assert (sum(counts[name] for counts in total) == 1).all()


@law
@given(relations())
def test_the_audit_of_a_whole_relation_is_clean(made):
    relation, shape = made
    weights = map_of(relation, shape)
    header = header_of(weights)
    found = audit(weights, header)
    assert found.ok and found.problems() == ""
    assert sorted(found.read) == sorted(header)


@law
@given(relations(whole=False))
def test_the_audit_tells_what_share_of_a_tensor_nothing_reads(made):
    relation, shape = made
    weights = map_of(relation, shape)
    header = header_of(weights)
    counts = reads(weights, header, {})
    unread = {name: (count == 0).mean() for name, count in counts.items() if (count == 0).any()}
    found = audit(weights, header)
    assert {u.name for u in found.unexpected} == {name for name, share in unread.items() if share == 1}
    assert dict(found.unread).keys() == {name for name, share in unread.items() if share < 1}
    for name, share in found.unread:
        assert abs(share - unread[name]) < 1e-9
        assert name in found.problems()
    assert found.ok == (not unread)


@law
@given(st.data())
def test_the_audit_names_what_differs_and_nothing_else(data):
    made = data.draw(st.lists(relations(), max_size=3))
    weights = WeightMap.of(
        {f"ours{i}": shape for i, (_, shape) in enumerate(made)},
        {f"ours{i}": prefixed(relation, f"{i}.") for i, (relation, _) in enumerate(made)},
    )
    header = header_of(weights)
    fates = data.draw(
        st.fixed_dictionaries(
            {n: st.sampled_from(["kept", "kept", "dropped", "longer", "flat"]) for n in header}
        )
    )
    fates = {n: "kept" if fate == "flat" and len(header[n].shape) == 1 else fate for n, fate in fates.items()}
    added = data.draw(st.sets(st.sampled_from(["extra.weight", "0.tensor", "ours0"])))
    shapes = {
        "longer": lambda shape: (shape[0] + 1, *shape[1:]),
        "flat": lambda shape: (int(np.prod(shape)),),
        "kept": lambda shape: shape,
    }
    changed = {n: Info("F32", shapes[f](header[n].shape)) for n, f in fates.items() if f != "dropped"}
    found = audit(weights, changed | {name: Info("F32", (2, 3), "b.safetensors") for name in added})
    assert {m.name for m in found.missing} == {n for n, f in fates.items() if f == "dropped"}
    assert {u.name for u in found.unexpected} == added
    assert {m.name for m in found.misshapen} == {n for n, f in fates.items() if f in ("longer", "flat")}
    assert all(
        m.expected == header[m.name].shape and m.found == changed[m.name].shape for m in found.misshapen
    )
    assert all(m.shape == header[m.name].shape for m in found.missing)
    assert not found.unread and not found.repeated
    assert found.ok == (set(fates.values()) <= {"kept"} and not added)


def prefixed(relation: Relation, prefix: str) -> Relation:
    return renamed(relation, lambda names: tuple(prefix + name for name in names))
