"""The verbs on a repository, in one place. Most take a session; those that store bytes, the hub."""

from modelcenter.registry.commits import CommitResult, branch_ref, commit
from modelcenter.registry.contents import Entry, RevisionFiles, entry, paths, tree
from modelcenter.registry.history import last_commits, log
from modelcenter.registry.lifecycle import create, delete, find, get, link, update
from modelcenter.registry.moving import duplicate, move
from modelcenter.registry.operations import AddFile, AddLfs, Delete, DeleteFolder, Operation
from modelcenter.registry.revisions import (
    create_branch,
    create_tag,
    delete_branch,
    delete_tag,
    find_ref,
    freeze,
    refs,
    resolve,
)
from modelcenter.registry.rewriting import forget_large_files, large_files, squash
from modelcenter.registry.storage import storage

__all__ = [
    "AddFile",
    "AddLfs",
    "CommitResult",
    "Delete",
    "DeleteFolder",
    "Entry",
    "Operation",
    "RevisionFiles",
    "branch_ref",
    "commit",
    "create",
    "create_branch",
    "create_tag",
    "delete",
    "delete_branch",
    "delete_tag",
    "duplicate",
    "entry",
    "find",
    "find_ref",
    "forget_large_files",
    "freeze",
    "get",
    "large_files",
    "last_commits",
    "link",
    "log",
    "move",
    "paths",
    "refs",
    "resolve",
    "squash",
    "storage",
    "tree",
    "update",
]
