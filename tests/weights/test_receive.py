"""Bytes that arrive in any order become what the plan makes of files; little of them waits at a time."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from modelcenter.checkpoint.source import LocalFiles, open_checkpoint
from modelcenter.errors import BeyondRange
from modelcenter.planning import plan
from modelcenter.weights import execute as executing
from modelcenter.weights import gathered as gathering
from modelcenter.weights import receive
from modelcenter.weights.execute import execute
from modelcenter.weights.gathered import Gathered, part, spans
from modelcenter.weights.indices import stretches
from modelcenter.weights.receive import Receiver
from modelcenter.weights.steps import Read, merged
from tests.support import checkpoints
from tests.support.checkpoints import folder

FAMILIES = ("llama", "gpt2", "mixtral", "t5", "gptj", "bert", "bloom", "phi3", "cpmant")
RECIPES = [checkpoints.FAMILIES[family][0] for family in FAMILIES]


@pytest.fixture
def small(monkeypatch):
    """Frames, copies and pieces of the scratch so small that little models have many."""
    for module in (gathering, receive):
        monkeypatch.setattr(module, "FRAME_BYTES", 3001)
    monkeypatch.setattr(executing, "JOB_ELEMENTS", 500)
    monkeypatch.setattr(receive, "PIECE_BYTES", 4096)


def frames(gathered: Gathered, files: LocalFiles) -> dict[int, bytes]:
    return {
        number: b"".join(
            files.read(read.file, start, stop)
            for read in gathered.cut(*gathered.frame(number))
            for start, stop in read.runs()
        )
        for number in range(gathered.frames)
    }


def received(planned, gathered, files, seed: int, **how) -> tuple[dict[str, torch.Tensor], int]:
    """The parameters of frames that come in any order and in pieces, and the most that waited."""
    chance, most = random.Random(seed), 0
    found = list(frames(gathered, files).items())
    chance.shuffle(found)
    with Receiver(planned.steps, planned.header.tensors, gathered, **how) as receiver:
        for number, data in found:
            receiver.wait()
            at, start = chance.randint(0, len(data)), gathered.frame(number)[0]
            for offset, piece in ((start + at, data[at:]), (start, data[:at])):
                if piece:
                    receiver.write(offset, memoryview(piece))
            most = max(most, receiver.held_bytes)
            receiver.finish(number)
    assert receiver.held_bytes == 0
    return receiver.made, most


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("world", [1, 2])
def test_what_arrives_is_what_is_read(recipe, world, small):
    files = LocalFiles(folder(recipe))
    for dtype, fuse in ((None, False), ("fp16", True)):
        planned = plan(files, dtype=dtype, fuse=fuse, rank=world - 1, world=world)
        wanted = execute(planned.steps, open_checkpoint(folder(recipe)))
        found, _ = received(planned, Gathered(planned.reads), files, seed=world)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name], value), name


def test_little_waits_where_bytes_come_in_order(small):
    files = LocalFiles(folder(checkpoints.LLAMA[0]))
    planned = plan(files, dtype="fp16")
    gathered, most = Gathered(planned.reads), 0
    limit = 4 * receive.PIECE_BYTES
    with Receiver(planned.steps, planned.header.tensors, gathered, scratch_bytes=limit) as receiver:
        for number, data in frames(gathered, files).items():
            receiver.wait()
            receiver.write(gathered.frame(number)[0], data)
            most = max(most, receiver.held_bytes)
            receiver.finish(number)
    largest = max(info.size_bytes for info in planned.header.tensors.values())
    assert most <= limit + largest + 2 * receive.PIECE_BYTES
    assert most < planned.bytes_read / 2


def test_what_is_taken_as_it_is_stored_needs_no_scratch(small):
    files = LocalFiles(folder(checkpoints.LLAMA[0]))
    planned = plan(files, fuse=False)
    assert {step.way for step in planned.steps} == {"mapped"}
    assert received(planned, Gathered(planned.reads), files, seed=1)[1] == 0


def test_what_fails_in_a_thread_ends_the_rest(small, tmp_path):
    tensors = checkpoints.stored(folder(checkpoints.LLAMA[0]))
    tensors["model.layers.0.mlp.down_proj.weight"][3, 3] = 1e6
    checkpoints.copy_companions(folder(checkpoints.LLAMA[0]), tmp_path / "large")
    checkpoints.write(tmp_path / "large", tensors)
    files = LocalFiles(tmp_path / "large")
    planned = plan(files, dtype="fp16")
    with pytest.raises(BeyondRange, match="down_proj"):
        received(planned, Gathered(planned.reads), files, seed=1)


def test_who_brings_bytes_is_told_of_a_failure(small):
    planned = plan(LocalFiles(folder(checkpoints.LLAMA[0])), dtype="fp16")
    receiver = Receiver(planned.steps, planned.header.tensors, Gathered(planned.reads))
    receiver.wait()
    receiver.fail(RuntimeError("cut"))
    receiver.fail(RuntimeError("and torn"))
    for asked in (receiver.wait, receiver.check):
        with pytest.raises(RuntimeError, match="cut"):
            asked()


# --- ranges


def some_reads(chance: random.Random) -> list[Read]:
    reads, start = [], 0
    for _ in range(chance.randint(1, 12)):
        start += chance.randint(0, 40)
        size, count = chance.randint(1, 30), chance.choice([1, 1, chance.randint(2, 9)])
        stride = size + chance.randint(1, 30) if count > 1 else 0
        reads.append(Read(chance.choice("ab"), start, size, count, stride))
        start = reads[-1].stop
    return merged(reads)


@pytest.mark.parametrize("seed", range(20))
def test_every_byte_has_one_place_in_the_stream(seed):
    chance = random.Random(seed)
    gathered = Gathered(some_reads(chance))
    runs = [(read.file, byte) for read in gathered.reads for run in read.runs() for byte in range(*run)]
    assert gathered.size_bytes == len(runs)
    for _ in range(20):
        start = chance.randint(0, len(runs) - 1)
        stop = chance.randint(start + 1, len(runs))
        cut = [(r.file, byte) for r in gathered.cut(start, stop) for run in r.runs() for byte in range(*run)]
        assert cut == runs[start:stop]
        file, first = runs[start]
        last = first + chance.randint(1, 60)
        inside = [place for place, (name, byte) in enumerate(runs) if name == file and first <= byte < last]
        found = [
            (offset + n, begin + n)
            for offset, begin, end in gathered.wanted(file, first, last)
            for n in range(end - begin)
        ]
        assert sorted(place for place, _ in found) == inside
        assert all(runs[place] == (file, byte) for place, byte in found)
        assert gathered.extent(file, first, last) == (inside[0], inside[-1] + 1)
    assert gathered.extent("c", 0, 10) == (0, 0)


@pytest.mark.parametrize("gap", [0, 5, 100])
@pytest.mark.parametrize("seed", range(5))
def test_spans_hold_every_byte_and_no_gap_that_is_wider(seed, gap):
    reads = some_reads(random.Random(seed))
    wanted = {(read.file, byte) for read in reads for run in read.runs() for byte in range(*run)}
    found = spans(reads, gap)
    bytes_ = [(span.file, byte) for span in found for byte in range(span.start, span.stop)]
    assert len(bytes_) == len(set(bytes_))
    assert wanted <= set(bytes_)
    for span in found:
        present = [byte for byte in range(span.start, span.stop) if (span.file, byte) in wanted]
        assert present[0] == span.start and present[-1] == span.stop - 1
        assert max(np.diff(present), default=1) <= gap + 1


def test_a_part_of_rows_is_a_rest_whole_rows_and_a_beginning():
    read = Read("f", 100, 10, 5, 20)
    assert list(part(read, 5, 34)) == [Read("f", 105, 5), Read("f", 120, 10, 2, 20), Read("f", 160, 4)]
    assert list(part(read, 12, 18)) == [Read("f", 122, 6)]
    assert list(part(read, 10, 20)) == [Read("f", 120, 10)]


@pytest.mark.parametrize("seed", range(20))
def test_stretches_are_the_index_set(seed):
    chance = random.Random(seed)
    values = [chance.randint(0, 9) for _ in range(chance.randint(1, 12))]
    for index in (np.array(values), np.array(sorted(values)), range(3, 9)):
        spread = [value for start, stop, step in stretches(index) for value in range(start, stop, step)]
        assert spread == list(index)
    assert stretches(np.array([0, 2, 4, 6, 1, 3, 5, 7])) == [(0, 7, 2), (1, 2, 1), (3, 8, 2)]
