"""`modelcenter whoami`: the account that a hub knows one by."""

from __future__ import annotations

import click

from modelcenter.cli.options import endpoint_option, json_option
from modelcenter.cli.output import facts, say_json, show


@click.command("whoami")
@endpoint_option
@json_option
def command(endpoint: str | None, as_json: bool) -> None:
    """Show who you are to the hub."""
    from modelcenter.client import Hub

    hub = Hub(endpoint)
    person = hub.whoami()
    if as_json:
        say_json({"endpoint": hub.endpoint, **person})
        return
    show(
        facts(
            [
                ("name", person["name"]),
                ("full name", person.get("fullname")),
                ("hub", hub.endpoint),
                ("organisations", ", ".join(each["name"] for each in person.get("orgs", ()))),
                ("token's scope", person.get("auth", {}).get("accessToken", {}).get("role")),
            ]
        )
    )
