"""What turns hidden states into answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.parameter import Parameter, Tree, nested, under


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """BERT's: a dense layer and an activation on the first token."""

    activation: str = "tanh"
    name = "pooling"

    def tree(self, hidden_size: int) -> Tree:
        return Linear(outputs=hidden_size, inputs=hidden_size, bias=True).tree()


@dataclass(frozen=True, kw_only=True)
class MaskedLanguageHead:
    """BERT's: dense, activation, norm, then the tied embedding and a bias per token of the vocabulary.

    size: of the embedding where it is narrower than the hidden states. dense_bias, bias: whether there are
    such. own_bias: an untied matrix has a bias of its own; the other then stays in the files, and no logit
    reads it (BERT, RoBERTa).
    """

    activation: str
    norm: Norm
    tied: bool
    size: int | None = None
    dense_bias: bool = True
    bias: bool = True
    own_bias: bool = True
    name = "masked-lm"

    def dense(self, hidden_size: int) -> Linear:
        """The first product."""
        return Linear(outputs=self.size or hidden_size, inputs=hidden_size, bias=self.dense_bias)

    def decoder(self, hidden_size: int, vocab_size: int) -> Linear:
        """The product that makes an untied head's logits."""
        return Linear(
            outputs=vocab_size, inputs=self.size or hidden_size, bias=self.own_bias, split="outputs"
        )

    def tree(self, hidden_size: int, vocab_size: int) -> Tree:
        return {
            **under("dense.", self.dense(hidden_size).tree()),
            **under("norm.", self.norm.tree(self.size or hidden_size)),
            **({"bias": Parameter((vocab_size,), 0)} if self.bias else {}),
            **({} if self.tied else under("decoder.", self.decoder(hidden_size, vocab_size).tree())),
        }


@dataclass(frozen=True, kw_only=True)
class NextSentenceHead:
    """BERT's: two logits from the pooled first token (arXiv:1810.04805 §3.1).

    name: `next-sentence`, or `sentence-order` (ALBERT, arXiv:1909.11942 §3.1).
    """

    name: str = "next-sentence"

    def tree(self, hidden_size: int) -> Tree:
        return Linear(outputs=2, inputs=hidden_size, bias=True).tree()


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A dense layer, an activation and maybe a norm, before a head's last product."""

    activation: str
    norm: Norm | None = None
    bias: bool = True

    def dense(self, hidden_size: int) -> Linear:
        """The product."""
        return Linear(outputs=hidden_size, inputs=hidden_size, bias=self.bias)

    def tree(self, hidden_size: int) -> Tree:
        norm = {"norm": self.norm.tree(hidden_size)} if self.norm else {}
        return nested({"dense": self.dense(hidden_size).tree(), **norm})


@dataclass(frozen=True, kw_only=True)
class ClassificationHead:
    """A logit for each of `num_labels` classes.

    name: `sequence-classification`, `token-classification`, `question-answering`, `multiple-choice` or
    `replaced-token` (ELECTRA, arXiv:2003.10555).
    of: what is told apart. `tokens`: each of them. The text, by one vector: `pooled`, the pooler's; `first`;
    `last`, of the last token that is not padding; `end`, of the last one; `mean`, of all that are shown.
    answer: `logits`, one a class; `logit`, the only one, without a dimension for it; `span`, the logits of
    where an answer starts and where it ends. scale: of the vectors before the last product (CPM's).
    """

    name: str
    num_labels: int
    of: Literal["tokens", "pooled", "first", "last", "end", "mean"]
    transform: Transform | None = None
    bias: bool = True
    answer: Literal["logits", "logit", "span"] = "logits"
    scale: float = 1.0
    tied = False

    def out(self, hidden_size: int) -> Linear:
        """The last product."""
        return Linear(outputs=self.num_labels, inputs=hidden_size, bias=self.bias)

    def tree(self, hidden_size: int, vocab_size: int) -> Tree:
        transform = self.transform.tree(hidden_size) if self.transform else {}
        return {**transform, **under("out.", self.out(hidden_size).tree())}


@dataclass(frozen=True, kw_only=True)
class LanguageHead:
    """Logits over the vocabulary: the embedding's transpose where tied, else a matrix of its own.

    scale: of the hidden states before it (T5's d_model ** -0.5). cap: logits become cap * tanh(logits / cap)
    (Gemma 2). normalized: each row of the matrix is brought to length 1 (Baichuan 2). name: what
    `load(head=…)` calls it.
    """

    tied: bool
    scale: float = 1.0
    bias: bool = False
    cap: float | None = None
    normalized: bool = False
    name: str = "causal-lm"

    def tree(self, hidden_size: int, vocab_size: int) -> Tree:
        return {
            **({} if self.tied else {"weight": Parameter((vocab_size, hidden_size), 0)}),
            **({"bias": Parameter((vocab_size,), 0)} if self.bias else {}),
        }
