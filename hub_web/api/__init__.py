"""The Hub protocol: what huggingface_hub and its kin say to a hub, and a few addresses of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub_web.api import accounts, cards, commits, files, health, lfs, models, own, refs, repos

if TYPE_CHECKING:
    from flask import Flask

SUBJECTS = (accounts, cards, commits, files, lfs, models, own, refs, repos, health)


def register(app: Flask) -> None:
    """Add the API to `app`."""
    for subject in SUBJECTS:
        app.register_blueprint(subject.blueprint)
