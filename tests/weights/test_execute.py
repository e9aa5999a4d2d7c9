"""How a plan is run: what stays mapped, what is copied in parts, what fp16 cannot hold."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from modelcenter.checkpoint.header import SAFETENSORS_NAMES
from modelcenter.errors import BeyondRange
from modelcenter.weights import arena
from modelcenter.weights import execute as executing
from modelcenter.weights.rules import RulesLike, WeightMap, concat, src, take, transposed
from tests.support.relations import Info, Memory, executed

SHAPES = {
    "whole": (40, 30),
    "half": (20, 30),
    "turned": (30, 40),
    "bias": (7,),
    "joined": (60, 30),
    "none": (0, 3),
}
RULES: RulesLike = {
    "whole": "a",
    "half": take("b", range(20, 40), 40),
    "turned": transposed("c"),
    "bias": "d",
    "joined": concat(src("e", length=40), src("f", length=20)),
    "none": "g",
}  # fmt: skip
STORED = {"a": (40, 30), "b": (40, 30), "c": (40, 30), "d": (7,), "e": (40, 30), "f": (20, 30), "g": (0, 3)}


def made(
    values: dict[str, torch.Tensor], dtype: torch.dtype, **options
) -> tuple[dict[str, torch.Tensor], Memory]:
    header = {
        name: Info(SAFETENSORS_NAMES[str(value.dtype).removeprefix("torch.")], tuple(value.shape))
        for name, value in values.items()
    }
    tensors = Memory(values)
    weights = WeightMap.of(SHAPES, RULES)
    return executed(weights, header, tensors, str(dtype).removeprefix("torch."), **options), tensors


@pytest.fixture
def values() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=generator) for name, shape in STORED.items()}


def expected(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        "whole": values["a"],
        "half": values["b"][20:],
        "turned": values["c"].T,
        "bias": values["d"],
        "joined": torch.cat([values["e"], values["f"]]),
        "none": values["g"],
    }


@pytest.mark.parametrize(
    ("stored", "dtype"), [(torch.bfloat16, torch.float16), (torch.float16, torch.bfloat16)]
)
@pytest.mark.parametrize("scratch", [1, 7, 1 << 20])
def test_one_half_becomes_the_other_as_torch_makes_it(monkeypatch, stored, dtype, scratch):
    monkeypatch.setattr(executing, "SCRATCH_ELEMENTS", scratch)
    bits = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16)
    every = bits.view(stored)
    if dtype is torch.float16:
        every = every[every.float().abs() < 65504]
    every = every[torch.isfinite(every)]
    count = len(every) // 30 * 30
    header = {"a": Info(SAFETENSORS_NAMES[str(stored).removeprefix("torch.")], (count // 30, 30))}
    weights = WeightMap.of({"turned": (30, count // 30)}, {"turned": transposed("a")})
    source = every[:count].view(-1, 30)
    made = executed(weights, header, Memory({"a": source}), str(dtype).removeprefix("torch."))["turned"]
    assert torch.equal(made.view(torch.int16), source.T.contiguous().to(dtype).view(torch.int16))


def test_infinities_and_nan_are_found_among_all_values_of_fp16():
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    finite = every[torch.isfinite(every)]
    assert executing.is_finite(finite.view(-1, 16)) and executing.is_finite(finite[:0])
    for value in every[~torch.isfinite(every)][::37]:
        assert not executing.is_finite(torch.cat([finite, value[None]]))


def test_small_pages_are_taken_where_huge_ones_come_slowly(monkeypatch):
    monkeypatch.setattr(arena, "SLOW", -1.0)
    source = torch.randn(9 << 20, generator=torch.Generator().manual_seed(1)).view(9, 1 << 20)
    weights = WeightMap.of({"all": (9, 1 << 20)}, {"all": "a"})
    header = {"a": Info("F32", (9, 1 << 20))}
    made = executed(weights, header, Memory({"a": source}), "float32", mapped=False)["all"]
    assert torch.equal(made, source)


@pytest.mark.parametrize("part", [1, 64, 1000, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mapped", [True, False])
def test_parts_of_any_size_make_the_same_parameters(monkeypatch, values, part, dtype, mapped):
    monkeypatch.setattr(executing, "JOB_ELEMENTS", part)
    parameters, _ = made(values, dtype, mapped=mapped)
    for name, value in expected(values).items():
        assert torch.equal(parameters[name], value.to(dtype)), name
        assert parameters[name].is_contiguous()


def test_what_is_stored_as_it_should_be_is_not_copied_unless_asked(values):
    parameters, tensors = made(values, torch.float32)
    assert parameters["whole"].data_ptr() == values["a"].data_ptr()
    assert parameters["half"].data_ptr() == values["b"][20:].data_ptr()
    assert set(tensors.released) == {"c", "e", "f"}
    parameters, tensors = made(values, torch.float32, mapped=False)
    assert parameters["whole"].data_ptr() != values["a"].data_ptr()
    assert set(tensors.released) == set(STORED) - {"g"}


def test_copies_lie_together_aligned_and_are_saved_alone(monkeypatch, values, tmp_path):
    monkeypatch.setattr(executing, "HUGE_PAGE", 1)
    parameters, _ = made(values, torch.bfloat16)
    places = sorted(p.data_ptr() for p in parameters.values() if p.numel())
    assert all(place % 64 == 0 for place in places)
    assert places[-1] - places[0] < 64 * 1024
    for name, value in expected(values).items():
        assert torch.equal(parameters[name], value.bfloat16())
    torch.save(parameters["bias"], tmp_path / "bias.pt")
    assert (tmp_path / "bias.pt").stat().st_size < 4096
    bias = parameters.pop("bias")
    del parameters
    assert torch.equal(bias, values["d"].bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("value", [65600.0, -1e30])
def test_a_weight_beyond_fp16_is_named_or_clamped(values, dtype, value):
    values = {name: tensor.to(dtype) for name, tensor in values.items()}
    values["f"][3, 4] = value
    values["e"][0, :3] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    with pytest.raises(BeyondRange, match=r"f \(our joined\) holds .*clamp=True"):
        made(values, torch.float16)
    parameters, _ = made(values, torch.float16, clamp=True)
    assert parameters["joined"][43, 4] == (65504.0 if value > 0 else -65504.0)
    assert parameters["joined"][0, :2].tolist() == [torch.inf, -torch.inf]
    assert parameters["joined"][0, 2].isnan()
    values["f"][3, 4] = 1.0
    made(values, torch.float16)


def test_infinities_that_are_stored_stay_and_threads_are_given_back(values):
    values["a"][0, 0] = torch.inf
    before = torch.get_num_threads()
    parameters, _ = made(values, torch.float16)
    assert parameters["whole"][0, 0] == torch.inf
    assert torch.get_num_threads() == before


def test_threads_begun_after_concurrent_loads_compute_with_all(values):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: made(values, torch.bfloat16), range(12)))
        seen: list[int] = []
        late = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        late.start()
        late.join()
        assert (torch.get_num_threads(), seen) == (3, [3])
    finally:
        torch.set_num_threads(before)


def test_each_thread_that_copies_computes_alone():
    with executing.copiers() as (pool, count):
        assert set(pool.map(lambda _: torch.get_num_threads(), range(4 * count))) == {1}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_what_fp16_always_holds_is_not_looked_at(values, dtype):
    values = {name: tensor.to(dtype) for name, tensor in values.items()}
    values["d"].view(torch.uint8)[0] = 0x7F  # NaN
    parameters, _ = made(values, torch.float16)
    assert parameters["bias"][0].isnan()


def test_progress_ends_at_the_whole(values):
    told: list[tuple[int, int]] = []
    parameters, _ = made(values, torch.bfloat16, progress=lambda done, total: told.append((done, total)))
    size = sum(p.nbytes for p in parameters.values())
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
