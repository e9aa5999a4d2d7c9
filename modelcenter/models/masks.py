"""Additive masks, (batch | 1, 1, length, keys), computed once before the blocks. None: nothing to add."""

from __future__ import annotations

import torch
from torch import Tensor


def blocked(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `mask` is true, the dtype's minimum elsewhere: a row that sees nothing gives no NaN."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(
        ~mask, torch.finfo(dtype).min
    )


def padding(attention_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """(batch, keys) of 1 for tokens and 0 for padding -> a mask; None where nothing is padded.

    Also (batch, length, keys), of what each query sees.
    """
    if attention_mask is None or bool(attention_mask.all()):
        return None
    if attention_mask.ndim == 3:
        return blocked(attention_mask[:, None].bool(), dtype)
    return blocked(attention_mask[:, None, None, :].bool(), dtype)


def around(
    attention_mask: Tensor | None,
    *,
    length: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor | None:
    """The mask of `length` queries that see both ways, fewer than `window` tokens to each side.

    attention_mask: as `padding` takes it, which this is where the window does not bite.
    """
    if window is None or length <= window:
        return padding(attention_mask, dtype)
    places = torch.arange(length, device=device)
    seen = ((places[:, None] - places[None, :]).abs() < window)[None, None]
    if attention_mask is not None:
        shown = attention_mask if attention_mask.ndim == 3 else attention_mask[:, None, :]
        seen = seen & shown[:, None].bool()
    return blocked(seen, dtype)


def causal(
    attention_mask: Tensor | None,
    *,
    length: int,
    past: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor | None:
    """The mask of `length` queries after `past` cached tokens.

    attention_mask: (batch, past + length), or (batch, length, past + length) of what each query sees, which
    is then all that counts.
    None where the causal flag of the attention says it all: no padding, no window that bites, and either no
    cache or one query, which sees everything. (The flag aligns top left, so a chunk after a cache needs a
    mask.)
    """
    keys = past + length
    padded = attention_mask is not None and (attention_mask.ndim == 3 or not bool(attention_mask.all()))
    windowed = window is not None and keys > window
    if not padded and not windowed and (past == 0 or length == 1):
        return None
    return blocked(causal_seen(attention_mask, length=length, past=past, window=window, device=device), dtype)


def causal_seen(
    attention_mask: Tensor | None, *, length: int, past: int, window: int | None, device: torch.device
) -> Tensor:
    """What each of `length` queries after `past` cached tokens sees, (batch | 1, 1, length, keys)."""
    if attention_mask is not None and attention_mask.ndim == 3:
        return attention_mask[:, None].bool()
    queries = torch.arange(past, past + length, device=device)[:, None]
    places = torch.arange(past + length, device=device)[None, :]
    seen = places <= queries
    if window is not None:
        seen &= queries - places < window
    if attention_mask is None:
        return seen[None, None]
    return seen[None, None] & attention_mask[:, None, None, :].bool()


def given_seen(given: Tensor, length: int) -> Tensor:
    """What each of the last `length` tokens sees, (batch, length, keys): all that is given; those that are
    written also what is before them, and themselves.

    given: (batch, keys) of bool, of all tokens.
    """
    places = torch.arange(given.shape[1], device=given.device)
    before = places[None, :] <= places[-length:, None]
    return given[:, None, :] | (~given[:, -length:, None] & before)
