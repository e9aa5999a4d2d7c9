"""What a checkpoint's generation settings do to the scores of the next token, before the largest is chosen.

In transformers' order, so that the same token is the largest. Source: transformers logits_process.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias, TypeGuard

import torch
from torch import Tensor

from modelcenter.errors import Invalid

Processor: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Tokens so far (batch, length), scores in fp32 (batch, vocab_size) -> scores."""


def processors(
    values: Mapping[str, Any],
    *,
    start: int,
    ends: tuple[int, ...],
    vocab_size: int,
    shown: Tensor | None = None,
    is_forced: bool = False,
) -> tuple[Processor, ...]:
    """The processors that generation settings ask for, in order.

    start: tokens that a text has before the first new one. ends: the tokens that end it. shown: attention
    mask (batch, start) of what it begins with. is_forced: whether the first new token is.
    Settings that are no numbers say nothing, as the files are untrusted; raises Invalid for a
    repetition_penalty that is not positive.
    """
    found: list[Processor] = []
    penalty = values.get("repetition_penalty")
    if is_number(penalty) and penalty != 1:
        if not 0 < penalty < math.inf:
            raise Invalid(
                f"repetition_penalty is {penalty} in the generation settings; expected more than zero."
            )
        found.append(repetition(float(penalty), shown))
    if (size := count(values.get("no_repeat_ngram_size"))) > 0:
        found.append(no_repeat(size))
    banned = [t for t in alone(values.get("bad_words_ids")) if t not in ends]
    found += suppressed(banned, vocab_size)
    new = values.get("min_new_tokens")
    least = start + count(new) if new is not None else count(values.get("min_length"))
    found += suppressed(ends, vocab_size, lambda length: length < least) if least > start else []
    found += suppressed(token_ids(values.get("suppress_tokens")), vocab_size)
    begin = start + 1 if is_forced and start <= 1 else start
    begins = token_ids(values.get("begin_suppress_tokens"))
    return (*found, *suppressed(begins, vocab_size, lambda length: length == begin))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, which a flag is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(value: object) -> int:
    """The whole number that an untrusted file names; 0 where it names none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def token_ids(value: object) -> tuple[int, ...]:
    """The token ids that an untrusted file names: one, several, or none where it names no numbers."""
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool))


def alone(words: object) -> tuple[int, ...]:
    """The tokens that are a word by themselves, of a list of words that are lists of tokens."""
    found = words if isinstance(words, list) else []
    return token_ids([word[0] for word in found if isinstance(word, list) and len(word) == 1])


def repetition(penalty: float, shown: Tensor | None) -> Processor:
    """Scores of tokens that the text has, padding before it apart, divided by `penalty`, or multiplied where
    they are negative (arXiv:1909.05858 §4.1)."""
    first = None if shown is None else (shown != 0).int().argmax(dim=1, keepdim=True)

    def process(tokens: Tensor, scores: Tensor) -> Tensor:
        vocab_size = scores.shape[1]
        if first is not None:
            places = torch.arange(tokens.shape[1], device=tokens.device)
            tokens = tokens.masked_fill(places < first, vocab_size)
        there = torch.zeros_like(scores, dtype=torch.bool)
        there = torch.nn.functional.pad(there, (0, 1)).scatter(1, tokens.clamp(max=vocab_size), True)
        changed = torch.where(scores < 0, scores * penalty, scores / penalty)
        return torch.where(there[:, :vocab_size], changed, scores)

    return process


def no_repeat(size: int) -> Processor:
    """No run of `size` tokens comes twice (arXiv:1705.04304 §2.5)."""

    def process(tokens: Tensor, scores: Tensor) -> Tensor:
        length, vocab_size = tokens.shape[1], scores.shape[1]
        if length < size:
            return scores
        windows = tokens.unfold(1, size, 1)
        same = (windows[..., :-1] == tokens[:, None, length + 1 - size :]).all(dim=-1)
        last = torch.where(same, windows[..., -1].clamp(max=vocab_size), vocab_size)
        banned = torch.nn.functional.pad(torch.zeros_like(scores, dtype=torch.bool), (0, 1))
        return scores.masked_fill(banned.scatter(1, last, True)[:, :vocab_size], -torch.inf)

    return process


def suppressed(
    tokens: Collection[int], vocab_size: int, when: Callable[[int], bool] = lambda length: True
) -> Iterable[Processor]:
    """These tokens are not written while `when` says so of the text's length; nothing without tokens."""
    ids = sorted({token for token in tokens if 0 <= token < vocab_size})
    if ids:
        yield (
            lambda seen, scores: (
                scores.index_fill(1, torch.tensor(ids, device=scores.device), -torch.inf)
                if when(seen.shape[1])
                else scores
            )
        )
