"""SentencePiece models: their pieces, read by the `sentencepiece` library, and the settings it does not tell.

Source: github.com/google/sentencepiece, src/sentencepiece_model.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcenter.errors import TokenizerDamaged

# Field numbers of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec; values of their enumerations.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TYPE, NORMAL, CONTROL = 3, 1, 3
MODEL_TYPE, UNIGRAM, BPE = 3, 1, 2
ADD_DUMMY_PREFIX = 3


@dataclass(frozen=True)
class SentencePieceModel:
    """pieces: by id. control: ids of control pieces.

    content: the file. processor: the library's own reading of it, which cuts texts.
    """

    content: bytes
    processor: Any

    pieces: tuple[str, ...]
    control: tuple[int, ...]
    unknown: int
    adds_dummy_prefix: bool

    def without_prefix(self) -> Any:
        """The library's processor that puts no space before a text."""
        from sentencepiece import SentencePieceProcessor

        # A message that comes twice is merged: protobuf.dev/programming-guides/encoding#last-one-wins.
        setting = bytes([NORMALIZER << 3 | 2, 2, ADD_DUMMY_PREFIX << 3, 0])
        return SentencePieceProcessor(model_proto=self.content + setting)


def read_model(path: Path) -> SentencePieceModel:
    """The model in `path`. Raises TokenizerDamaged."""
    from sentencepiece import SentencePieceProcessor

    content = path.read_bytes()
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
        fields = list(_fields(content))
        types = [dict(_fields(piece)).get(PIECE_TYPE, NORMAL) for number, piece in fields if number == PIECES]
        trainer, normalizer = (dict(_fields(dict(fields).get(part, b""))) for part in (TRAINER, NORMALIZER))
    except (RuntimeError, ValueError, IndexError) as error:
        raise TokenizerDamaged(path.name, f"it is not a SentencePiece model ({error})") from error
    ids = range(len(types))
    kind = trainer.get(MODEL_TYPE, UNIGRAM)
    if kind not in (UNIGRAM, BPE):
        raise TokenizerDamaged(
            path.name, "its pieces are neither unigram nor byte pairs, but words or characters"
        )
    return SentencePieceModel(
        content=content,
        processor=processor,
        pieces=tuple(processor.id_to_piece(i) for i in ids),
        control=tuple(i for i in ids if types[i] == CONTROL),
        unknown=processor.unk_id(),
        adds_dummy_prefix=bool(normalizer.get(ADD_DUMMY_PREFIX, True)),
    )


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message by number: whole numbers, and bytes for all else.

    Source: protobuf.dev/programming-guides/encoding.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        else:
            length = {1: 8, 5: 4}.get(wire_type, len(message) + 1)
        if position + length > len(message):
            raise ValueError(f"field {number} breaks off at byte {position}")
        yield number, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, seven bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError(f"a number has no end at byte {position}")
