"""Fixtures of checkpoints at rest."""

import pytest
import torch

from tests.support.tensors import every_kind


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """A tensor of every dtype, a scalar, an empty one."""
    return every_kind()
