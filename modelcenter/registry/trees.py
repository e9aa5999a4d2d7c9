"""Trees as they change: an editor that reads only what it touches, and where two trees differ."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping

from modelcenter.errors import Invalid
from modelcenter.registry.objects import EMPTY_TREE, FOLDER, Encoded, Item, Items, encode_tree

Load = Callable[[str], Items]  # the entries of a tree by its id
LoadAll = Callable[[Collection[str]], Mapping[str, Items]]  # those of several trees
TOGETHER = 500  # folders that are compared at once


class Folder:
    """A folder being edited: its entries, read when first asked for."""

    def __init__(self, load: Load, oid: str = EMPTY_TREE) -> None:
        self._load, self._oid = load, oid
        self._items: dict[str, Item] | None = None
        self._opened: dict[str, Folder] = {}

    def get(self, path: str) -> Item | None:
        """The entry at `path` as it stands, None where there is none."""
        name, _, rest = path.partition("/")
        if rest:
            folder = self._open(name)
            return folder.get(rest) if folder else None
        if name in self._opened:
            return None if self._opened[name].is_empty else Item(FOLDER, EMPTY_TREE)
        return self.items.get(name)

    def put(self, path: str, item: Item) -> None:
        """Places a file. Raises Invalid where a folder is in its place, or a file in a folder's."""
        self._put(path, item, path)

    def remove(self, path: str) -> bool:
        """Takes away a file or a folder with all it holds; says whether it was there."""
        name, _, rest = path.partition("/")
        if rest:
            folder = self._open(name)
            return folder.remove(rest) if folder else False
        existed = self.get(name) is not None
        self._opened.pop(name, None)
        self.items.pop(name, None)
        return existed

    def write(self) -> tuple[str, list[Encoded]]:
        """The id of the tree as edited, and the trees that are new. Empty folders are left out."""
        new: list[Encoded] = []
        items = dict(self.items)
        for name, folder in self._opened.items():
            items.pop(name, None)
            if not folder.is_empty:
                oid, below = folder.write()
                items[name] = Item(FOLDER, oid)
                new += below
        encoded = encode_tree(items)
        return encoded.oid, new if encoded.oid == self._oid else [*new, encoded]

    @property
    def items(self) -> dict[str, Item]:
        """The entries as stored, except what was put or removed directly here."""
        if self._items is None:
            self._items = dict(self._load(self._oid))
        return self._items

    @property
    def is_empty(self) -> bool:
        """Whether no file is left."""
        return not (self.items.keys() - self._opened.keys()) and all(
            folder.is_empty for folder in self._opened.values()
        )

    def _put(self, path: str, item: Item, whole: str) -> None:
        name, _, rest = path.partition("/")
        present = self.get(name)
        if rest:
            if present is not None and not present.is_folder:
                blocked = whole.removesuffix(f"/{rest}")
                raise Invalid(f"{whole} cannot be added: {blocked} is a file. Delete it in the same commit.")
            folder = self._open(name)
            if folder is None:
                folder = self._opened[name] = Folder(self._load)
            folder._put(rest, item, whole)
            return
        if present is not None and present.is_folder:
            raise Invalid(
                f"{whole} cannot be added as a file: a folder is there. Delete it in the same commit."
            )
        self._opened.pop(name, None)
        self.items[name] = item

    def _open(self, name: str) -> Folder | None:
        if name not in self._opened:
            item = self.items.get(name)
            if item is None or not item.is_folder:
                return None
            self._opened[name] = Folder(self._load, item.oid)
        return self._opened[name]


def count_entries(load: LoadAll, root: str, most: int, counts: dict[str, int]) -> int:
    """How many files and folders are below the tree `root`; of more than `most` some number above it.

    A tree that is in several places counts in each and is looked at once, so that a few trees that unfold to
    millions of paths cost no more than a few. counts: of trees that were counted before, where new ones join.
    """
    folders: dict[str, list[str]] = {}
    entries: dict[str, int] = {}
    level = {root} - counts.keys()
    while level:
        for oid, items in load(level).items():
            entries[oid] = len(items)
            folders[oid] = [item.oid for item in items.values() if item.is_folder]
        if sum(entries.values()) > most:
            return most + 1
        level = {folder for oid in level for folder in folders[oid]} - counts.keys() - entries.keys()
    waiting = [root]
    while waiting:  # a folder after all that are in it
        oid = waiting[-1]
        missing = [] if oid in counts else [folder for folder in folders[oid] if folder not in counts]
        waiting += missing
        if not missing:
            waiting.pop()
            if oid not in counts:
                counts[oid] = entries[oid] + sum(counts[folder] for folder in folders[oid])
    return counts[root]


def changed_paths(load: LoadAll, old: str, new: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of each file and folder in which the trees `old` and `new` differ."""
    return ((folder, name) for folder, name, _ in changed_items(load, old, new))


def changed_items(load: LoadAll, old: str, new: str) -> Iterator[tuple[str, str, Item | None]]:
    """(folder, name, what is there in `new`) of each file and folder in which two trees differ.

    A folder comes before what is in it; those of one depth are read together, TOGETHER at a time.
    """
    waiting = deque([("", old, new)])
    while waiting:
        part = [waiting.popleft() for _ in range(min(TOGETHER, len(waiting)))]
        trees = load({oid for _, *oids in part for oid in oids})
        for folder, previous, present in part:
            before, after = trees[previous], trees[present]
            for name in before.keys() | after.keys():
                was, is_now = before.get(name), after.get(name)
                if was == is_now:
                    continue
                yield folder, name, is_now
                if is_now is not None and is_now.is_folder:
                    base = was.oid if was is not None and was.is_folder else EMPTY_TREE
                    waiting.append((f"{folder}/{name}" if folder else name, base, is_now.oid))
