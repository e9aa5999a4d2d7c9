"""The audit and the plan: a weight map held against a checkpoint's header. Arithmetic on names, shapes and
ranges.

The audit proves that every tensor is accounted for before a byte of weights is read; the plan lists the
copies that make the wanted parameters, in the order of the files. Knows headers, not bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import prod
from typing import Protocol

from modelcenter.errors import SHOWN, Mismatch, listed
from modelcenter.weights.indices import Shape, Want, whole
from modelcenter.weights.relations import Piece, sources
from modelcenter.weights.rules import WeightMap


class Tensor(Protocol):
    """What a header says of a tensor."""

    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def file(self) -> str: ...
    @property
    def start(self) -> int: ...


@dataclass(frozen=True)
class Missing:
    """A tensor that a parameter of ours needs and the checkpoint lacks."""

    name: str
    parameter: str
    shape: Shape  # the shape it should have; empty where only an index tells of it

    def __str__(self) -> str:
        return f"{self.name} {self.shape}" if self.shape else self.name


@dataclass(frozen=True)
class Misshapen:
    """A tensor whose shape is not what the configuration implies."""

    name: str
    found: Shape
    expected: Shape
    file: str

    def __str__(self) -> str:
        return f"{self.name} is {self.found} in {self.file}; config.json needs {self.expected}"


@dataclass(frozen=True)
class Unexpected:
    """A tensor that no rule reads."""

    name: str
    shape: Shape
    file: str

    def __str__(self) -> str:
        return f"{self.name} {self.shape} in {self.file}" if self.shape else self.name


@dataclass(frozen=True)
class Mistyped:
    """A tensor whose values are codes or flags where weights are expected."""

    name: str
    dtype: str
    file: str

    def __str__(self) -> str:
        return f"{self.name} holds {self.dtype} in {self.file}; expected floating values"


@dataclass(frozen=True)
class Audit:
    """Every tensor of a checkpoint and every parameter of ours, accounted for.

    read: tensors that rules read. derived: tensors that follow from the configuration. copies: redundant
    tensors, with the tensor each repeats, to be compared. unused: tensors of heads that were not asked
    for, of layers that are never run, or learned ones that pretraining left behind.
    unread: tensors of which rules read a part only, with the share that is left. repeated: read more than
    once.
    """

    missing: tuple[Missing, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    misshapen: tuple[Misshapen, ...] = ()
    mistyped: tuple[Mistyped, ...] = ()
    unread: tuple[tuple[str, float], ...] = ()
    repeated: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the checkpoint maps onto the model with every tensor accounted for."""
        problems = (self.missing, self.unexpected, self.misshapen, self.mistyped, self.unread, self.repeated)
        return not any(problems)

    def problems(self) -> str:
        """The sentence that names what is wrong, empty where nothing is."""
        parts = []
        if self.missing:
            parts.append(f"missing: {listed(self.missing)}")
        if self.unexpected:
            parts.append(f"unexpected: {listed(self.unexpected)}")
        if self.misshapen:
            parts.append(f"misshapen: {listed(self.misshapen)}")
        if self.mistyped:
            parts.append(f"mistyped: {listed(self.mistyped)}")
        if self.unread:
            parts.append(f"read in part: {listed(f'{n} ({share:.0%} left)' for n, share in self.unread)}")
        if self.repeated:
            parts.append(f"read more than once: {listed(self.repeated)}")
        return "; ".join(parts)

    def require(self, place: object) -> None:
        """Raise Mismatch, naming every difference (the first ten of a kind), unless the audit is clean."""
        if not self.ok:
            raise Mismatch(
                f"{place} does not hold the tensors that its config.json implies. {self.problems()}. "
                "Is config.json from another model or size, or the file not whole?",
                self,
            )


def audit(
    weights: WeightMap,
    header: Mapping[str, Tensor],
    spare: WeightMap | None = None,
    dtypes: Collection[str] | None = None,
) -> Audit:
    """Hold a bound map against a header.

    dtypes: those that weights may have; None: any. spare: the map of the whole model where `weights` leaves
    heads out; what only it reads is `unused`. What is derived must have a shape of its kind. A parameter of
    ours without a rule is a mistake in a family's file and fails an assertion.
    """
    missing: dict[str, Missing] = {}
    misshapen: dict[str, Misshapen] = {}
    read: dict[str, int] = {}
    implied: dict[str, Shape] = {}
    makes: dict[str, str] = {}
    for ours, shape in weights.parameters.items():
        assert ours in weights.rules, f"no rule for {ours}"
        for source, expected in sources(weights.rules[ours], shape):
            name = source.names[0]
            implied[name], makes[name] = expected, ours
            if name not in header:
                missing.setdefault(name, Missing(name, ours, expected))
            elif tuple(header[name].shape) != expected:
                misshapen[name] = Misshapen(name, tuple(header[name].shape), expected, header[name].file)
        for piece in weights.pieces(ours):
            read[piece.source] = read.get(piece.source, 0) + prod(map(len, piece.src))
    others = {name for rule in _rules(spare) for name in rule} - set(read)
    others |= {n for n in header if any(fnmatchcase(n, p) for p in weights.unused)} - set(read)
    copies = {
        copy: original
        for copy, original in weights.copies.items()
        if copy in header and original in header and copy not in read and copy not in others
    }
    for copy, original in list(copies.items()):
        found = tuple(header[copy].shape)
        if found != implied.get(original, found):
            misshapen[copy] = Misshapen(copy, found, implied[original], header[copy].file)
            del copies[copy]
    rest = [n for n in header if n not in read and n not in copies and n not in misshapen and n not in others]
    by_pattern = [name for name in rest if any(fnmatchcase(name, pattern) for pattern in weights.derived)]
    for name in by_pattern:
        found = tuple(header[name].shape)
        if found != (expected := derived_shape(name, found)):
            misshapen[name] = Misshapen(name, found, expected, header[name].file)
    derived = [name for name in by_pattern if name not in misshapen]
    known = {name: count for name, count in read.items() if name in header and name not in misshapen}
    unexpected = [
        Unexpected(name, tuple(header[name].shape), header[name].file)
        for name in rest
        if name not in set(by_pattern)
    ]
    for copy, original in weights.stand_ins.items():
        # A stranger of its shape is the original under another name, so both names are told.
        if any(stranger.shape == implied[copy] for stranger in unexpected):
            missing.setdefault(original, Missing(original, makes[copy], implied[copy]))
    return Audit(
        missing=tuple(missing.values()),
        unexpected=tuple(unexpected),
        misshapen=tuple(misshapen.values()),
        mistyped=tuple(
            Mistyped(name, header[name].dtype, header[name].file)
            for name in read
            if dtypes is not None and name in header and header[name].dtype not in dtypes
        ),
        unread=tuple(
            (name, 1 - count / prod(header[name].shape))
            for name, count in known.items()
            if count < prod(header[name].shape)
        ),
        repeated=tuple(
            name
            for name, count in known.items()
            if count > (size := prod(header[name].shape)) and (count % size or not weights.is_shared(name))
        ),
        read=tuple(name for name in header if name in read),
        derived=tuple(derived),
        copies=copies,
        unused=tuple(name for name in header if name in others),
    )


def _last(shape: Shape) -> int:
    return max(shape[-1], 1) if shape else 1


def _frequencies(shape: Shape) -> Shape:
    """(n,)"""
    return (_last(shape),)


def _positions(shape: Shape) -> Shape:
    """(n,) or (1, n)"""
    return (_last(shape),) if len(shape) == 1 else (1, _last(shape))


def _mask(shape: Shape) -> Shape:
    """(n, n), with any number of ones before"""
    return (*(1 for _ in shape[:-2]), _last(shape), _last(shape))


def _value(shape: Shape) -> Shape:
    """One element"""
    return shape if prod(shape) == 1 else ()


def _table(shape: Shape) -> Shape:
    """(positions, n)"""
    return max(prod(shape[:-1]), 1), _last(shape)


# How the name of a derived tensor ends -> the shape of its kind that is nearest to a found one, which is that
# same shape where it can be of the kind. Sizes are free: masks are as long as the code that wrote them liked.
DERIVED: Mapping[str, Callable[[Shape], Shape]] = {
    "inv_freq": _frequencies,
    "position_ids": _positions,
    "attn.bias": _mask,
    "attention.bias": _mask,
    "causal_mask": _mask,
    "masked_bias": _value,
    ".version": _value,
    "embed_positions": _table,
    "embed_positions.weight": _table,
    "embed_positions.weights": _table,
}


def derived_shape(name: str, found: Shape) -> Shape:
    """The shape that a derived tensor should have: `found` if it can be of its kind, else the nearest.

    A pattern of no kind of `DERIVED` is a mistake in a family's file and fails an assertion.
    """
    kinds = [nearest for end, nearest in DERIVED.items() if name.endswith(end)]
    assert kinds, f"{name} is of no kind of derived tensor"
    return kinds[0](found)


def _rules(weights: WeightMap | None) -> Iterator[list[str]]:
    if weights is not None:
        for ours, shape in weights.parameters.items():
            yield [source.names[0] for source, _ in sources(weights.rules[ours], shape)]


@dataclass(frozen=True, eq=False)
class Assignment:
    """How one parameter comes about: the shape of what is wanted of it, the gathers that make it."""

    parameter: str
    shape: Shape
    pieces: tuple[Piece, ...]

    def elements_by_source(self) -> Iterator[tuple[str, int]]:
        """(stored tensor, how many of its elements are read), once a gather."""
        for piece in self.pieces:
            yield piece.source, prod(map(len, piece.src))

    @property
    def is_view(self) -> bool:
        """Whether it is one rectangle of one tensor, in its order: no copy where the dtype stays too."""
        if len(self.pieces) != 1:
            return False
        piece = self.pieces[0]
        return piece.dims == tuple(range(len(piece.src))) and all(
            isinstance(index, range) for index in (*piece.src, *piece.dst)
        )

    def __str__(self) -> str:
        """A line for each box: `blocks.0.attention.qkv.weight[0:64, 0:96] <- …q_proj.weight[0:64, 0:96]`."""

        def span(box: Iterable[range]) -> str:
            return ", ".join(f"{r.start}:{r.stop}" for r in box)

        return "\n".join(
            f"{self.parameter}[{span(ours)}] <- {piece.source}[{span(theirs)}]"
            for piece in self.pieces
            for theirs, ours in piece.boxes()
        )


def plan(weights: WeightMap, header: Mapping[str, Tensor], wants: Mapping[str, Want]) -> list[Assignment]:
    """The assignments that make every parameter, or what `wants` names of it, in the order of the files."""
    assignments = []
    for ours, shape in weights.parameters.items():
        want = wants.get(ours, whole(shape))
        gathers = sorted(weights.pieces(ours, want), key=lambda piece: _place(header, piece.source))
        assignments.append(Assignment(ours, tuple(len(index) for index in want), tuple(gathers)))
    return sorted(assignments, key=lambda a: _place(header, a.pieces[0].source) if a.pieces else ("", 0))


def _place(header: Mapping[str, Tensor], name: str) -> tuple[str, int]:
    return header[name].file, header[name].start


__all__ = ["SHOWN", "Assignment", "Audit", "Misshapen", "Missing", "Tensor", "Unexpected", "audit", "plan"]
