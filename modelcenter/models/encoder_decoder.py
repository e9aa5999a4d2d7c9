"""The encoder-decoder skeleton: T5, BART and their kind."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from modelcenter.errors import Invalid
from modelcenter.models import config as c
from modelcenter.models import masks
from modelcenter.models.block import BiasKey, BlockPart, Context, run
from modelcenter.models.cache import KVCache
from modelcenter.models.model import Model
from modelcenter.models.output import ModelOutput
from modelcenter.models.parts.heads import answers, head_part
from modelcenter.models.parts.linear import EmbeddingPart
from modelcenter.models.parts.norms import NormPart
from modelcenter.models.parts.positions import RelativeBiasPart, learned_positions, sinusoids


class SidePart(nn.Module):
    """One stack: its positions, its blocks and its norms."""

    def __init__(self, config: c.Side, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        positions = config.positions
        self.position_bias = RelativeBiasPart(positions) if isinstance(positions, c.RelativeBias) else None
        self.position_embedding = (
            EmbeddingPart(positions.rows, hidden_size) if isinstance(positions, c.Learned) else None
        )
        self.blocks = nn.ModuleList(BlockPart(block, hidden_size) for block in config.blocks)
        for name, norm in config.norms().items():
            self.add_module(name, NormPart(norm, hidden_size))

    def forward(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pad_token_id: int | None = None,
        memory: Tensor | None = None,
        memory_bias: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Token embeddings (batch, length, hidden_size) -> the stack's output, of the same shape.

        attention_mask: (batch, cached + length), 1 for tokens and 0 for padding.
        """
        past = cache.length if cache else 0
        first = self.config.norm_first
        hidden = self.normed("embedding_norm", hidden) if first else hidden
        hidden = self.placed(hidden, input_ids, attention_mask, pad_token_id, past)
        hidden = hidden if first else self.normed("embedding_norm", hidden)
        biases: dict[BiasKey, Tensor | None] = {(None, None): self.bias(hidden, attention_mask, past)}
        hidden = run(self.blocks, hidden, Context(biases=biases, memory_bias=memory_bias), cache, memory)
        return self.normed("norm", hidden)

    def normed(self, name: str, hidden: Tensor) -> Tensor:
        """`hidden` through the norm of that name, itself where the stack has none."""
        return cast(Tensor, self.get_submodule(name)(hidden)) if name in self.config.norms() else hidden

    def placed(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pad_token_id: int | None,
        past: int,
    ) -> Tensor:
        """Embeddings with the vectors of their positions, after `past` cached tokens."""
        positions, length = self.config.positions, input_ids.shape[1]
        if positions is None or isinstance(positions, c.RelativeBias):
            return hidden
        if positions.num_positions is not None:
            Model.check_positions(past + length, positions.num_positions)
        rows = learned_positions(positions, input_ids, attention_mask, pad_token_id, past)
        if isinstance(positions, c.Sinusoidal):
            return hidden + sinusoids(positions, rows, hidden.shape[-1], hidden.dtype)
        return hidden + cast(Tensor, cast(EmbeddingPart, self.position_embedding)(rows))

    def bias(self, hidden: Tensor, attention_mask: Tensor | None, past: int) -> Tensor | None:
        """What is added to the logits of each self-attention: the mask, and the bias that all share."""
        length, dtype, device = hidden.shape[1], hidden.dtype, hidden.device
        if not self.config.blocks[0].attention.causal:
            mask = masks.padding(attention_mask, dtype)
        elif not self.config.is_relative:
            return masks.causal(
                attention_mask, length=length, past=past, window=None, dtype=dtype, device=device
            )
        else:  # a bias takes the place of the causal flag
            seen = masks.causal_seen(attention_mask, length=length, past=past, window=None, device=device)
            mask = None if past and length == 1 and bool(seen.all()) else masks.blocked(seen, dtype)
        if self.position_bias is None:
            return mask
        keys = torch.arange(past + length, device=device)[None]
        bias: Tensor = self.position_bias(keys[:, past:], keys)
        return bias if mask is None else (bias + mask).clamp(min=torch.finfo(dtype).min)


class EncoderDecoder(Model):
    """An encoder, and a decoder that attends to its output, over one embedding or one each."""

    config: c.EncoderDecoder

    def __init__(self, config: c.EncoderDecoder) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.embedding = EmbeddingPart(config.vocab_size, size)
        self.decoder_embedding = EmbeddingPart(config.vocab_size, size) if config.decoder_embedding else None
        self.encoder = SidePart(config.encoder, size)
        self.decoder = SidePart(config.decoder, size) if config.decoder else None
        self.head = (
            head_part(config.head, size, config.vocab_size, config.pad_token_id) if config.head else None
        )

    def embed(self, input_ids: Tensor, side: SidePart, table: EmbeddingPart | None = None) -> Tensor:
        """(batch, length) -> (batch, length, hidden_size), without positions, for one of the two stacks.

        table: whose vectors, where not the embedding's.
        """
        hidden: Tensor = (table or self.embedding)(input_ids)
        scale = 1.0 if side.config.norm_first else self.config.embedding_scale
        return hidden if scale == 1.0 else hidden * scale

    def encode_source(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The encoder's output, (batch, source length, hidden_size)."""
        pad = self.config.pad_token_id
        encoded: Tensor = self.encoder(self.embed(input_ids, self.encoder), input_ids, attention_mask, pad)
        return encoded

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        memory: Tensor | None = None,
        cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> ModelOutput:
        """The decoder's hidden states and logits for decoder_input_ids (batch, length); the encoder's hidden
        states where the model is an encoder alone.

        input_ids: (batch, source length), or `memory`, the encoder's output for them. attention_mask: of the
        source.
        decoder_input_ids: by default the start token, and the source after it where the config says so: see
        `usual_target`.
        """
        if attention_mask is not None and attention_mask.ndim != 2:
            raise Invalid(
                f"attention_mask has {attention_mask.ndim} dimensions; expected two, (batch, source length)."
            )
        if memory is None:
            if input_ids is None:
                raise Invalid("An encoder-decoder needs input_ids, or memory, the encoder's output for them.")
            memory = self.encode_source(input_ids, attention_mask)
        if self.decoder is None:
            return ModelOutput(
                last_hidden_state=memory,
                **answers(self.head, memory, self.embedding, input_ids, attention_mask),
            )
        if decoder_input_ids is None:
            decoder_input_ids = self.usual_target(memory, input_ids)
        hidden = self.embed(decoder_input_ids, self.decoder, self.decoder_embedding)
        memory_bias = masks.padding(attention_mask, hidden.dtype)
        pad = self.config.pad_token_id
        hidden = self.decoder(
            hidden, decoder_input_ids, decoder_attention_mask, pad, memory, memory_bias, cache
        )
        ends = self.at_end(hidden, input_ids)
        return ModelOutput(
            last_hidden_state=hidden,
            encoder_last_hidden_state=memory,
            **answers(self.head, hidden, self.embedding, decoder_input_ids, pooled=ends, keep=logits_to_keep),
        )

    def usual_target(self, memory: Tensor, input_ids: Tensor | None) -> Tensor:
        """What the decoder reads where it is given nothing, (batch, 1 or source length)."""
        start = torch.full((memory.shape[0], 1), self.config.decoder_start_token_id, device=memory.device)
        if input_ids is None or not self.config.repeats_source:
            return start
        if self.config.starts_with_last:
            # Counted as transformers does: of sources that are padded on the right.
            pad = self.config.pad_token_id
            shown = torch.ones_like(input_ids) if pad is None else input_ids.ne(pad)
            start = input_ids.gather(1, (shown.sum(dim=1, keepdim=True) - 1).clamp(min=0))
        return torch.cat((start, input_ids[:, :-1]), dim=1)

    def at_end(self, hidden: Tensor, input_ids: Tensor | None) -> Tensor | None:
        """The decoder's states (batch, hidden_size) at the last end token of each row of the source.

        None where no head reads them. Raises Invalid for a row without one.
        """
        head = self.config.head
        if not isinstance(head, c.ClassificationHead) or head.of != "pooled":
            return None
        known = torch.tensor(self.config.eos_token_ids, device=hidden.device)
        found = None if input_ids is None else torch.isin(input_ids, known)
        if found is None or found.shape != hidden.shape[:2] or not bool(found.any(dim=1).all()):
            raise Invalid(
                "A text's class is told at its end token: each row of input_ids needs one "
                f"({', '.join(map(str, self.config.eos_token_ids)) or 'config.json names none'}), "
                "and decoder_input_ids as many tokens as it has."
            )
        places = torch.arange(hidden.shape[1], device=hidden.device)
        return hidden[torch.arange(len(hidden), device=hidden.device), (places * found).argmax(dim=1)]
