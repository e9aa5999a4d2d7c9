"""Positions against their originals: rotary frequencies of every scaling, T5's buckets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.t5.modeling_t5 import T5Attention

from modelcenter.families.configuration import Configuration
from modelcenter.models.config import RelativeBias
from modelcenter.models.parts.positions import bucket, inverse_frequencies, rotary_table, rotate

SCALINGS: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "llama3 small": {
        "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 4096},
    "yarn without factor": {"original_max_position_embeddings": 4096},
    "yarn attention": {"factor": 40.0, "original_max_position_embeddings": 4096, "attention_factor": 0.7},
    "yarn deepseek": {
        "factor": 40.0, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
        "mscale": 1.0, "mscale_all_dim": 0.8,
    },
    "yarn untruncated": {
        "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0,
        "truncate": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("head_dim", [8, 64, 128, 14])
@pytest.mark.parametrize("theta", [10000.0, 500000.0])
@pytest.mark.parametrize("name", SCALINGS)
def test_frequencies_are_those_of_transformers(name: str, theta: float, head_dim: int):
    parameters = {"rope_type": name.split()[0], "rope_theta": theta, **SCALINGS[name]}
    # Only yarn may leave its factor out; transformers has it written by then.
    known = {"factor": 4.0} | parameters
    config = LlamaConfig(
        hidden_size=4 * head_dim, num_attention_heads=4, head_dim=head_dim, max_position_embeddings=16384,
        rope_parameters=known,
    )  # fmt: skip
    expected, factor = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, torch.device("cpu"))
    values = {"max_position_embeddings": 16384, "rope_parameters": parameters}
    rotary = Configuration(values).rotary(head_dim, theta=1.0e4)
    found = inverse_frequencies(rotary)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=1e-6, atol=0)
    assert rotary.scaling is not None and abs(rotary.scaling.attention_factor - factor) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_tables_are_computed_exactly_and_rounded_once(dtype: torch.dtype):
    rotary = Configuration({"rope_theta": 10000.0}).rotary(64, theta=1.0)
    positions = torch.tensor([[0, 1, 4095, 131071]])
    cos, sin = rotary_table(rotary, positions, dtype)
    angles = positions[0, :, None].double() / 10000.0 ** (torch.arange(0, 64, 2).double() / 64)
    angles = torch.cat((angles, angles), dim=-1)
    # fp32 angles of a hundred thousand turns are off by their own last place.
    tolerance = torch.finfo(dtype).eps + 131071 * torch.finfo(torch.float32).eps
    assert (cos[0, 0].double() - angles.cos()).abs().max() <= tolerance
    assert (sin[0, 0].double() - angles.sin()).abs().max() <= tolerance
    assert cos.dtype == sin.dtype == dtype


def test_rotation_turns_halves_and_leaves_the_rest():
    parameters = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
    rotary = Configuration({"rope_parameters": parameters}).rotary(8, theta=1.0, old=("base", "share"))
    assert rotary.dim == 4
    x = torch.randn(1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, rotary_table(rotary, torch.arange(3)[None], torch.float32))
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    pairs = torch.complex(x[..., :2], x[..., 2:4])
    angles = torch.arange(3)[:, None] / 100.0 ** (torch.arange(0, 4, 2) / 4)
    expected = pairs * torch.polar(torch.ones(3, 2), angles)
    assert torch.allclose(turned[..., :4], torch.cat((expected.real, expected.imag), dim=-1), atol=1e-6)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (8, 20), (16, 1000), (64, 33), (4, 3)])
def test_buckets_are_those_of_t5(buckets: int, farthest: int, bidirectional: bool):
    distances = torch.arange(-3000, 3001)
    config = RelativeBias(
        num_buckets=buckets, max_distance=farthest, bidirectional=bidirectional, num_heads=1
    )
    expected = T5Attention._relative_position_bucket(distances, bidirectional, buckets, farthest)
    assert torch.equal(bucket(distances, config), expected)
