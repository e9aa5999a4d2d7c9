"""What all models share: the config they were built from, and what loading attaches to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from modelcenter.errors import Invalid
from modelcenter.models.config import ModelConfig

if TYPE_CHECKING:
    from modelcenter.models.cache import KVCache


class Model(nn.Module):
    """A model on the meta device until loading assigns its parameters.

    config: what it is made of. report, tokenizer and source: attached by `load`; report accounts for every
    tensor of the checkpoint, source says where it came from (what `save` writes back).
    """

    config: ModelConfig
    report: Any = None
    tokenizer: Any = None
    source: Any = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @staticmethod
    def check_positions(length: int, positions: int) -> None:
        """Raise Invalid for more tokens than there are learned positions."""
        if length > positions:
            raise Invalid(
                f"{length} tokens are more than the model's {positions} positions: shorten the text."
            )

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the embedding, which is the one that the hidden states have."""
        return next(self.parameters()).dtype

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for at most `capacity` tokens."""
        from modelcenter.models.cache import KVCache

        return KVCache(self.config.num_layers, capacity)

    def generate(self, input_ids: Tensor, **options: Any) -> Tensor:
        """Continue `input_ids`: see `modelcenter.generation.generate`."""
        from modelcenter.generation import generate

        return generate(self, input_ids, **options)
