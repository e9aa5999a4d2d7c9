"""What all models share: the config they were built from, and what loading attaches to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from modelcenter.errors import Invalid
from modelcenter.models.cache import KVCache
from modelcenter.models.config import ModelConfig

OWN: Final[Any] = object()  # the checkpoint's own end token, as opposed to None: no end token


class Model(nn.Module):
    """A model on the meta device until loading assigns its parameters.

    config: what it is made of. report, tokenizer and source: attached by `load`; report accounts for every
    tensor of the checkpoint, source says where it came from (what `save` writes back).
    """

    config: ModelConfig
    derives_positions = False  # from the tokens, so that nobody counts them for it
    cache_type: type[KVCache] = KVCache
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
        return self.cache_type(self.config.num_layers, capacity)

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        batch_size: int = 32,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        show_progress: bool | None = None,
    ) -> Tensor:
        """The vectors of texts, (texts, size): see `modelcenter.embedding.encode`."""
        from modelcenter.embedding import encode

        return encode(
            self,
            texts,
            batch_size=batch_size,
            prompt_name=prompt_name,
            prompt=prompt,
            normalize=normalize,
            show_progress=show_progress,
        )

    def generate(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        max_new_tokens: int = 20,
        do_sample: bool = False,
        eos_token_id: int | Iterable[int] | None = OWN,
        decoder_input_ids: Tensor | None = None,
    ) -> Tensor:
        """Continue `input_ids` (batch, length) greedily: see `modelcenter.generation.generate`.

        eos_token_id: by default the checkpoint's own; None: never end. decoder_input_ids: what an
        encoder-decoder's text begins with. Of the checkpoint's generation settings those that a greedy search
        can obey are: see there for which.
        """
        from modelcenter.generation import generate

        return generate(
            self,
            input_ids,
            attention_mask=attention_mask,
            max_new_tokens=max_new_tokens,
            do_sample=do_sample,
            eos_token_id=eos_token_id,
            decoder_input_ids=decoder_input_ids,
        )
