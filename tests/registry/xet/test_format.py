"""Xorbs as nobody should send them."""

from __future__ import annotations

import io

import lz4.frame
import pytest

from modelcenter.errors import Invalid, TooLarge
from modelcenter.registry.xet.format import Incoming, hash_of, text_of, ungrouped
from tests.support.blobs import MemoryBlobStore
from tests.support.xet import header, packed

NAME, BODY = packed(b"chunk " * 100, b"other " * 200)
BOMB = lz4.frame.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (NAME, BODY[:-1]),
        (NAME, BODY[:4]),
        (NAME, b""),
        (NAME, BODY[:608]),
        (NAME, BODY + BODY),
        (NAME, BODY.replace(b"chunk", b"chunc", 1)),
        (NAME, BODY[608:] + BODY[:608]),
        ("0" * 64, BODY),
        (NAME.upper(), BODY),
        ("short", BODY),
        (NAME, header(600, 600, version=1) + BODY[8:]),
        (NAME, header(600, 600, scheme=3) + BODY[8:]),
        (NAME, header(600, 601) + BODY[8:]),
        (NAME, header(0, 0) + BODY),
        (NAME, header(600, 600, scheme=1) + BODY[8:]),
        (NAME, header(len(BOMB), 100, scheme=1) + BOMB),
        (NAME, header(len(BOMB), 2**24 - 1, scheme=1) + BOMB),
        (NAME, header(2**24 - 1, 100) + BODY),
        (NAME, (header(1, 1) + b"x") * 20_000),
    ],
)  # fmt: skip
def test_a_xorb_that_is_not_what_its_name_says_leaves_nothing(name, body):
    store = MemoryBlobStore()
    with pytest.raises((Invalid, TooLarge)):
        store.put(Incoming(io.BytesIO(body), name))
    assert not list(store)


def test_a_hash_is_printed_as_the_specification_says():
    printed = "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert text_of(bytes(range(32))) == printed
    assert hash_of(printed) == bytes(range(32))


@pytest.mark.parametrize("length", range(10))
def test_grouped_bytes_come_back_in_order(length):
    content = bytes(range(length))
    assert ungrouped(b"".join(content[position::4] for position in range(4))) == content
