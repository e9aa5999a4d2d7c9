"""The web catalogue: pages for people, in Chinese and English."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint

from hub_web.pages import (
    access_requests,
    catalogue,
    commits,
    conversion,
    discussions,
    errors,
    files,
    frame,
    gate,
    identities,
    model,
    organizations,
    provider,
    pull,
    redirects,
    signin,
    tokens,
)

if TYPE_CHECKING:
    from flask import Flask


def register(app: Flask) -> None:
    """Add the pages to `app`, and pages for its errors."""
    frame.install(app)
    provider.install(app, app.extensions["modelcenter"].settings.oidc)
    errors.register(app)
    blueprint = Blueprint("pages", __name__)
    blueprint.add_url_rule("/", "home", catalogue.index)
    blueprint.add_url_rule("/models", "models", catalogue.index)
    blueprint.add_url_rule("/models/", "models_slash", redirects.without_slash)
    blueprint.add_url_rule("/login", "login", signin.form)
    blueprint.add_url_rule("/login", "sign_in", signin.sign_in, methods=["POST"])
    blueprint.add_url_rule("/login/provider", "provider", provider.begin)
    blueprint.add_url_rule("/login/provider/callback", "provider_callback", provider.finish)
    blueprint.add_url_rule("/logout", "sign_out", signin.sign_out, methods=["POST"])
    blueprint.add_url_rule("/settings/tokens", "tokens", tokens.show)
    blueprint.add_url_rule("/settings/tokens", "create_token", tokens.create, methods=["POST"])
    blueprint.add_url_rule("/settings/tokens/revoke", "revoke_token", tokens.revoke, methods=["POST"])
    blueprint.add_url_rule("/settings/identities", "identities", identities.show)
    blueprint.add_url_rule("/settings/identities/link", "link_identity", identities.link)
    blueprint.add_url_rule(
        "/settings/identities/unlink", "unlink_identity", identities.unlink, methods=["POST"]
    )
    blueprint.add_url_rule("/settings/organizations", "organizations", organizations.listed)
    blueprint.add_url_rule(
        "/settings/organizations", "create_organization", organizations.create, methods=["POST"]
    )
    blueprint.add_url_rule("/settings/organizations/<organization>", "organization", organizations.show)
    blueprint.add_url_rule(
        "/settings/organizations/<organization>", "tend_organization", organizations.tend, methods=["POST"]
    )
    blueprint.add_url_rule("/<owner>", "owner", redirects.of_owner, strict_slashes=False)
    blueprint.add_url_rule("/<owner>/<name>", "model", model.show)
    blueprint.add_url_rule("/<owner>/<name>/ask-access", "ask_access", gate.ask, methods=["POST"])
    blueprint.add_url_rule("/<owner>/<name>/access-requests", "access_requests", access_requests.show)
    blueprint.add_url_rule(
        "/<owner>/<name>/access-requests", "answer_access", access_requests.answer, methods=["POST"]
    )
    blueprint.add_url_rule("/<owner>/<name>/fetch", "pull", pull.fetch, methods=["POST"])
    blueprint.add_url_rule("/<owner>/<name>/convert", "convert", conversion.start, methods=["POST"])
    blueprint.add_url_rule(
        "/<owner>/<name>/tree/<revision:revision>", "tree", files.tree, defaults={"path": ""}
    )
    blueprint.add_url_rule("/<owner>/<name>/tree/<revision:revision>/<path:path>", "tree", files.tree)
    blueprint.add_url_rule("/<owner>/<name>/blob/<revision:revision>/<path:path>", "blob", files.blob)
    blueprint.add_url_rule("/<owner>/<name>/commit/<revision:revision>", "commit", commits.show)
    blueprint.add_url_rule("/<owner>/<name>/discussions", "discussions", discussions.index)
    blueprint.add_url_rule("/<owner>/<name>/discussions/<int:num>", "discussion", discussions.show)
    app.register_blueprint(blueprint)
