"""Who may do what, over every address by which something is changed: a new one must be entered here."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from flask.testing import FlaskClient

from hub_web.app import create_app
from modelcenter.registry import accounts, organizations, repositories
from tests.support.registry import again, person

# Who holds which token: name -> (role in Lab, scope, resources).
PEOPLE: Mapping[str, tuple[Any, Any, Any]] = {
    "stranger": (None, "admin", None),
    "reader": ("read", "write", None),
    "contributor": ("contributor", "write", None),
    "writer-who-reads": ("write", "read", None),
    "writer-elsewhere": ("write", "admin", ["writer-elsewhere"]),
    "writer": ("write", "write", None),
    "admin-of-one": ("admin", "admin", ["Lab/open"]),
    "admin": ("admin", "admin", None),
    "root": (None, "write", None),
}
EVERYBODY = {"anonymous", *PEOPLE}
WRITERS = {"writer", "admin-of-one", "admin", "root"}
NEEDS = {
    "nothing": EVERYBODY,
    "to read": EVERYBODY,
    "to propose": {"stranger", "reader", "contributor"} | WRITERS,
    "to write": WRITERS,
    "to create": {"contributor", "writer", "admin", "root"},
    "to write and create": {"writer", "admin", "root"},
    "an account": {"stranger", "admin"},
    "to hear": {"stranger", "reader", "contributor", "writer", "admin", "root"},
    "a webhook": EVERYBODY - {"anonymous", "writer-who-reads"},  # of one's own: others' are not there
    "the organisation": {"admin"},
    "a form": set[str](),  # the token of a form, which tests/hub_web/test_signin.py has
    "a permit": set[str](),  # a signed address or a token for Xet, which test_xet.py and others have
}


@dataclass(frozen=True)
class Act:
    """What an address needs, and a request that only rights stand in the way of."""

    needs: str
    json: Any = None
    query: str = ""


SHA = "0" * 64
OBJECTS = {"operation": "upload", "objects": [{"oid": SHA, "size": 1}], "ref": {"name": "refs/heads/main"}}
LAB, MODEL = "/api/modelcenter/organizations", "/api/models/<owner>/<name>"
OWN, CAS, LFS = "/api/modelcenter/<owner>/<name>", "/cas/<memory>", "/<owner>/<name>.git/info/lfs"
TALK = f"{MODEL}/discussions"
ACTS: Mapping[str, Act] = {
    "POST /api/validate-yaml": Act("nothing", {"content": "---\na: b\n---"}),
    f"POST {CAS}/v1/xorb-commits/<prefix>/<name>/grant/<grant>": Act("nothing"),
    f"POST {CAS}/v1/xorb-grants/<prefix>/<name>": Act("nothing"),
    f"POST {CAS}/v1/telemetry": Act("nothing"),
    "POST /v1/telemetry": Act("nothing"),
    f"POST {CAS}/v1/shards": Act("a permit"),
    f"POST {CAS}/v2/shards": Act("a permit"),
    f"POST {CAS}/v1/xorbs/<prefix>/<name>": Act("a permit"),
    "PUT /api/modelcenter/uploads/<sha256>": Act("a permit"),
    "PUT /api/modelcenter/uploads/<sha256>/parts/<int:number>": Act("a permit"),
    "POST /api/modelcenter/uploads/<sha256>": Act("a permit"),
    f"POST {MODEL}/commit/<revision:revision>": Act("to write", {"key": "header", "value": {"summary": ""}}),
    f"POST {MODEL}/preupload/<revision:revision>": Act("to write", {"files": []}),
    f"POST {LFS}/objects/batch": Act("to write", OBJECTS),
    f"POST {LFS}/objects/verify": Act("to propose", {"oid": SHA, "size": 1}),
    f"POST {LFS}/locks": Act("to read", {}),
    f"POST {LFS}/locks/verify": Act("to read", {}),
    f"POST {LFS}/locks/<lock>/unlock": Act("to read", {}),
    "POST /<owner>/<name>/git-upload-pack": Act("to read"),
    "POST /<owner>/<name>/git-receive-pack": Act("to write"),
    f"POST {TALK}": Act("to propose", {"title": "", "description": ""}),
    f"POST {TALK}/<int:num>/comment": Act("to propose", {"comment": "a"}),
    f"POST {TALK}/<int:num>/comment/<comment_id>/edit": Act("to propose", {"content": "a"}),
    f"POST {TALK}/<int:num>/comment/<comment_id>/hide": Act("to propose", {}),
    f"POST {TALK}/<int:num>/title": Act("to propose", {"title": "a"}),
    f"POST {TALK}/<int:num>/status": Act("to propose", {"status": "closed"}),
    f"POST {TALK}/<int:num>/merge": Act("to write", {}),
    f"POST {MODEL}/paths-info/<revision:revision>": Act("to read", {"paths": []}),
    f"POST {MODEL}/user-access-request": Act("to propose", {}),
    f"POST {MODEL}/user-access-request/grant": Act("to write", {"user": "stranger"}),
    f"POST {MODEL}/user-access-request/handle": Act("to write", {"user": "stranger", "status": "accepted"}),
    f"POST {OWN}/freeze/<revision:ref>": Act("to write", {}),
    f"DELETE {OWN}/freeze/<revision:ref>": Act("to write"),
    f"POST {OWN}/withdraw/<revision:revision>": Act("to write", {"reason": "a"}),
    f"DELETE {OWN}/withdraw/<revision:revision>": Act("to write"),
    f"POST {OWN}/convert": Act("to write", {}),
    f"POST {OWN}/convert/<revision:revision>": Act("to write", {}),
    f"POST {MODEL}/lfs-files/batch": Act("to write", {"deletions": {"sha": [SHA]}}),
    f"POST {MODEL}/lfs-files/duplicate": Act(
        "to write", {"target": {"type": "model", "name": "Lab/open"}, "files": []}
    ),
    f"POST {MODEL}/like": Act("to propose", {}),
    f"DELETE {MODEL}/like": Act("to propose"),
    f"POST {MODEL}/branch/<revision:branch>": Act("to write", {}),
    f"DELETE {MODEL}/branch/<revision:branch>": Act("to write"),
    f"POST {MODEL}/tag/<revision:revision>": Act("to write", {"tag": "a"}),
    f"DELETE {MODEL}/tag/<revision:tag>": Act("to write"),
    f"POST {MODEL}/super-squash/<revision:revision>": Act("to write", {}),
    f"PUT {MODEL}/settings": Act("to write", {"visibility": "public"}),
    f"POST {MODEL}/duplicate": Act("to create", {"repository": "Lab/copy"}),
    "POST /api/repos/move": Act("to write and create", {"fromRepo": "Lab/open", "toRepo": "Lab/moved"}),
    "POST /api/repos/create": Act("to create", {"name": "new", "organization": "Lab"}),
    "DELETE /api/repos/delete": Act("to write", {"name": "open", "organization": "Lab"}),
    "POST /api/modelcenter/mirror": Act("to create", {"upstream_id": "a/b", "as": "Lab/mirror"}),
    f"POST {LAB}": Act("an account", {"name": "another"}),
    f"PUT {LAB}/<organization>/members/<member>": Act("the organisation", {"role": "read"}),
    f"DELETE {LAB}/<organization>/members/<member>": Act("the organisation"),
    f"PUT {LAB}/<organization>/settings": Act("the organisation", {"privateByDefault": False}),
    "POST /api/modelcenter/tokens": Act("an account", {"name": "a"}),
    "DELETE /api/modelcenter/tokens/<number>": Act("an account"),
    "POST /api/modelcenter/webhooks": Act("to hear", {"watched": "Lab", "url": "https://hooks.example.org/"}),
    "DELETE /api/modelcenter/webhooks/<int:webhook_id>": Act("a webhook"),
    "POST /api/modelcenter/webhooks/<int:webhook_id>/test": Act("a webhook", {}),
    "POST /login": Act("a form"),
    "POST /logout": Act("a form"),
    "POST /settings/tokens": Act("a form"),
    "POST /settings/tokens/revoke": Act("a form"),
    "POST /settings/identities/unlink": Act("a form"),
    "POST /settings/organizations": Act("a form"),
    "POST /settings/organizations/<organization>": Act("a form"),
    "POST /<owner>/<name>/access-requests": Act("a form"),
    "POST /<owner>/<name>/ask-access": Act("a form"),
    "POST /<owner>/<name>/convert": Act("a form"),
    "POST /<owner>/<name>/fetch": Act("a form"),
}
# Answers to what leads nowhere, whatever the method.
NOWHERE = {
    "/uploads",
    "/uploads/<path:rest>",
    "/api/<path:rest>",
    "/<name>/resolve/<path:rest>",
    "/api/models/<path:rest>",
}
VALUES = {
    "owner": "Lab",
    "revision": "main",
    "ref": "main",
    "branch": "b",
    "tag": "t",
    "num": 1,
    "comment_id": "1",
    "sha256": SHA,
    "number": 999,
    "webhook_id": 999,
    "organization": "Lab",
    "member": "reader",
    "prefix": "default",
    "memory": "m",
    "grant": "g",
    "lock": "l",
}
REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


@pytest.fixture
def world(hub):
    """The application, the addresses, and everybody's headers; Lab has the models open and hidden."""
    owner = person(hub, "owner", scope="admin")
    headers: dict[str, dict[str, str]] = {"anonymous": {}}
    with hub.database.transaction() as session:
        organizations.create(session, owner, "Lab")
        for name, (role, _, _) in PEOPLE.items():
            accounts.create_user(session, name, is_admin=name == "root")
            if role is not None:
                organizations.set_role(session, None, "Lab", name, role)
    owner = again(hub, owner)
    repositories.create(hub, owner, "Lab/open")
    repositories.create(hub, owner, "Lab/hidden", private=True)
    with hub.database.transaction() as session:
        for name, (_, scope, resources) in PEOPLE.items():
            account = accounts.find(session, name)
            token = accounts.create_token(session, account, scope=scope, resources=resources)
            headers[name] = {"Authorization": f"Bearer {token}"}
    app = create_app(hub.settings)
    yield app, owner, headers
    app.extensions["modelcenter_ledger"].stop()
    app.extensions["modelcenter"].database.close()


def addresses(app) -> dict[str, Any]:
    """The rules by which something can be changed, as `METHOD rule`."""
    return {
        f"{method} {rule.rule}": rule
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"GET", "HEAD", "OPTIONS"}
        if rule.rule not in NOWHERE
    }


def ask(client: FlaskClient, rule, method: str, act: Act, headers: Mapping[str, str], name="open") -> int:
    given = {key: VALUES.get(key, name) for key in rule.arguments if key not in (rule.defaults or {})}
    _, path = rule.build(given, append_unknown=False)
    with client.open(path + act.query, method=method, json=act.json, headers=headers) as answer:
        assert answer.status_code < 500 or answer.status_code == HTTPStatus.NOT_IMPLEMENTED, path
        return answer.status_code


def test_every_address_that_changes_something_asks_for_the_right_that_it_needs(hub, world):
    app, owner, headers = world
    rules = addresses(app)
    assert rules.keys() == ACTS.keys()
    client = app.test_client()
    wrong = []
    for address, act in ACTS.items():
        method, _, _ = address.partition(" ")
        allowed = NEEDS[act.needs]
        # First who may not: nothing has changed for those who may.
        for name in sorted(EVERYBODY - allowed):
            status = ask(client, rules[address], method, act, headers[name])
            if status not in REFUSED and not (act.needs == "a permit" and status == HTTPStatus.BAD_REQUEST):
                wrong.append(f"{address} let {name} through: {status}")
        for name in sorted(allowed):
            status = ask(client, rules[address], method, act, headers[name])
            if status in REFUSED:
                wrong.append(f"{address} refused {name}: {status}")
        with hub.database.session() as session:
            gone = repositories.find(session, "Lab/open") is None
        if gone:
            repositories.create(hub, owner, "Lab/open")
    assert not wrong, "\n".join(wrong)


NUMBERS = (
    f"/api/models?num_parameters=min:{'9' * 400}B",
    f"/api/models?cursor={base64.urlsafe_b64encode(b'9' * 30).decode()}",
    "/api/models/Lab/open/tree/main?cursor=Ilx1ZDgwMCI%3D",
    f"/api/models/Lab/open/discussions/{10**30}",
    f"/api/modelcenter/webhooks/{10**30}/deliveries",
)
FULLER: Mapping[str, dict[str, Any]] = {
    f"POST {MODEL}/preupload/<revision:revision>": {
        "files": [{"path": "a", "size": 1, "sample": "QQ=="}],
        "gitIgnore": "a",
    },
    f"POST {LFS}/objects/batch": {**OBJECTS, "transfers": ["basic"], "hash_algo": "sha256"},
    f"POST {TALK}": {"title": "a", "description": "a", "pullRequest": True},
    f"POST {TALK}/<int:num>/merge": {"comment": "a"},
    f"POST {MODEL}/paths-info/<revision:revision>": {"paths": ["a"], "expand": True},
    f"POST {MODEL}/branch/<revision:branch>": {"startingPoint": "main"},
    f"POST {MODEL}/tag/<revision:revision>": {"tag": "a", "message": "a"},
    f"POST {MODEL}/super-squash/<revision:revision>": {"message": "a"},
    f"PUT {MODEL}/settings": {"visibility": "public", "private": False, "gated": "auto"},
    f"POST {MODEL}/lfs-files/duplicate": {
        "target": {"type": "model", "name": "Lab/open"},
        "files": [{"sha256": SHA}],
    },
    f"POST {MODEL}/user-access-request/handle": {
        "user": "stranger",
        "status": "rejected",
        "rejectionReason": "a",
        "requestId": "1",
    },
    "POST /api/modelcenter/tokens": {"name": "a", "scope": "read", "expiresAt": "a", "resources": ["Lab"]},
    "POST /api/modelcenter/webhooks": {
        "watched": "Lab",
        "url": "https://hooks.example.org/",
        "events": ["repo"],
    },
    f"POST {LAB}": {"name": "another", "fullname": "a"},
}
HOSTILE = ("\ud800", "a\0b", "9999-12-31T23:59:59-14:00", 10**30, -1, 1e300, True, None, [5], {"\udfff": 1})


def spoiled(value: Any) -> Iterator[Any]:
    """`value` with each of its parts in turn replaced by something that does not belong there."""
    yield from HOSTILE
    for key, part in value.items() if isinstance(value, dict) else enumerate(value[:1]):
        for worse in spoiled(part) if isinstance(part, (dict, list)) else HOSTILE:
            copy = value.copy()
            copy[key] = worse
            yield copy


def test_no_value_is_the_hubs_fault(world):
    app, _, headers = world
    rules, client = addresses(app), app.test_client()
    for path in NUMBERS:
        assert client.get(path, headers=headers["admin"]).status_code < 500, path
    for address, act in ACTS.items():
        method, _, _ = address.partition(" ")
        if isinstance(act.json, dict) and method != "DELETE":
            for body in spoiled(FULLER.get(address, act.json)):
                ask(client, rules[address], method, Act(act.needs, body, act.query), headers["admin"])


def test_what_one_may_not_see_is_not_there_for_any_act(world):
    app, _, headers = world
    rules = addresses(app)
    client = app.test_client()
    wrong = []
    for address, act in ACTS.items():
        if "<owner>/<name>" not in address or act.needs == "a form":
            continue
        for name, refusals in (("anonymous", {401, 404}), ("stranger", {404}), ("writer-elsewhere", {404})):
            method = address.partition(" ")[0]
            found, absent = (
                ask(client, rules[address], method, act, headers[name], repository)
                for repository in ("hidden", "absent")
            )
            if found not in refusals or found != absent:
                wrong.append(f"{address} told {name} {found} of what is hidden, {absent} of what is absent")
    assert not wrong, "\n".join(wrong)


def test_a_mirrors_name_does_not_tell_what_is_hidden(world):
    app, _, headers = world
    client = app.test_client()
    for name in ("anonymous", "stranger", "writer-elsewhere", "writer-who-reads"):
        found, absent = (
            client.post(
                "/api/modelcenter/mirror",
                json={"upstream_id": "a/b", "as": f"Lab/{repository}"},
                headers=headers[name],
            )
            for repository in ("hidden", "absent")
        )
        assert found.status_code in REFUSED
        if name != "writer-who-reads":  # who reads it anyway
            assert (found.status_code, found.json) == (absent.status_code, absent.json), name
