"""The verbs on a repository, in one place. Most take a session; those that store bytes, the hub."""

from modelcenter.registry.commits import CommitResult, branch_ref, commit
from modelcenter.registry.contents import Entry, RevisionFiles, entry, paths, tree
from modelcenter.registry.history import last_commits, log
from modelcenter.registry.lifecycle import create, delete, find, get, link, update
from modelcenter.registry.operations import AddFile, AddLfs, Delete, DeleteFolder, Operation
from modelcenter.registry.revisions import (
    create_branch,
    create_tag,
    delete_branch,
    delete_tag,
    find_ref,
    refs,
    resolve,
)

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
    "entry",
    "find",
    "find_ref",
    "get",
    "last_commits",
    "link",
    "log",
    "paths",
    "refs",
    "resolve",
    "tree",
    "update",
]
