"""The Hub protocol: what huggingface_hub and its kin say to a hub, and a few addresses of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub_web.api import (
    accounts,
    cards,
    cas,
    commits,
    discussions,
    files,
    gates,
    health,
    holding,
    large_files,
    lfs,
    mirrors,
    models,
    openapi,
    organizations,
    own,
    people,
    plans,
    refs,
    repos,
    tokens,
    uploads,
    webhooks,
    xet,
)

if TYPE_CHECKING:
    from flask import Flask

SUBJECTS = (
    accounts,
    cards,
    cas,
    commits,
    discussions,
    files,
    gates,
    holding,
    large_files,
    lfs,
    mirrors,
    models,
    openapi,
    organizations,
    own,
    people,
    plans,
    refs,
    repos,
    tokens,
    uploads,
    webhooks,
    xet,
    health,
)


def register(app: Flask) -> None:
    """Add the API to `app`."""
    for subject in SUBJECTS:
        app.register_blueprint(subject.blueprint)
