"""The web application: one factory. Translates HTTP to the registry and back, decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from hub_web import api, context, git, i18n, ledger, pages, routing, security, sessions
from modelcenter.registry.hub import open_hub

if TYPE_CHECKING:
    from modelcenter.settings import Settings

MEGABYTE = 2**20


def create_app(settings: Settings) -> Flask:
    """The hub's application on the data that `settings` names; the database must be migrated already."""
    app = Flask(__name__)
    app.secret_key = settings.secret_key
    app.config.update(
        MAX_CONTENT_LENGTH=32 * MEGABYTE,  # views that stream set their own
        MAX_FORM_MEMORY_SIZE=32 * MEGABYTE,  # paths-info sends up to a thousand long paths as a form
    )
    sessions.install(app, settings)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider's
    routing.install(app.url_map)
    app.extensions["modelcenter"] = open_hub(settings)
    context.install(app)
    security.install(app)
    ledger.install(app)
    i18n.init_app(app)
    api.register(app)
    app.register_blueprint(git.blueprint)
    pages.register(app)
    # From the outside in: proxies' headers, then the raw path, then Flask.
    app.wsgi_app = routing.RawPath(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app
