"""`/settings/organizations`: one's organisations, and who belongs to each of them."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import make_response, redirect, render_template, request, url_for

from hub_web import context
from hub_web.i18n import gettext
from hub_web.pages import forms, frame, signin
from hub_web.pages.tokens import Choice
from modelcenter.errors import AccountNotFound, Invalid, ModelCenterError
from modelcenter.registry import organizations
from modelcenter.registry.tables import Role

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

NONE = "none"  # no role: who has it leaves


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organisation in the list."""

    name: str
    role: str
    href: str
    models: str


@dataclass(frozen=True, slots=True)
class ListView:
    """One's organisations, and the form for another."""

    rows: tuple[OrganizationRow, ...]
    action: str
    form_token: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who belongs; `roles` they may get from whoever looks."""

    name: str
    fullname: str
    role: str
    is_oneself: bool


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organisation's members, with forms for who administers it."""

    name: str
    fullname: str
    members: tuple[Member, ...]
    administers: bool
    roles: tuple[Choice, ...]
    private: bool
    action: str
    form_token: str
    problem: str


def labels() -> dict[str, str]:
    """The roles in words."""
    return {
        "read": gettext("Reads"),
        "contributor": gettext("Contributes"),
        "write": gettext("Writes"),
        "admin": gettext("Administers"),
    }


def listed() -> Response:
    """One's organisations."""
    return signin.required() or list_page()


def list_page(problem: str = "") -> Response:
    """The list, after what was done."""
    words, action = labels(), url_for("pages.create_organization")
    view = ListView(
        rows=tuple(
            OrganizationRow(
                name,
                words[role],
                url_for("pages.organization", organization=name),
                url_for("pages.models", organization=name),
            )
            for name, role in sorted(context.actor().organizations.items())
        ),
        action=action,
        form_token=forms.token(action),
        name=request.form.get("name", "")[:100],
        problem=problem,
    )
    return answer("organizations.html", view, problem)


def create() -> Response:
    """Make an organisation, and show it."""
    forms.check(url_for("pages.create_organization"))
    name, fullname = request.form.get("name", "").strip(), request.form.get("fullname", "").strip()
    try:
        with context.hub().database.transaction() as session:
            made = organizations.create(session, context.actor(), name, fullname=fullname[:200] or None)
            place = url_for("pages.organization", organization=made.name)
    except ModelCenterError as error:
        return list_page(str(error))
    return redirect(place, HTTPStatus.SEE_OTHER)


def show(organization: str) -> Response:
    """Who belongs to an organisation, for those who do."""
    return signin.required() or members_page(organization)


def members_page(organization: str, problem: str = "") -> Response:
    """The members, after what was done."""
    session, actor = context.session(), context.actor()
    account = organizations.get(session, organization)
    role = actor.role_in(account.name)
    if role is None:
        raise AccountNotFound(organization)
    words = labels()
    action = url_for("pages.tend_organization", organization=account.name)
    view = OrganizationView(
        name=account.name,
        fullname=account.fullname or account.name,
        members=tuple(
            Member(
                member.account.name,
                member.account.fullname or "",
                member.role,
                member.account_id == actor.account_id,
            )
            for member in organizations.members(session, account)
        ),
        administers=role == "admin",
        roles=tuple(Choice(value, label, chosen=False) for value, label in words.items()),
        private=bool(account.private_by_default),
        action=action,
        form_token=forms.token(action),
        problem=problem,
    )
    return answer("organization.html", view, problem)


def tend(organization: str) -> Response:
    """Change a member's role, or what new models are."""
    here = url_for("pages.tend_organization", organization=organization)
    forms.check(here)
    try:
        with context.hub().database.transaction() as session:
            if "member" in request.form:
                role = request.form.get("role", "")
                organizations.set_role(
                    session,
                    context.actor(),
                    organization,
                    request.form["member"].strip(),
                    None if role == NONE else cast("Role", role),
                )
            elif "visibility" in request.form:
                private = request.form["visibility"] == "private"
                organizations.set_default_visibility(session, context.actor(), organization, private=private)
            else:
                raise Invalid("The form says nothing to do.")
    except ModelCenterError as error:
        return members_page(organization, str(error))
    if request.form.get("role") == NONE and request.form.get("member") == context.actor().name:
        here = url_for("pages.organizations")
    return redirect(here, HTTPStatus.SEE_OTHER)


def answer(template: str, view: ListView | OrganizationView, problem: str) -> Response:
    """The page; with a problem the form was not taken."""
    response = make_response(render_template(template, view=view, page=frame.make(indexed=False)))
    response.status_code = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return response
