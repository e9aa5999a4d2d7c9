"""Positions: rotary tables and their rotation, T5's relative bias. Once a forward, before the blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelcenter.models.config import RelativeBias, Rotary, RotaryScaling
from modelcenter.models.parts.linear import Holder
from modelcenter.models.parts.sharding import local


def inverse_frequencies(config: Rotary) -> Tensor:
    """(dim / 2,) in fp32: theta ** (-2i / dim), stretched as the scaling says.

    Source: arXiv:2104.09864 §3.2; transformers modeling_rope_utils.py for the scalings.
    """
    exponents = torch.arange(0, config.dim, 2, dtype=torch.int64).float() / config.dim
    frequencies = 1.0 / config.theta**exponents
    scaling = config.scaling
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    return (_llama3 if scaling.kind == "llama3" else _yarn)(frequencies, config, scaling)


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
    """Cosines and sines of `positions` (batch | 1, length), computed in fp32 and then given as `dtype`."""
    frequencies = inverse_frequencies(config).to(positions.device)
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    factor = config.scaling.attention_factor if config.scaling else 1.0
    return (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)


def rotate(x: Tensor, table: Table) -> Tensor:
    """The first `dim` elements of x (batch, heads, length, head_dim) turned by their positions' angles.

    Source: arXiv:2104.09864 §3.4.2, in halves as transformers' rotate_half.
    """
    cos, sin = table
    dim = cos.shape[-1]
    turned, rest = (x, None) if dim == x.shape[-1] else (x[..., :dim], x[..., dim:])
    a, b = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat((-b, a), dim=-1) * sin
    return turned if rest is None else torch.cat((turned, rest), dim=-1)


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
        """Positions (length,) and (keys,) -> (1, this rank's heads, length, keys)."""
        buckets = bucket(keys[None, :] - queries[:, None], self.config)
        return F.embedding(buckets, local(self.weight)).permute(2, 0, 1)[None]
