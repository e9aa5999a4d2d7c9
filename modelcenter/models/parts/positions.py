"""Positions: rotary tables and their rotation, T5's relative bias. Once a forward, before the blocks."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.config import Alibi, Learned, RelativeBias, Rotary, RotaryScaling, Sinusoidal
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.sharding import local


def inverse_frequencies(config: Rotary, length: int = 0) -> Tensor:
    """(dim / 2,) in fp32: theta ** (-2i / dim), stretched as the scaling says for a text of `length` tokens.

    Source: arXiv:2104.09864 §3.2; transformers modeling_rope_utils.py for the scalings.
    """
    exponents = torch.arange(0, config.dim, 2, dtype=torch.int64).float() / config.dim
    scaling = config.scaling
    grows = scaling is not None and scaling.kind in ("dynamic", "doublings")
    theta = _grown(config, scaling, length) if scaling is not None and grows else config.theta
    frequencies = 1.0 / theta**exponents
    if scaling is None or grows:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "longrope":
        is_long = length > scaling.original_max_position_embeddings
        return frequencies / torch.tensor(scaling.long_factors if is_long else scaling.short_factors)
    return (_llama3 if scaling.kind == "llama3" else _yarn)(frequencies, config, scaling)


def _grown(config: Rotary, scaling: RotaryScaling, length: int) -> float:
    """The base for a text of `length` tokens: grown where that is more than the original length."""
    original, factor = scaling.original_max_position_embeddings, scaling.factor
    if scaling.kind == "doublings":
        times = -(-max(length, scaling.least_length, 1) // original)
        stretch = 2.0 ** ((times - 1).bit_length() + 1) - 1
    else:
        stretch = factor * max(length, original) / original - (factor - 1)
    return float(config.theta * stretch ** (config.dim / (config.dim - 2)))


def _llama3(frequencies: Tensor, config: Rotary, scaling: RotaryScaling) -> Tensor:
    original = scaling.original_max_position_embeddings
    turns = original * frequencies / (2 * math.pi)  # full turns within the original context
    smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    smooth = smooth.clamp(0, 1)
    return (1 - smooth) * frequencies / scaling.factor + smooth * frequencies


def _yarn(frequencies: Tensor, config: Rotary, scaling: RotaryScaling) -> Tensor:
    original, dim = scaling.original_max_position_embeddings, config.dim

    def dimension(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = ((torch.arange(dim // 2).float() - low) / max(high - low, 0.001)).clamp(0, 1)
    return frequencies / scaling.factor * ramp + frequencies * (1 - ramp)


Table = tuple[Tensor, Tensor]  # cosines and sines, each (batch | 1, 1, length, dim)


def rotary_table(config: Rotary, positions: Tensor, dtype: torch.dtype) -> Table:
    """Cosines and sines of `positions` (batch | 1, length), computed in fp32 and then given as `dtype`.

    Of several axes, positions are (axes, batch | 1, length).
    """
    if config.axes > 1:
        one = replace(config, dim=config.dim // config.axes, axes=1)
        tables = [rotary_table(one, axis, dtype) for axis in positions]
        return torch.cat([cos for cos, _ in tables], dim=-1), torch.cat([sin for _, sin in tables], dim=-1)
    grows = config.scaling is not None and config.scaling.kind in ("dynamic", "longrope", "doublings")
    length = int(positions.max()) + 1 if grows else 0
    frequencies = inverse_frequencies(config, length).to(positions.device)
    angles = positions[:, None, :, None].float() * frequencies
    angles = (
        angles.repeat_interleave(2, dim=-1) if config.interleaved else torch.cat((angles, angles), dim=-1)
    )
    factor = _attention_factor(config.scaling, length) if config.scaling else 1.0
    return (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)


def _attention_factor(scaling: RotaryScaling, length: int) -> float:
    """By how much cosines and sines grow for a text of `length` tokens."""
    if scaling.least_length and length > scaling.least_length:
        return 0.1 * math.log(length / scaling.least_length) + 1.0
    return scaling.attention_factor


def rotate(x: Tensor, table: Table, interleaved: bool = False, axes: int = 1) -> Tensor:
    """The first `dim` elements of x (batch, heads, length, head_dim) turned by their positions' angles.

    Source: arXiv:2104.09864 §3.4.2; in halves as transformers' rotate_half, or in neighbouring pairs.
    """
    cos, sin = table
    dim = cos.shape[-1]
    turned, rest = (x, None) if dim == x.shape[-1] else (x[..., :dim], x[..., dim:])
    if interleaved:
        across = torch.stack((-turned[..., 1::2], turned[..., ::2]), dim=-1).flatten(-2)
    else:
        a, b = turned.unflatten(-1, (axes, -1)).chunk(2, dim=-1)
        across = torch.cat((-b, a), dim=-1).flatten(-2)
    turned = turned * cos + across * sin
    return turned if rest is None else torch.cat((turned, rest), dim=-1)


def alibi_bias(config: Alibi, queries: Tensor, keys: Tensor) -> Tensor:
    """(batch | 1, num_heads, length | 1, keys) in fp32: each head's slope times how far a key is ahead of the
    query.

    queries: positions (length,); keys: (batch | 1, keys). Source: arXiv:2108.12409 §3; the slopes of a number
    of heads that is no power of two as in the authors' code.
    """
    power = 2 ** math.floor(math.log2(config.num_heads))

    def slopes(heads: int) -> Tensor:
        return 2.0 ** (torch.arange(1, heads + 1).float() * (-config.max_bias / heads))

    own = torch.cat((slopes(power), slopes(2 * power)[::2]))[: config.num_heads]
    own = own.to(keys.device)[None, :, None, None]
    if config.rounded:
        # What is the same for all keys of a query changes no softmax, so places do for distances.
        return (own.bfloat16() * keys[:, None, None, :]).float() * config.scale
    distance = keys[:, None, None, :] - queries[:, None]
    return own * config.scale * distance.float()


def learned_positions(
    config: Learned | Sinusoidal,
    input_ids: Tensor,
    shown: Tensor | None,
    pad_token_id: int | None,
    past: int,
) -> Tensor:
    """The rows (batch | 1, length) of the table of positions that tokens (batch, length) have.

    shown: attention_mask (batch, past + length), or None.
    """
    length = input_ids.shape[1]
    counted = shown
    if config.counts == "not_padding":
        counted = input_ids.ne(-1 if pad_token_id is None else pad_token_id)
    if config.counts == "all" or counted is None or counted.ndim != 2:
        return torch.arange(past, past + length, device=input_ids.device)[None] + config.offset
    counted = counted.long()
    before = past if config.counts == "not_padding" else 0  # a mask tells of earlier tokens, ids do not
    rows = ((counted.cumsum(dim=1) + before) * counted)[:, -length:] - 1 + config.offset
    return rows.clamp(min=0)  # of padding, where no row is before the first


def sinusoids(config: Sinusoidal, positions: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """(batch | 1, length, size): the sines of all frequencies, then the cosines, of rows `positions`."""
    last = size - 2 if config.last_included else size
    exponents = torch.arange(0, size, 2, dtype=torch.float32, device=positions.device) / last
    angles = positions[..., None].float() / 10000.0**exponents
    table = torch.cat((angles.sin(), angles.cos()), dim=-1).to(dtype)
    return table if config.counts == "all" else table * (positions >= config.offset)[..., None]


def bucket(distance: Tensor, config: RelativeBias) -> Tensor:
    """T5's bucket of each signed distance (key minus query), in int64.

    Half of the buckets are exact distances, the others grow logarithmically up to `max_distance`.
    Source: arXiv:1910.10683 §2.1; mesh_tensorflow transformer_layers.py _relative_position_bucket.
    """
    buckets = config.num_buckets
    if config.bidirectional:
        buckets //= 2
        base = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        base = torch.zeros_like(distance)
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distance.float().clamp(min=1) / exact) / math.log(config.max_distance / exact)
    far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return base + torch.where(distance < exact, distance, far)


class RelativeBiasPart(Holder):
    """A learned bias for each bucket of distance and head."""

    weight: nn.Parameter

    def __init__(self, config: RelativeBias) -> None:
        super().__init__(config.tree())
        self.config = config

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Positions (batch | 1, length) and (batch | 1, keys) -> (batch | 1, this rank's heads, length,
        keys)."""
        buckets = bucket(keys[:, None, :] - queries[:, :, None], self.config)
        return F.embedding(buckets, local(self.weight)).permute(0, 3, 1, 2)
