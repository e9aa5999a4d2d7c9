"""What turns hidden states into answers."""

from __future__ import annotations

from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from modelcenter.models.config import (
    ClassificationHead,
    ImageClassificationHead,
    LanguageHead,
    Linear,
    MaskedLanguageHead,
)
from modelcenter.models.parts.feedforward import ACTIVATIONS
from modelcenter.models.parts.linear import EmbeddingPart, Holder, LinearPart, project
from modelcenter.models.parts.norms import NormPart


class PoolerPart(LinearPart):
    """A dense layer over the first token, activated. Source: arXiv:1810.04805; the original BERT's pooler."""

    def __init__(self, hidden_size: int, activation: str = "tanh") -> None:
        super().__init__(Linear(outputs=hidden_size, inputs=hidden_size, bias=True))
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, length, hidden_size) -> (batch, hidden_size)."""
        return self.activation(super().forward(hidden[:, 0]))


class ImageClassificationHeadPart(LinearPart):
    """Logits of an image's classes, by a representation first where the config has one."""

    def __init__(self, config: ImageClassificationHead, hidden_size: int) -> None:
        super().__init__(config.linear(hidden_size))
        dense = config.dense(hidden_size)
        self.dense = LinearPart(dense) if dense else None

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, hidden_size) -> (batch, num_labels)."""
        return super().forward(hidden if self.dense is None else torch.tanh(self.dense(hidden)))


class LanguageHeadPart(Holder):
    """Logits over the vocabulary, by a matrix of its own or by calling the embedding."""

    def __init__(self, config: LanguageHead, hidden_size: int, vocab_size: int) -> None:
        super().__init__(config.tree(hidden_size, vocab_size))
        self.config = config

    def forward(self, hidden: Tensor, embedding: EmbeddingPart) -> Tensor:
        """(..., hidden_size) -> (..., vocab_size), whole on every rank."""
        c = self.config
        if c.scale != 1.0:
            hidden = hidden * c.scale
        weight = embedding.weight if c.tied else self.held("weight")
        logits = project(hidden, weight, self.held("bias") if c.bias else None, c.normalized)
        return logits if c.cap is None else c.cap * torch.tanh(logits / c.cap)


class MaskedLanguageHeadPart(Holder):
    """BERT's head for masked tokens: dense, activation, norm, the embedding's transpose and a bias."""

    def __init__(self, config: MaskedLanguageHead, hidden_size: int, vocab_size: int) -> None:
        tree = config.tree(hidden_size, vocab_size)
        super().__init__({name: p for name, p in tree.items() if "." not in name})
        self.config = config
        self.dense = LinearPart(config.dense(hidden_size))
        self.norm = NormPart(config.norm, config.size or hidden_size)
        self.activation = ACTIVATIONS[config.activation]
        self.decoder = None if config.tied else LinearPart(config.decoder(hidden_size, vocab_size))

    def forward(self, hidden: Tensor, embedding: EmbeddingPart) -> Tensor:
        """(..., hidden_size) -> (..., vocab_size), whole on every rank."""
        hidden = self.norm(self.activation(self.dense(hidden)))
        bias = self.held("bias") if self.config.bias else None
        if self.decoder is None:
            return project(hidden, embedding.weight, bias)
        return project(
            hidden, self.decoder.weight, self.decoder.held("bias") if self.config.own_bias else bias
        )


class ClassificationHeadPart(nn.Module):
    """Logits of classes, of each token or of one vector for the text."""

    def __init__(self, config: ClassificationHead, hidden_size: int, pad_token_id: int | None) -> None:
        super().__init__()
        self.config = config
        self.pad_token_id = pad_token_id
        if config.transform is not None:
            self.dense = LinearPart(config.transform.dense(hidden_size))
            self.activation = ACTIVATIONS[config.transform.activation]
            self.norm = NormPart(config.transform.norm, hidden_size) if config.transform.norm else None
        self.out = LinearPart(config.out(hidden_size))

    def forward(
        self, hidden: Tensor, pooled: Tensor | None, input_ids: Tensor | None, attention_mask: Tensor | None
    ) -> Tensor:
        """hidden (batch, length, hidden_size), pooled (batch, hidden_size) -> (batch, num_labels), or of each
        token (batch, length, num_labels)."""
        vectors = self.told_from(hidden, pooled, input_ids, attention_mask)
        if self.config.transform is not None:
            vectors = self.activation(self.dense(vectors))
            vectors = vectors if self.norm is None else self.norm(vectors)
        if self.config.scale != 1.0:
            vectors = vectors * self.config.scale
        return cast(Tensor, self.out(vectors))

    def told_from(
        self, hidden: Tensor, pooled: Tensor | None, input_ids: Tensor | None, attention_mask: Tensor | None
    ) -> Tensor:
        """The vectors that the classes are told from."""
        match self.config.of:
            case "tokens":
                return hidden
            case "pooled":
                assert pooled is not None
                return pooled
            case "first":
                return hidden[:, 0]
            case "end":
                return hidden[:, -1]
            case "mean":
                return mean(hidden, attention_mask)
            case "last":
                assert input_ids is not None
                rows = torch.arange(len(hidden), device=hidden.device)
                return hidden[rows, last_places(input_ids, self.pad_token_id, attention_mask)]


def mean(hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(batch, length, hidden_size) -> (batch, hidden_size), of the tokens that are shown."""
    if attention_mask is None:
        return hidden.mean(dim=1)
    shown = attention_mask[..., None].float()
    return ((hidden * shown).sum(dim=1) / shown.sum(dim=1)).to(hidden.dtype)


def last_places(input_ids: Tensor, pad_token_id: int | None, attention_mask: Tensor | None) -> Tensor:
    """(batch,) places of the last token of each row of input_ids (batch, length) that is not padding.

    Padding is told by its token, as in transformers' heads; by the mask where the model names no such token.
    """
    is_token = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
    if pad_token_id is not None:
        is_token = input_ids.ne(pad_token_id).long()
    return (torch.arange(input_ids.shape[1], device=input_ids.device) * is_token).argmax(dim=1)


HeadPart: TypeAlias = "LanguageHeadPart | MaskedLanguageHeadPart | ClassificationHeadPart"


def head_part(
    config: LanguageHead | MaskedLanguageHead | ClassificationHead,
    hidden_size: int,
    vocab_size: int,
    pad_token_id: int | None,
) -> HeadPart:
    """The module of a head's config. hidden_size: of what it is given."""
    if isinstance(config, ClassificationHead):
        return ClassificationHeadPart(config, hidden_size, pad_token_id)
    if isinstance(config, MaskedLanguageHead):
        return MaskedLanguageHeadPart(config, hidden_size, vocab_size)
    return LanguageHeadPart(config, hidden_size, vocab_size)


def answers(
    head: HeadPart | None,
    hidden: Tensor,
    embedding: EmbeddingPart,
    input_ids: Tensor | None,
    attention_mask: Tensor | None = None,
    *,
    pooled: Tensor | None = None,
    keep: int = 0,
) -> dict[str, Tensor]:
    """What a head makes of the last hidden states, by the names of ModelOutput; of no head, nothing.

    keep: of how many last tokens a language model's logits are asked, 0: of all.
    """
    if head is None:
        return {}
    if not isinstance(head, ClassificationHeadPart):
        return {"logits": head(hidden[:, -keep:], embedding)}
    logits: Tensor = head(hidden, pooled, input_ids, attention_mask)
    match head.config.answer:
        case "logits":
            return {"logits": logits}
        case "logit":
            return {"logits": logits.squeeze(-1)}
        case "span":
            start, end = logits.unbind(dim=-1)
            return {"start_logits": start, "end_logits": end}
