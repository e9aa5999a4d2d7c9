"""Whole models: embeddings, stacks of blocks and heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal, TypeAlias

from modelcenter.errors import ConfigurationInvalid
from modelcenter.models.config.block import Block, stack
from modelcenter.models.config.feedforward import Experts
from modelcenter.models.config.heads import (
    ClassificationHead,
    LanguageHead,
    MaskedLanguageHead,
    NextSentenceHead,
    Pooler,
)
from modelcenter.models.config.images import ImageClassificationHead, Patches
from modelcenter.models.config.linear import Linear, Norm
from modelcenter.models.config.parameter import Parameter, Shape, Tree, nested, under
from modelcenter.models.config.positions import Learned, RelativeBias, Sinusoidal
from modelcenter.models.config.unread import refuse_unread


def _refuse_in_attentions(blocks: tuple[Block, ...], names: tuple[str, ...], reader: str) -> None:
    for block in {id(block): block for block in blocks}.values():  # a uniform model's are one object
        refuse_unread(block.attention, names, f"the attentions of {reader}")


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What all models have. `blocks` of uniform models are one value repeated.

    unread, attentions_unread: options of the model and of its attentions that its skeleton does not read: a
    config that sets one is refused.
    """

    unread: ClassVar[tuple[str, ...]] = ()
    attentions_unread: ClassVar[tuple[str, ...]] = ()

    hidden_size: int
    max_position_embeddings: int | None  # tokens; None: no limit is declared
    blocks: tuple[Block, ...]
    pad_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        reader = type(self).__name__
        refuse_unread(self, self.unread, reader)
        _refuse_in_attentions(self.blocks, self.attentions_unread, reader)

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    @property
    def num_heads(self) -> int:
        return self.blocks[0].attention.num_heads

    @property
    def num_kv_heads(self) -> int:
        return self.blocks[0].attention.num_kv_heads

    @property
    def head_dim(self) -> int:
        return self.blocks[0].attention.head_dim

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads it carries, the one of `.logits` first."""
        return ()

    def tree(self) -> Tree:
        """Every parameter by the name it has in `state_dict()`."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Shape]:
        """The shape of every parameter."""
        return {name: parameter.shape for name, parameter in self.tree().items()}

    def own_parameters(self) -> dict[str, Shape]:
        """The shape of every parameter that does not hold another's values, as a layer shared does."""
        return self.parameters()

    @property
    def num_parameters(self) -> int:
        """How many elements all parameters have; a tied head adds none."""
        return sum(prod(shape) for shape in self.parameters().values())


@dataclass(frozen=True, kw_only=True)
class _TextModel(_Model):
    """What models of text have."""

    vocab_size: int


@dataclass(frozen=True, kw_only=True)
class Encoder(_TextModel):
    """Embeddings, blocks that see both ways, and the heads the checkpoint carries.

    embedding_size: of the embeddings where it is not hidden_size: a product leads to the blocks (ALBERT).
    embedding_norm: of their sum, before that product. positions: vectors of its own for each position, None
    where the attentions know them. relative_bias: one for all layers, on top of that (MPNet).
    type_vocab_size, task_vocab_size: kinds of segments and of tasks (ERNIE) with vectors of their own, 0:
    none. norm: of the last block's output, None where that is the model's. shared_layers: of each block the
    group and the place in it whose values it has (ALBERT); empty: all have their own.
    """

    attentions_unread: ClassVar[tuple[str, ...]] = ("alibi",)

    embedding_norm: Norm | None = None
    positions: Learned | None = None
    relative_bias: RelativeBias | None = None
    type_vocab_size: int = 0
    task_vocab_size: int = 0
    embedding_size: int | None = None
    norm: Norm | None = None
    pooler: Pooler | None = None
    head: LanguageHead | MaskedLanguageHead | ClassificationHead | None = None
    next_sentence: NextSentenceHead | None = None
    shared_layers: tuple[tuple[int, int], ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(head.name for head in (self.head, self.pooler, self.next_sentence) if head is not None)

    @property
    def project_in(self) -> Linear | None:
        """The product between embeddings of another size and the blocks."""
        if self.embedding_size is None:
            return None
        return Linear(outputs=self.hidden_size, inputs=self.embedding_size, bias=True)

    def tables(self) -> dict[str, int]:
        """The rows of every table of vectors that are summed, by name, but for the tokens'."""
        rows = {
            "position_embedding": self.positions.rows if self.positions else 0,
            "type_embedding": self.type_vocab_size,
            "task_embedding": self.task_vocab_size,
        }
        return {name: count for name, count in rows.items() if count}

    def own_parameters(self) -> dict[str, Shape]:
        layers = self.shared_layers
        firsts = {layer: i for i, layer in reversed(tuple(enumerate(layers)))}
        repeats = {str(i) for i, layer in enumerate(layers) if firsts[layer] != i}
        own: dict[str, Shape] = {}
        for name, shape in self.parameters().items():
            parts = name.split(".", 2)
            if parts[0] != "blocks" or parts[1] not in repeats:
                own[name] = shape
        return own

    def tree(self) -> Tree:
        size = self.hidden_size
        embedded = self.embedding_size or size
        return {
            "embedding.weight": Parameter((self.vocab_size, embedded), 0),
            **{f"{name}.weight": Parameter((rows, embedded)) for name, rows in self.tables().items()},
            **(under("embedding_norm.", self.embedding_norm.tree(embedded)) if self.embedding_norm else {}),
            **(under("project_in.", self.project_in.tree()) if self.project_in else {}),
            **(under("relative_bias.", self.relative_bias.tree()) if self.relative_bias else {}),
            **stack(self.blocks, size),
            **(under("norm.", self.norm.tree(size)) if self.norm else {}),
            **(under("pooler.", self.pooler.tree(size)) if self.pooler else {}),
            **(under("head.", self.head.tree(size, self.vocab_size)) if self.head else {}),
            **(under("next_sentence.", self.next_sentence.tree(size)) if self.next_sentence else {}),
        }


@dataclass(frozen=True, kw_only=True)
class DisentangledEncoder(Encoder):
    """An encoder whose attentions share a table of distances (DeBERTa).

    distances: its rows, 0: none. distance_norm: of its rows.
    """

    distances: int = 0
    distance_norm: Norm | None = None

    def tree(self) -> Tree:
        size = self.hidden_size
        return {
            **super().tree(),
            **({"distance_embedding.weight": Parameter((self.distances, size))} if self.distances else {}),
            **(under("distance_norm.", self.distance_norm.tree(size)) if self.distance_norm else {}),
        }


@dataclass(frozen=True, kw_only=True)
class LongEncoder(Encoder):
    """An encoder whose attentions are local but for a few tokens (Longformer).

    global_tokens: which these are where a forward is not told: `none`; the `first`, as classes of texts were
    learned; those of the `question`, all before the first `sep_token_id`; those of the `choice`, all after it
    but the next one.
    """

    unread = ("relative_bias",)
    attentions_unread = ("alibi", "rotary")

    global_tokens: Literal["none", "first", "question", "choice"] = "none"
    sep_token_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class PermutationEncoder(Encoder):
    """An encoder whose attentions know distances and segments, pretrained on permuted orders (XLNet).

    Its mask_embedding stands for a token to be foretold, in pretraining alone.
    """

    unread = (
        "embedding_norm",
        "positions",
        "relative_bias",
        "type_vocab_size",
        "task_vocab_size",
        "embedding_size",
    )
    attentions_unread = ("window", "alibi", "rotary")

    def tree(self) -> Tree:
        return {**super().tree(), "mask_embedding": Parameter((1, 1, self.hidden_size))}


@dataclass(frozen=True, kw_only=True)
class Decoder(_TextModel):
    """Embeddings, causal blocks, a last norm, and a language head where the checkpoint carries one.

    embedding_size: of the embedding where it is not hidden_size: a product leads to the blocks, another back
    (OPT 350M). embedding_scale: of the embedding. norm: None where the last block's output is the model's.
    num_mtp_layers: how many layers that predict further tokens the checkpoint has after the last
    (arXiv:2412.19437 §2.2); they are not run.
    """

    norm: Norm | None
    positions: Learned | None = None
    head: LanguageHead | ClassificationHead | None = None
    embedding_size: int | None = None
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    num_mtp_layers: int = 0

    def projections(self) -> dict[str, Linear]:
        """The products between an embedding of another size and the blocks."""
        if self.embedding_size is None:
            return {}
        size, hidden = self.embedding_size, self.hidden_size
        return {
            "project_in": Linear(outputs=hidden, inputs=size),
            "project_out": Linear(outputs=size, inputs=hidden),
        }

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.head.name,) if self.head else ()

    def tree(self) -> Tree:
        size = self.hidden_size
        embedded = self.embedding_size or size
        return {
            "embedding.weight": Parameter((self.vocab_size, embedded), 0),
            **(under("embedding_norm.", self.embedding_norm.tree(size)) if self.embedding_norm else {}),
            **(under("position_embedding.", self.positions.tree(size)) if self.positions else {}),
            **nested({name: linear.tree() for name, linear in self.projections().items()}),
            **stack(self.blocks, size),
            **(under("norm.", self.norm.tree(size)) if self.norm else {}),
            **(under("head.", self.head.tree(embedded, self.vocab_size)) if self.head else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two stacks of an encoder-decoder.

    positions: one bias for all layers (T5), or vectors added to the embedding (BART); None where each layer
    has a bias of its own (UMT5). embedding_norm: of the sum of the two, or (norm_first) of the embedding
    alone, which is not scaled then. norm: None where the last block's output is the stack's.
    """

    blocks: tuple[Block, ...]
    norm: Norm | None
    positions: RelativeBias | Learned | Sinusoidal | None
    embedding_norm: Norm | None = None
    norm_first: bool = False

    def __post_init__(self) -> None:
        _refuse_in_attentions(self.blocks, ("window", "alibi", "rotary"), "an encoder-decoder")

    @property
    def is_relative(self) -> bool:
        """Whether its attentions learn what distances mean."""
        return isinstance(self.positions, RelativeBias) or any(
            block.attention.relative_bias for block in self.blocks
        )

    def tree(self, hidden_size: int) -> Tree:
        bias = self.positions if isinstance(self.positions, RelativeBias) else None
        table = self.positions if isinstance(self.positions, Learned) else None
        return {
            **(under("position_bias.", bias.tree()) if bias else {}),
            **(under("position_embedding.", table.tree(hidden_size)) if table else {}),
            **nested({name: norm.tree(hidden_size) for name, norm in self.norms().items()}),
            **stack(self.blocks, hidden_size),
        }

    def norms(self) -> dict[str, Norm]:
        """Its norms by name, beside those of its blocks."""
        norms = {"embedding_norm": self.embedding_norm, "norm": self.norm}
        return {name: norm for name, norm in norms.items() if norm is not None}


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(_TextModel):
    """Two stacks, mostly over one embedding; `blocks` are the decoder's.

    decoder: None where the checkpoint is the encoder alone (T5EncoderModel), whose `blocks` they then are.
    decoder_embedding: whether the decoder has an embedding of its own; `embedding` is the encoder's then.
    embedding_scale: of the embedding. repeats_source: what the decoder reads where it is given nothing, after
    the start token: the source, or nothing more. starts_with_last: the source's last token, its language,
    then takes the start token's place (mBART). head: a text's class (`pooled`) is told at the source's last
    end token.
    """

    encoder: Side
    decoder: Side | None
    head: LanguageHead | ClassificationHead | None
    decoder_start_token_id: int
    decoder_embedding: bool = False
    embedding_scale: float = 1.0
    repeats_source: bool = False
    starts_with_last: bool = False
    blocks: tuple[Block, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", (self.decoder or self.encoder).blocks)
        super().__post_init__()

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.head.name,) if self.head else ()

    def tree(self) -> Tree:
        size = self.hidden_size
        table = Parameter((self.vocab_size, size), 0)
        return {
            "embedding.weight": table,
            **({"decoder_embedding.weight": table} if self.decoder_embedding else {}),
            **under("encoder.", self.encoder.tree(size)),
            **(under("decoder.", self.decoder.tree(size)) if self.decoder else {}),
            **(under("head.", self.head.tree(size, self.vocab_size)) if self.head else {}),
        }


@dataclass(frozen=True, kw_only=True)
class ImageEncoder(_Model):
    """Patches of an image, blocks that see all of them, a last norm, and the heads the checkpoint carries."""

    attentions_unread = ("window", "alibi", "rotary")

    patches: Patches
    norm: Norm
    pooler: Pooler | None = None
    head: ImageClassificationHead | None = None
    max_position_embeddings: int | None = None

    @property
    def vocab_size(self) -> None:
        """It has none."""

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(head.name for head in (self.head, self.pooler) if head is not None)

    def tree(self) -> Tree:
        size = self.hidden_size
        return {
            **under("patches.", self.patches.tree(size)),
            **stack(self.blocks, size),
            **under("norm.", self.norm.tree(size)),
            **(under("pooler.", self.pooler.tree(size)) if self.pooler else {}),
            **(under("head.", self.head.tree(size)) if self.head else {}),
        }


ModelConfig: TypeAlias = "Encoder | Decoder | EncoderDecoder | ImageEncoder"

MOST_PARTS = 100_000  # layers and experts together; the largest models have some tens of thousands


def check_size(config: ModelConfig) -> None:
    """Raise ConfigurationInvalid for a model of more parts than any has: configurations are untrusted."""
    blocks = (*config.encoder.blocks, *config.blocks) if isinstance(config, EncoderDecoder) else config.blocks
    parts = sum(
        block.feedforward.num_experts if isinstance(block.feedforward, Experts) else 1 for block in blocks
    )
    if parts > MOST_PARTS:
        raise ConfigurationInvalid(f"implies {parts} layers and experts; expected at most {MOST_PARTS}")
