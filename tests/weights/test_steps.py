"""Which bytes a gather reads, told as runs: held against the elements that it reads."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelcenter.weights.steps import PAGE, Read, merged, reads, touched
from tests.support.relations import header_of, relations
from tests.weights.test_laws import law, map_of, wants


@law
@given(st.data())
def test_the_runs_are_the_bytes_of_the_elements(data):
    relation, shape = data.draw(relations(whole=False))
    want = data.draw(wants(shape))
    weights = map_of(relation, shape)
    header = header_of(weights, data.draw(st.sampled_from(["F32", "BF16", "I64"])))
    for piece in weights.pieces("ours", want):
        info = header[piece.source]
        places = np.arange(int(np.prod(info.shape))).reshape(info.shape)
        elements = places[np.ix_(*(np.asarray(index) for index in piece.src))].ravel()
        expected = {info.start + int(e) * info.itemsize + b for e in elements for b in range(info.itemsize)}
        found = [range(*run) for read in reads(piece, info) for run in read.runs()]
        assert sum(map(len, found)) == len(expected)
        assert {byte for run in found for byte in run} == expected
        together = merged(reads(piece, info))
        assert {byte for read in together for run in read.runs() for byte in range(*run)} == expected
        assert touched(together) == PAGE * len({byte // PAGE for byte in expected})


def test_neighbours_become_one_read_and_files_stay_apart():
    found = [Read("b", 0, 4), Read("a", 8, 4), Read("a", 0, 8), Read("a", 100, 4, 3, 4), Read("a", 0, 8)]
    assert merged(found) == [Read("a", 0, 12), Read("a", 100, 12), Read("b", 0, 4)]


def test_pages_between_distant_runs_are_not_touched():
    assert touched([Read("a", 0, 10, 4, 3 * PAGE)]) == 4 * PAGE
    assert touched([Read("a", 0, 10, 4, PAGE)]) == 4 * PAGE
    assert touched([Read("a", 0, 10), Read("a", 20, 10), Read("b", 0, 1)]) == 2 * PAGE
