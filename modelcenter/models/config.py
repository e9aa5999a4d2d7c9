"""Architectures as data: what a model is made of, the shape of every parameter and the dimension it shards
along.

Plain frozen dataclasses, no torch. The torch modules are built from them, so that matching, auditing and
planning a checkpoint are arithmetic on headers. Values only: two layers with equal configs are equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Literal, TypeAlias

from modelcenter.errors import CannotShard, ConfigurationInvalid

Shape: TypeAlias = "tuple[int, ...]"
Tree: TypeAlias = "dict[str, Parameter]"

Layout = Literal["groups", "sections", "separate"]
PairLayout = Literal["alternating", "sections", "separate"]


@dataclass(frozen=True)
class Parameter:
    """The shape of a parameter and how it shards.

    shard_dim: the dimension that tensor parallelism splits, None: every rank holds it whole.
    unit: elements along it that must stay together (a group of heads, a pair of blocks); None: any split will
    do, also an uneven one (vocabulary rows).
    """

    shape: Shape
    shard_dim: int | None = None
    unit: int | None = None


def under(prefix: str, tree: Mapping[str, Parameter]) -> Tree:
    """`tree` with every name prefixed."""
    return {prefix + name: parameter for name, parameter in tree.items()}


# --- parts


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A product with a weight of (outputs, inputs), or of (inputs, outputs) where `transposed`.

    split: which side tensor parallelism divides; unit: see Parameter.
    """

    outputs: int
    inputs: int
    bias: bool = False
    transposed: bool = False
    split: Literal["outputs", "inputs"] | None = None
    unit: int | None = None

    def tree(self) -> Tree:
        shape = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        dim = None if self.split is None else int((self.split == "inputs") != self.transposed)
        tree = {"weight": Parameter(shape, dim, self.unit)}
        if self.bias:
            split = self.split == "outputs"
            tree["bias"] = Parameter((self.outputs,), 0 if split else None, self.unit if split else None)
        return tree


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Layer normalisation (arXiv:1607.06450) or the root mean square alone (arXiv:1910.07467)."""

    kind: Literal["layer", "rms"]
    eps: float
    bias: bool = False

    def tree(self, size: int) -> Tree:
        return {name: Parameter((size,)) for name in ("weight", "bias")[: 1 + self.bias]}


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """How rotary frequencies are stretched beyond the length of pretraining.

    linear: positions divided by `factor` (arXiv:2306.15595). llama3: low frequencies only, Llama 3.1's rule.
    yarn: by parts, with the attention scaled by `attention_factor` (arXiv:2309.00071).
    """

    kind: Literal["linear", "llama3", "yarn"]
    factor: float
    original_max_position_embeddings: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Rotary position embedding of the first `dim` elements of each head, in halves (arXiv:2104.09864)."""

    dim: int
    theta: float
    scaling: RotaryScaling | None = None


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Multi-head attention; groups of query heads share a key and a value head (arXiv:2305.13245).

    layout: how q, k and v lie in memory.
      groups    one matrix; for each key/value head its query heads, then k, then v:
                [q1..qn, k1, v1, q1..qn, k2, v2, ..]. A contiguous slice of it is a rank's share.
      sections  one matrix [q | k | v], as some checkpoints store it; it does not shard.
      separate  three matrices.
    scale: of the logits; None: 1/sqrt(head_dim). window: how many tokens back a query sees, itself included.
    transposed: the weights are kept (in, out).
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    causal: bool
    layout: Layout = "groups"
    bias: Literal["none", "qkv", "all"] = "none"
    scale: float | None = None
    rotary: Rotary | None = None
    window: int | None = None  # tokens
    transposed: bool = False

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ConfigurationInvalid(
                f"has {self.num_heads} heads and {self.num_kv_heads} key/value heads; "
                "expected a number of heads that is a multiple of the other"
            )
        if self.rotary is not None and (self.rotary.dim % 2 or not 0 < self.rotary.dim <= self.head_dim):
            raise ConfigurationInvalid(
                f"rotates {self.rotary.dim} of {self.head_dim} elements of a head; expected an even number"
            )

    @property
    def heads_per_group(self) -> int:
        """Query heads that share one key/value head."""
        return self.num_heads // self.num_kv_heads

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        """The products by name."""
        group = self.heads_per_group * self.head_dim

        def projection(outputs: int, unit: int, split: bool = True) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=self.bias != "none",
                transposed=self.transposed,
                split="outputs" if split else None,
                unit=unit,
            )

        queries, keys = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        if self.layout == "separate":
            inputs = {
                "q": projection(queries, group),
                "k": projection(keys, self.head_dim),
                "v": projection(keys, self.head_dim),
            }
        else:
            grouped = self.layout == "groups"
            inputs = {"qkv": projection(queries + 2 * keys, group + 2 * self.head_dim, split=grouped)}
        return {**inputs, "out": self._out(hidden_size)}

    def _out(self, hidden_size: int) -> Linear:
        return Linear(
            outputs=hidden_size,
            inputs=self.num_heads * self.head_dim,
            bias=self.bias == "all",
            transposed=self.transposed,
            split=None if self.layout == "sections" else "inputs",
            unit=self.heads_per_group * self.head_dim,
        )

    def tree(self, hidden_size: int) -> Tree:
        linears = self.linears(hidden_size)
        return {k: p for name, linear in linears.items() for k, p in under(f"{name}.", linear.tree()).items()}


@dataclass(frozen=True, kw_only=True)
class CrossAttention(Attention):
    """Attention whose keys and values come from another stack's output.

    layout `groups`: q alone, and one matrix of [k1, v1, k2, v2, ..]; `separate`: three matrices.
    """

    causal: bool = False

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        if self.layout == "separate":
            return super().linears(hidden_size)
        bias = self.bias != "none"
        group = self.heads_per_group * self.head_dim
        keys = self.num_kv_heads * self.head_dim
        q = Linear(
            outputs=self.num_heads * self.head_dim, inputs=hidden_size, bias=bias, split="outputs", unit=group
        )
        kv = Linear(outputs=2 * keys, inputs=hidden_size, bias=bias, split="outputs", unit=2 * self.head_dim)
        return {"q": q, "kv": kv, "out": self._out(hidden_size)}


def alternating_rows(intermediate_size: int) -> int:
    """Rows of a block where gate and up alternate.

    The largest power of two, at most 128, that leaves the number of blocks divisible by 16; below 32 rows,
    where the activation gets slow, by 8, then by 4.
    """
    for divisor, least in ((16, 32), (8, 32), (4, 1), (2, 1), (1, 1)):
        for rows in (128, 64, 32, 16, 8, 4, 2, 1):
            if rows >= least and intermediate_size % (rows * divisor) == 0:
                return rows
    return 1


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """Two products with an activation between them, the first gated or not (arXiv:2002.05202).

    layout of a gated pair: `alternating` blocks of `block_rows` rows of gate, then up: [g1, u1, g2, u2, ..],
    of which a contiguous slice is a rank's share; `sections` [gate | up]; `separate`, two matrices.
    """

    intermediate_size: int
    activation: str
    gated: bool
    bias: bool = False
    layout: PairLayout = "alternating"
    transposed: bool = False

    @property
    def block_rows(self) -> int:
        """Rows of a block where gate and up alternate."""
        return alternating_rows(self.intermediate_size)

    def linears(self, hidden_size: int) -> dict[str, Linear]:
        """The products by name."""
        sharded = not (self.gated and self.layout == "sections")
        unit = self.block_rows if self.gated and self.layout == "alternating" else 1

        def inward(outputs: int, unit: int) -> Linear:
            return Linear(
                outputs=outputs,
                inputs=hidden_size,
                bias=self.bias,
                transposed=self.transposed,
                split="outputs" if sharded else None,
                unit=unit,
            )

        if not self.gated:
            inputs = {"up": inward(self.intermediate_size, 1)}
        elif self.layout == "separate":
            inputs = {"gate": inward(self.intermediate_size, 1), "up": inward(self.intermediate_size, 1)}
        else:
            inputs = {"gate_up": inward(2 * self.intermediate_size, 2 * unit)}
        down = Linear(
            outputs=hidden_size,
            inputs=self.intermediate_size,
            bias=self.bias,
            transposed=self.transposed,
            split="inputs" if sharded else None,
            unit=unit,
        )
        return {**inputs, "down": down}

    def tree(self, hidden_size: int) -> Tree:
        linears = self.linears(hidden_size)
        return {k: p for name, linear in linears.items() for k, p in under(f"{name}.", linear.tree()).items()}


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A router that sends each token to `num_experts_per_token` gated feedforwards (arXiv:2401.04088).

    layout `alternating`: gate_up (experts, 2 * intermediate_size, hidden_size), the rows of each as in
    FeedForward, and down (experts, hidden_size, intermediate_size); `separate`: gate_E, up_E and down_E of
    each expert E. The router's probabilities are taken over all experts, then those of the chosen are
    normalised.
    """

    num_experts: int
    num_experts_per_token: int
    intermediate_size: int
    activation: str
    layout: PairLayout = "alternating"

    def __post_init__(self) -> None:
        if self.num_experts_per_token > self.num_experts:
            raise ConfigurationInvalid(
                f"chooses {self.num_experts_per_token} of {self.num_experts} experts; expected fewer"
            )

    @property
    def block_rows(self) -> int:
        """Rows of a block where gate and up alternate."""
        return alternating_rows(self.intermediate_size)

    def tree(self, hidden_size: int) -> Tree:
        size, experts, rows = self.intermediate_size, self.num_experts, self.block_rows
        tree = {"router.weight": Parameter((experts, hidden_size))}
        if self.layout == "separate":
            for e in range(experts):
                tree[f"gate_{e}"] = tree[f"up_{e}"] = Parameter((size, hidden_size), 0, 1)
                tree[f"down_{e}"] = Parameter((hidden_size, size), 1, 1)
            return tree
        tree["gate_up"] = Parameter((experts, 2 * size, hidden_size), 1, 2 * rows)
        tree["down"] = Parameter((experts, hidden_size, size), 2, rows)
        return tree


# --- positions of a stack


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned vector per position."""

    num_positions: int


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """T5's bias per head and bucket of distance, added to every layer's logits (arXiv:1910.10683 §2.1)."""

    num_buckets: int
    max_distance: int  # tokens
    bidirectional: bool
    num_heads: int

    def __post_init__(self) -> None:
        exact = self.num_buckets // (4 if self.bidirectional else 2)
        if not 0 < exact < self.max_distance:
            raise ConfigurationInvalid(
                f"puts distances up to {self.max_distance} into {self.num_buckets} buckets; "
                "expected at least four buckets, and more distances than buckets for exact ones"
            )

    def tree(self) -> Tree:
        return {"weight": Parameter((self.num_buckets, self.num_heads), 1, 1)}


# --- blocks and models


@dataclass(frozen=True, kw_only=True)
class Block:
    """One layer.

    norm_placement: `before`, x + f(norm(x)); `after_residual`, norm(x + f(x)), as BERT has it.
    residual: `sequential`, or `parallel`, x + attention(norm(x)) + feedforward(other_norm(x)), as GPT-NeoX
    has it.
    """

    attention: Attention
    feedforward: FeedForward | Experts
    norm: Norm
    cross_attention: CrossAttention | None = None
    norm_placement: Literal["before", "after_residual"] = "before"
    residual: Literal["sequential", "parallel"] = "sequential"

    def tree(self, hidden_size: int) -> Tree:
        norm = self.norm.tree(hidden_size)
        cross = self.cross_attention
        return {
            **under("attention_norm.", norm),
            **under("attention.", self.attention.tree(hidden_size)),
            **(under("cross_norm.", norm) if cross else {}),
            **(under("cross_attention.", cross.tree(hidden_size)) if cross else {}),
            **under("feedforward_norm.", norm),
            **under("feedforward.", self.feedforward.tree(hidden_size)),
        }


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """BERT's: a dense layer and tanh on the first token."""

    name = "pooling"

    def tree(self, hidden_size: int) -> Tree:
        return Linear(outputs=hidden_size, inputs=hidden_size, bias=True).tree()


@dataclass(frozen=True, kw_only=True)
class MaskedLanguageHead:
    """BERT's: dense, activation, norm, then the tied embedding and a bias per token of the vocabulary.

    Untied, a matrix with a bias of its own; the other bias then stays in the files, and no logit reads it.
    """

    activation: str
    norm: Norm
    tied: bool
    name = "masked-lm"

    def tree(self, hidden_size: int, vocab_size: int) -> Tree:
        return {
            **under("dense.", Linear(outputs=hidden_size, inputs=hidden_size, bias=True).tree()),
            **under("norm.", self.norm.tree(hidden_size)),
            "bias": Parameter((vocab_size,), 0),
            **({} if self.tied else under("decoder.", self.decoder(hidden_size, vocab_size).tree())),
        }

    def decoder(self, hidden_size: int, vocab_size: int) -> Linear:
        """The product that makes an untied head's logits."""
        return Linear(outputs=vocab_size, inputs=hidden_size, bias=True, split="outputs")


@dataclass(frozen=True, kw_only=True)
class NextSentenceHead:
    """BERT's: two logits from the pooled first token (arXiv:1810.04805 §3.1)."""

    name = "next-sentence"

    def tree(self, hidden_size: int) -> Tree:
        return Linear(outputs=2, inputs=hidden_size, bias=True).tree()


@dataclass(frozen=True, kw_only=True)
class LanguageHead:
    """Logits over the vocabulary: the embedding's transpose where tied, else a matrix of its own.

    scale: of the hidden states before it (T5's d_model ** -0.5). name: what `load(head=…)` calls it.
    """

    tied: bool
    scale: float = 1.0
    name: str = "causal-lm"

    def tree(self, hidden_size: int, vocab_size: int) -> Tree:
        return {} if self.tied else {"weight": Parameter((vocab_size, hidden_size), 0)}


def stack(blocks: Iterable[Block], hidden_size: int) -> Tree:
    """The parameters of `blocks.0.`, `blocks.1.`, …"""
    known: dict[Block, Tree] = {}  # equal blocks have equal trees; a model has few that differ
    tree: Tree = {}
    for i, block in enumerate(blocks):
        if block not in known:
            known[block] = block.tree(hidden_size)
        tree.update(under(f"blocks.{i}.", known[block]))
    return tree


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What all models have. `blocks` of uniform models are one value repeated."""

    vocab_size: int
    hidden_size: int
    max_position_embeddings: int | None  # tokens; None: no limit is declared
    blocks: tuple[Block, ...]
    pad_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

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

    @property
    def num_parameters(self) -> int:
        """How many elements all parameters have; a tied head adds none."""
        return sum(prod(shape) for shape in self.parameters().values())

    def shard_dims(self) -> dict[str, int | None]:
        """The dimension along which tensor parallelism splits every parameter, None: it is repeated."""
        return {name: parameter.shard_dim for name, parameter in self.tree().items()}


@dataclass(frozen=True, kw_only=True)
class Encoder(_Model):
    """Embeddings, blocks that see both ways, and the heads the checkpoint carries."""

    embedding_norm: Norm
    positions: Learned
    type_vocab_size: int
    pooler: Pooler | None = None
    head: MaskedLanguageHead | None = None
    next_sentence: NextSentenceHead | None = None

    @property
    def heads(self) -> tuple[str, ...]:
        return tuple(head.name for head in (self.head, self.pooler, self.next_sentence) if head is not None)

    def tree(self) -> Tree:
        size = self.hidden_size
        return {
            "embedding.weight": Parameter((self.vocab_size, size), 0),
            "position_embedding.weight": Parameter((self.positions.num_positions, size)),
            "type_embedding.weight": Parameter((self.type_vocab_size, size)),
            **under("embedding_norm.", self.embedding_norm.tree(size)),
            **stack(self.blocks, size),
            **(under("pooler.", self.pooler.tree(size)) if self.pooler else {}),
            **(under("head.", self.head.tree(size, self.vocab_size)) if self.head else {}),
            **(under("next_sentence.", self.next_sentence.tree(size)) if self.next_sentence else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Decoder(_Model):
    """Embeddings, causal blocks, a last norm, and a language head where the checkpoint carries one."""

    norm: Norm
    positions: Learned | None = None
    head: LanguageHead | None = None

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.head.name,) if self.head else ()

    def tree(self) -> Tree:
        size = self.hidden_size
        learned = self.positions
        return {
            "embedding.weight": Parameter((self.vocab_size, size), 0),
            **({"position_embedding.weight": Parameter((learned.num_positions, size))} if learned else {}),
            **stack(self.blocks, size),
            **under("norm.", self.norm.tree(size)),
            **(under("head.", self.head.tree(size, self.vocab_size)) if self.head else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two stacks of an encoder-decoder."""

    blocks: tuple[Block, ...]
    norm: Norm
    positions: RelativeBias

    def tree(self, hidden_size: int) -> Tree:
        return {
            **under("position_bias.", self.positions.tree()),
            **stack(self.blocks, hidden_size),
            **under("norm.", self.norm.tree(hidden_size)),
        }


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(_Model):
    """Two stacks over one embedding; `blocks` are the decoder's."""

    encoder: Side
    decoder: Side
    head: LanguageHead | None
    decoder_start_token_id: int
    blocks: tuple[Block, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", self.decoder.blocks)

    @property
    def heads(self) -> tuple[str, ...]:
        return (self.head.name,) if self.head else ()

    def tree(self) -> Tree:
        size = self.hidden_size
        return {
            "embedding.weight": Parameter((self.vocab_size, size), 0),
            **under("encoder.", self.encoder.tree(size)),
            **under("decoder.", self.decoder.tree(size)),
            **(under("head.", self.head.tree(size, self.vocab_size)) if self.head else {}),
        }


ModelConfig: TypeAlias = "Encoder | Decoder | EncoderDecoder"

MOST_PARTS = 100_000  # layers and experts together; the largest models have some tens of thousands


def check_size(config: ModelConfig) -> None:
    """Raise ConfigurationInvalid for a model of more parts than any has: configurations are untrusted."""
    blocks = (*config.encoder.blocks, *config.blocks) if isinstance(config, EncoderDecoder) else config.blocks
    parts = sum(
        block.feedforward.num_experts if isinstance(block.feedforward, Experts) else 1 for block in blocks
    )
    if parts > MOST_PARTS:
        raise ConfigurationInvalid(f"implies {parts} layers and experts; expected at most {MOST_PARTS}")


# --- a rank's share


def share(name: str, parameter: Parameter, rank: int, world: int) -> range:
    """The part of the shard dimension that `rank` of `world` holds.

    Even where units must stay together, else as DTensor splits: ceil(n / world) a rank, the last ones fewer
    or none. Raises CannotShard where `world` does not divide the units.
    """
    assert parameter.shard_dim is not None
    length = parameter.shape[parameter.shard_dim]
    if parameter.unit is not None and (length // parameter.unit) % world:
        raise CannotShard(name, length // parameter.unit, world)
    step = -(-length // world)
    return range(min(rank * step, length), min((rank + 1) * step, length))
