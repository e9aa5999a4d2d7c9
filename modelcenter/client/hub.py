"""A hub in one hand: what people and scripts do with it from outside."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from modelcenter.client import logins
from modelcenter.client.locate import taking
from modelcenter.client.remote import RemoteFiles
from modelcenter.client.telling import ask, get, told
from modelcenter.client.upload import Uploaded, chosen, upload
from modelcenter.client.withdrawn import warn_if_withdrawn
from modelcenter.errors import NotAuthenticated

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)


class Hub:
    """A hub and who asks it; both found as `client.endpoint` and `client.token` say when not given."""

    def __init__(self, endpoint: str | None = None, token: str | None = None) -> None:
        self.endpoint = logins.endpoint(endpoint)
        self.token = logins.token(token, self.endpoint)

    @cached_property
    def api(self) -> HfApi:
        """huggingface_hub's view of the hub, for all that is not here."""
        from huggingface_hub import HfApi

        # False: without a token of this hub's, huggingface_hub shall not send one of another's.
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="modelcenter")

    def whoami(self) -> dict[str, Any]:
        """The account of the token: `name`, `fullname`, `orgs`, `auth`. Raises NotAuthenticated."""
        if self.token is None:
            raise NotAuthenticated(
                f"Nobody is logged in to {self.endpoint}. "
                f"Log in with `modelcenter login --endpoint {self.endpoint}`, or set MODELCENTER_TOKEN."
            )
        with told(self.endpoint):
            return self.api.whoami()

    def info(self, name: str, revision: str | None = None) -> dict[str, Any]:
        """What the hub knows of a model: facts, verdict, card, files with their sizes."""
        path = f"/api/models/{quote(name)}" + (f"/revision/{quote(revision, safe='')}" if revision else "")
        answer = self.get(path, {"blobs": "true"}, name, revision)
        warn_if_withdrawn(self.endpoint, self.token, name, revision)
        assert isinstance(answer, dict)
        return answer

    def verdict(self, name: str, revision: str | None = None) -> dict[str, Any]:
        """The hub's verdict whether a revision loads: `status` (`pending` at first), and its report."""
        path = f"/api/modelcenter/{quote(name)}/verdict" + (
            f"/{quote(revision, safe='')}" if revision else ""
        )
        answer = self.get(path, {}, name, revision)
        assert isinstance(answer, dict)
        return answer

    def search(
        self,
        words: str = "",
        facets: Mapping[str, list[str]] | None = None,
        *,
        sort: str | None = None,
        page: int = 1,
        limit: int = 30,
    ) -> dict[str, Any]:
        """A page of the catalogue: `total`, `rows` of models with their facts, `facets` with counts.

        facets: values by facet (task, language, family, license, size, loads, organization, library).
        """
        query: dict[str, str | list[str]] = {"q": words, "page": str(page), "per_page": str(limit)}
        query |= facets or {}
        if sort:
            query["sort"] = sort
        answer = self.get("/api/modelcenter/search", query)
        assert isinstance(answer, dict)
        return answer

    def withdraw(self, name: str, revision: str, reason: str) -> str:
        """Takes back the commit that the revision is at; its id. Branches and tags pass over it."""
        return str(self._act("POST", "withdraw", name, revision, {"reason": reason})["commit"])

    def restore(self, name: str, revision: str) -> None:
        """Lets a withdrawn commit stand again."""
        self._act("DELETE", "withdraw", name, revision)

    def freeze(self, name: str, ref: str, *, frozen: bool = True) -> dict[str, Any]:
        """Lets nobody move or delete a branch or tag, or again; its `ref`, `commit`, and if `frozen`."""
        return self._act("POST" if frozen else "DELETE", "freeze", name, ref)

    def _act(
        self, method: str, act: str, name: str, revision: str, body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        place = f"{self.endpoint}/api/modelcenter/{quote(name)}/{act}/{quote(revision, safe='')}"
        with told(self.endpoint, name, revision):
            answer = ask(method, place, self.token, body=body).json()
        assert isinstance(answer, dict)
        return answer

    def get(
        self, path: str, query: Mapping[str, str | list[str]], name: str = "", revision: str | None = None
    ) -> object:
        """The JSON at `path`."""
        with told(self.endpoint, name, revision):
            answer: object = get(f"{self.endpoint}{path}", self.token, query=query).json()
        return answer

    def files(self, name: str, revision: str | None = None) -> RemoteFiles:
        """The files of a revision, read in ranges."""
        return RemoteFiles(name, revision, self.endpoint, self.token)

    def upload(
        self,
        path: str | os.PathLike[str],
        name: str,
        *,
        revision: str = "main",
        message: str | None = None,
        private: bool = False,
        include: Collection[str] = (),
        exclude: Collection[str] = (),
    ) -> Uploaded:
        """Commit a folder's files, or one file; repository and branch are created when missing."""
        files = chosen(Path(path), include, exclude)
        return upload(self.api, files, name, revision=revision, message=message, private=private)

    def download(
        self,
        name: str,
        *,
        revision: str | None = None,
        to: str | os.PathLike[str] | None = None,
        include: Collection[str] = (),
        exclude: Collection[str] = (),
        whole: bool = False,
        tell: Callable[[str], object] = logger.info,
    ) -> Path:
        """The folder with the files of a revision: `to`, else the cache. What is there is not sent again.

        Weights that a loader does not read, since it has them in another form, are left, unless all is asked
        for (`whole`) or patterns say what is. tell: is told in a sentence what is taken and left, before.
        """
        warn_if_withdrawn(self.endpoint, self.token, name, revision)
        if not (whole or include or exclude):
            files = RemoteFiles(name, revision, self.endpoint, self.token, warns=False)
            what = taking(files)
            tell(f"{name}: {what}")
            exclude = [glob.escape(path) for path in what.left]
        with told(self.endpoint, name, revision):
            folder: str = self.api.snapshot_download(
                name,
                revision=revision,
                cache_dir=logins.cache_folder(self.endpoint),
                local_dir=None if to is None else Path(to),
                allow_patterns=list(include) or None,
                ignore_patterns=list(exclude) or None,
            )
        return Path(folder)
