"""The commits of a repository as a graph in memory: what a client lacks of what it wants. Knows no bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelcenter.errors import Invalid
from modelcenter.registry.tables import Commit, CommitParent

INFINITE = 0x7FFFFFFF  # the depth that asks for all history


@dataclass(frozen=True, slots=True)
class Graph:
    """Parents and times (in seconds since 1970) of commits, by their ids; with each all before it."""

    parents: dict[str, list[str]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)

    def before(self, starts: Iterable[str], cut: Collection[str] = frozenset()) -> set[str]:
        """`starts`, as far as they are known, and all before them; nothing before those in `cut`."""
        found: set[str] = set()
        waiting = [oid for oid in starts if oid in self.parents]
        while waiting:
            oid = waiting.pop()
            if oid not in found:
                found.add(oid)
                if oid not in cut:
                    waiting += self.parents[oid]
        return found

    def boundary(self, wanted: Collection[str], depth: int) -> set[str]:
        """Where a history of `depth` commits from each of `wanted` ends before its beginning."""
        depths = dict.fromkeys(wanted, 1)
        waiting = deque(wanted)
        while waiting:
            oid = waiting.popleft()
            if depths[oid] < depth:
                for parent in self.parents[oid]:
                    if parent not in depths:
                        depths[parent] = depths[oid] + 1
                        waiting.append(parent)
        return {oid for oid, found in depths.items() if found == depth and self.parents[oid]}

    def boundary_since(self, wanted: Collection[str], since: int, without: Collection[str]) -> set[str]:
        """The commits at which a history ends that leaves out what is older than `since` or in `without`.

        Raises Invalid where nothing is left.
        """
        kept: set[str] = set()
        waiting = list(wanted)
        while waiting:
            oid = waiting.pop()
            if oid not in kept and self.times[oid] >= since and oid not in without:
                kept.add(oid)
                waiting += self.parents[oid]
        if not kept:  # to say that there is no boundary would mean that all is there
            raise Invalid("No commit is left of the history that was asked for.")
        return {oid for oid in kept if any(parent not in kept for parent in self.parents[oid])}


def load(session: Session, repository_id: int, starts: Collection[str]) -> Graph:
    """The graph of the commits in `starts`, as far as the repository has them, and of all before them."""
    graph, wanted = Graph(), sorted(set(starts))
    for first in range(0, len(wanted), 1000):
        reached = select(Commit.oid).where(
            Commit.repository_id == repository_id, Commit.oid.in_(wanted[first : first + 1000])
        )
        before = reached.cte("before", recursive=True)
        before = before.union(
            select(CommitParent.parent).where(
                CommitParent.repository_id == repository_id, CommitParent.oid == before.c.oid
            )
        )
        rows = session.execute(
            select(Commit.oid, Commit.created_at, CommitParent.parent)
            .join(before, before.c.oid == Commit.oid)
            .outerjoin(
                CommitParent,
                (CommitParent.repository_id == repository_id) & (CommitParent.oid == Commit.oid),
            )
            .where(Commit.repository_id == repository_id)
            .order_by(Commit.oid, CommitParent.position)
        )
        done = frozenset(graph.parents)
        for oid, moment, parent in rows:
            if oid in done:
                continue
            graph.times[oid] = int(moment.timestamp())
            parents = graph.parents.setdefault(oid, [])
            if parent is not None:
                parents.append(parent)
    return graph
