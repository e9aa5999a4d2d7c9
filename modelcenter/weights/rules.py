"""What a family's file writes: a table from our parameters to the checkpoint's tensors.

A bare string is a rename, so the table reads as one, and only what is special is an operation. `.*` stands
for the weight, and for the bias where our parameter has one. From the one table follow import, export,
partial reads and the audit; nothing here changes a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

import numpy as np

from modelcenter.weights.indices import Shape, Want, whole
from modelcenter.weights.relations import (
    Concat,
    Piece,
    Relation,
    Row,
    Source,
    Stack,
    Take,
    Transposed,
    names,
    pieces,
    renamed,
)

Rules = dict[str, Relation]
RulesLike = Mapping[str, "Relation | str"]
Block = TypeVar("Block", bound=Hashable)


def relation(rule: Relation | str) -> Relation:
    """A bare name is a plain rename."""
    return Source((rule,)) if isinstance(rule, str) else rule


def src(*names: str, length: int | None = None) -> Source:
    """A checkpoint tensor, under the first of `names` that the checkpoint has."""
    return Source(names, length)


def concat(*parts: Relation | str, dim: int = 0) -> Concat:
    """The parts one after the other along `dim`; all but one say their length."""
    return Concat(tuple(map(relation, parts)), dim)


def take(rule: Relation | str, order: Collection[int], of: int, dim: int = 0) -> Take:
    """`rule[order]` along `dim`, of a tensor that has `of` elements there."""
    return Take(relation(rule), np.asarray(order, dtype=np.int64), of, dim)


def transposed(rule: Relation | str) -> Relation:
    """The same of tensors that the checkpoint keeps the other way round."""
    made = relation(rule)
    match made:
        case Source():
            return Transposed(made, made.length)
        case Take():
            return replace(made, inner=transposed(made.inner))
        case Concat() | Stack():
            return replace(made, parts=tuple(map(transposed, made.parts)))
        case _:
            raise TypeError(f"{type(made).__name__} says itself how its tensor is kept")


def experts(rules: Collection[Relation | str]) -> Stack:
    """One tensor of all experts, each along a new first dimension."""
    return Stack(tuple(map(relation, rules)))


def row(rule: Relation | str) -> Row:
    """The only row of a tensor that is stored with one dimension more, of one element."""
    return Row(relation(rule))


def each(count: int, ours: str, theirs: str, rules: RulesLike) -> Rules:
    """The rules of one layer, for layers 0 to count - 1; `{i}` in the two prefixes is the layer."""
    return each_block(range(count), ours, theirs, lambda _: rules)


def each_block(blocks: Iterable[Block], ours: str, theirs: str, rules: Callable[[Block], RulesLike]) -> Rules:
    """The rules of layers that may differ, of each its own; `{i}` in the two prefixes is the layer."""
    known: dict[Block, dict[str, Relation]] = {}  # equal blocks have equal rules

    def layer(i: int, rule: Relation) -> Relation:
        prefix = theirs.replace("{i}", str(i))
        return renamed(rule, lambda names: tuple(prefix + name for name in names))

    made: Rules = {}
    for i, block in enumerate(blocks):
        if block not in known:
            known[block] = {name: relation(rule) for name, rule in rules(block).items()}
        own = ours.replace("{i}", str(i))
        made.update({own + name: layer(i, rule) for name, rule in known[block].items()})
    return made


def within(part: str, rules: RulesLike) -> RulesLike:
    """The rules of a part, as those of the block that holds it."""
    return {f"{part}.{name}": rule for name, rule in rules.items()}


# --- where q, k, v, gate and up are: said once by the family, derived for the layout that the config asks for


class AttentionLayout(Protocol):
    """What the helpers below need of an attention's config."""

    @property
    def num_heads(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def layout(self) -> str: ...
    @property
    def transposed(self) -> bool: ...


class PairLayout(Protocol):
    """What the helpers below need of a gated feedforward's config."""

    @property
    def intermediate_size(self) -> int: ...
    @property
    def block_rows(self) -> int: ...
    @property
    def layout(self) -> str: ...


def group_rows(a: AttentionLayout, slots: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The order of the rows of [q | k | v] that puts, for each key/value head, its query heads, then k, then
    v.

    slots: how many heads each section has per key/value head: (queries, 1, 1), or (1, 1) for [k | v].
    """
    widths = [slot * a.num_kv_heads * a.head_dim for slot in slots]
    starts = np.cumsum([0, *widths[:-1]])
    sections = [
        np.arange(start, start + width, dtype=np.int64).reshape(a.num_kv_heads, -1)
        for start, width in zip(starts, widths, strict=True)
    ]
    return np.concatenate(sections, axis=1).reshape(-1)


def qkv_separate(a: AttentionLayout, q: str, k: str, v: str) -> RulesLike:
    """Rules of `qkv.*` (or q, k, v) from a checkpoint that stores three matrices, given as `name.*`."""
    if a.layout == "separate":
        return {"q.*": q, "k.*": k, "v.*": v}
    queries, keys = a.num_heads * a.head_dim, a.num_kv_heads * a.head_dim
    dim = -1 if a.transposed else 0
    joined = concat(src(q, length=queries), src(k, length=keys), src(v, length=keys), dim=dim)
    if a.layout == "sections":
        return {"qkv.*": joined}
    order = group_rows(a, (a.num_heads // a.num_kv_heads, 1, 1))
    return {"qkv.*": take(joined, order, len(order), dim)}


def qkv_sections(a: AttentionLayout, qkv: str) -> RulesLike:
    """Rules of `qkv.*` (or q, k, v) from a checkpoint that stores one matrix [q | k | v]."""
    queries, keys = a.num_heads * a.head_dim, a.num_kv_heads * a.head_dim
    dim, total = -1 if a.transposed else 0, queries + 2 * keys
    if a.layout == "sections":
        return {"qkv.*": qkv}
    if a.layout == "groups":
        return {"qkv.*": take(qkv, group_rows(a, (a.num_heads // a.num_kv_heads, 1, 1)), total, dim)}
    return {
        "q.*": take(qkv, range(queries), total, dim),
        "k.*": take(qkv, range(queries, queries + keys), total, dim),
        "v.*": take(qkv, range(queries + keys, total), total, dim),
    }


def qkv_groups(a: AttentionLayout, qkv: str) -> RulesLike:
    """Rules of `qkv.*` (or q, k, v) from one matrix stored as [q1..qn, k1, v1, q1..qn, k2, v2, ..]."""
    if a.layout == "groups":
        return {"qkv.*": qkv}
    order = group_rows(a, (a.num_heads // a.num_kv_heads, 1, 1))
    total, dim = len(order), -1 if a.transposed else 0
    sections = np.argsort(order)  # where each row of [q | k | v] lies in the grouped matrix
    if a.layout == "sections":
        return {"qkv.*": take(qkv, sections, total, dim)}
    queries, keys = a.num_heads * a.head_dim, a.num_kv_heads * a.head_dim
    return {
        "q.*": take(qkv, sections[:queries], total, dim),
        "k.*": take(qkv, sections[queries : queries + keys], total, dim),
        "v.*": take(qkv, sections[queries + keys :], total, dim),
    }


def kv_separate(a: AttentionLayout, k: str, v: str) -> RulesLike:
    """Rules of a cross-attention's `kv.*` (or k, v) from a checkpoint that stores two matrices."""
    if a.layout == "separate":
        return {"k.*": k, "v.*": v}
    keys = a.num_kv_heads * a.head_dim
    joined = concat(src(k, length=keys), src(v, length=keys))
    return {"kv.*": take(joined, group_rows(a, (1, 1)), 2 * keys)}


def kv_pairs(a: AttentionLayout, kv: str) -> RulesLike:
    """Rules of a cross-attention's `kv.*` (or k, v) from one matrix stored as [k1, v1, k2, v2, ..]."""
    if a.layout == "groups":
        return {"kv.*": kv}
    places = np.argsort(group_rows(a, (1, 1)))  # where each row of [k | v] lies among the pairs
    keys, total = a.num_kv_heads * a.head_dim, len(places)
    return {"k.*": take(kv, places[:keys], total), "v.*": take(kv, places[keys:], total)}


def gate_up_separate(f: PairLayout, gate: str, up: str) -> RulesLike:
    """Rules of `gate_up.*` (or gate, up) from a checkpoint that stores two matrices."""
    if f.layout == "separate":
        return {"gate.*": gate, "up.*": up}
    return {"gate_up.*": paired(f, gate, up)}


def paired(f: PairLayout, gate: str, up: str) -> Relation:
    """One matrix of gate and up, in alternating blocks or in two sections."""
    size = f.intermediate_size
    joined = concat(src(gate, length=size), src(up, length=size))
    return joined if f.layout == "sections" else take(joined, alternating(f), 2 * size)


def alternating(f: PairLayout) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The order of the rows of [gate | up] that puts blocks of them by turns: [g1, u1, g2, u2, ..]."""
    rows = np.arange(2 * f.intermediate_size, dtype=np.int64)
    return rows.reshape(2, -1, f.block_rows).swapaxes(0, 1).reshape(-1)


def alternating_halves(f: PairLayout, gate_up: str) -> RulesLike:
    """Rules of gate and up from one matrix in which blocks of them lie by turns."""
    places = np.argsort(alternating(f))
    size, total = f.intermediate_size, len(places)
    if f.layout == "sections":
        return {"gate_up.*": take(gate_up, places, total)}
    return {"gate.*": take(gate_up, places[:size], total), "up.*": take(gate_up, places[size:], total)}


def gate_up_sections(f: PairLayout, gate_up: str) -> RulesLike:
    """Rules of `gate_up.*` (or gate, up) from a checkpoint that stores one matrix [gate | up]."""
    if f.layout == "sections":
        return {"gate_up.*": gate_up}
    size, total = f.intermediate_size, 2 * f.intermediate_size
    if f.layout == "alternating":
        return {"gate_up.*": take(gate_up, alternating(f), total)}
    return {
        "gate.*": take(gate_up, range(size), total),
        "up.*": take(gate_up, range(size, total), total),
    }


# --- the table

# What wrappers put before every name: DataParallel, torch.compile, PEFT (once its adapters are merged).
WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")


def wrapper(header: Collection[str]) -> str:
    """What every name of a checkpoint begins with where a wrapped model was saved; empty: none was."""
    found = ""
    for outer in WRAPPERS * 2 if header else ():  # in any order, and not without an end
        if all(name.startswith(found + outer) for name in header):
            found += outer
    return found


@dataclass(frozen=True)
class WeightMap:
    """The rules of one model in one dialect of names, bound to the parameters it has.

    rules: our parameter (or `name.*`) -> relation. parameters: the shape of each of ours.
    copies: a redundant tensor of the checkpoint -> the tensor it repeats; compared, never dropped. stand_ins:
    once bound, a copy that is read because the checkpoint lacks the tensor it repeats -> that one. apart:
    copies that may hold values of their own, so that they never stand in.
    derived: patterns (fnmatch) of tensors that follow from the configuration: rotary tables, masks, position
    ids.
    optional_prefix: what base models' files lack at the start of their names (`bert.`, `model.`);
    prefixes: what some files have in its place.
    shared: patterns of tensors that several parameters of ours read whole (ALBERT's layers).
    unused: patterns of learned tensors that nothing reads: layers that predict further tokens, heads of
    pretraining left in the file.
    """

    rules: Rules
    parameters: Mapping[str, Shape]
    copies: Mapping[str, str] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    optional_prefix: str = ""
    shared: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    apart: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Shape],
        rules: RulesLike,
        *,
        copies: Mapping[str, str] | None = None,
        derived: tuple[str, ...] = (),
        optional_prefix: str = "",
        shared: tuple[str, ...] = (),
        unused: tuple[str, ...] = (),
        prefixes: tuple[str, ...] = (),
        apart: tuple[str, ...] = (),
    ) -> WeightMap:
        """The map of `parameters`, every `.*` of `rules` written out for those that exist."""
        made = dict(expanded(rules, parameters))
        return cls(
            made, parameters, copies or {}, derived, optional_prefix, shared, unused, prefixes, apart=apart
        )

    def bind(self, header: Collection[str]) -> WeightMap:
        """The same map with the names that this checkpoint uses.

        Of alternatives the first that is there is chosen, else a copy that stands in for it. A name that is
        missing keeps its first alternative, for the audit to tell.
        """
        local = self._spelling(header)
        stand_ins = self._stand_ins(header, local)
        chosen: dict[str, str] = {}

        def choose(alternatives: tuple[str, ...]) -> tuple[str, ...]:
            spelled = tuple(map(local, alternatives))
            there = (name for name in spelled if name in header)
            chosen[spelled[0]] = next(there, stand_ins.get(spelled[0], spelled[0]))
            return (chosen[spelled[0]],)

        rules = {ours: renamed(rule, choose) for ours, rule in self.rules.items()}
        copies = {local(copy): chosen.get(local(of), local(of)) for copy, of in self.copies.items()}
        return replace(
            self,
            rules=rules,
            copies={copy: original for copy, original in copies.items() if copy != original},
            stand_ins={c: o for o, c in stand_ins.items() if chosen.get(o) == c},
            derived=tuple(map(local, self.derived)),
            shared=tuple(map(local, self.shared)),
            unused=tuple(map(local, self.unused)),
        )

    def _spelling(self, header: Collection[str]) -> Callable[[str], str]:
        """Our spelling of a name -> the file's: within what wraps the model, its optional prefix kept,
        replaced or dropped, whichever finds most."""
        outer, own = wrapper(header), self.optional_prefix

        def found(prefix: str) -> int:
            spelled = {name for rule in self.rules.values() for name in names(rule) if name.startswith(own)}
            return sum(outer + prefix + name.removeprefix(own) in header for name in spelled)

        prefix = own and max((own, *self.prefixes, ""), key=found)
        return lambda name: outer + (prefix + name.removeprefix(own) if name.startswith(own) else name)

    def _stand_ins(self, header: Collection[str], local: Callable[[str], str]) -> dict[str, str]:
        """A tensor that the file lacks -> the first copy of it that is there and that no rule reads as its
        own: files that keep one name of tied tensors keep any of them."""
        there = [c for c, of in self.copies.items() if local(c) in header and local(of) not in header]
        read = {n for rule in self.rules.values() for n in names(rule)} | {*self.apart} if there else set()
        return {local(self.copies[c]): local(c) for c in reversed(there) if c not in read}

    def is_shared(self, name: str) -> bool:
        """Whether several parameters of ours may read that tensor."""
        return any(fnmatchcase(name, pattern) for pattern in self.shared)

    def pieces(self, name: str, want: Want | None = None) -> Iterator[Piece]:
        """The gathers that make our parameter `name`, or the part of it that is wanted."""
        shape = self.parameters[name]
        return pieces(self.rules[name], shape, whole(shape) if want is None else want)


def expanded(rules: RulesLike, parameters: Mapping[str, Shape]) -> Iterator[tuple[str, Relation]]:
    """(our parameter, its relation) for every parameter that a rule names, `.*` written out."""
    for name, rule in rules.items():
        if name in parameters:
            yield name, relation(rule)
        for kind in ("weight", "bias"):
            ours = f"{name[:-1]}{kind}"
            if name.endswith(".*") and ours in parameters:

                def spelled(names: tuple[str, ...], kind: str = kind) -> tuple[str, ...]:
                    return tuple(n[:-1] + kind if n.endswith(".*") else n for n in names)

                yield ours, renamed(relation(rule), spelled)
