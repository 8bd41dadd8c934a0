"""Registration: names, who may, how many, and that no secret stays anywhere."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.auth.handler import auth
from local.stack import Stack
from shared import invites
from shared.collections import CREDENTIALS, INVITES, USERS
from shared.errors import CallError
from shared.settings import settings
from shared.stores import database, redis_client
from tests.functions.conftest import Set
from tests.functions.signing import (
    PASSWORD,
    anywhere,
    call,
    event,
    login,
    owner,
    registered,
    said,
)


def register(username: str, ip: str | None = None, **more: Any) -> Any:
    params = {"username": username, "password": PASSWORD} | more
    return call("auth.register", ip or anywhere(), **params)


def test_a_name_is_one_however_it_is_typed(stores: Stack, name: str) -> None:
    made = register(f"  {name.upper()} ")
    user = database()[USERS].find_one({"_id": made["uid"]})
    assert user is not None
    assert (user["username"], user["name"]) == (name, name)
    assert said(register(name)) == "username_taken"
    assert login(name.title(), anywhere(), PASSWORD) == "ok"


def test_a_password_is_one_however_it_is_composed(stores: Stack, name: str) -> None:
    assert said(register(name, password="pa\u0301ssword\u00a0one")) == "ok"
    assert login(name, anywhere(), "p\u00e1ssword one") == "ok"
    assert login(name, anywhere(), "password one") == "bad_credentials"


@pytest.mark.parametrize(
    "params",
    [
        {"username": "ab"},
        {"username": "a" * 33},
        {"username": "a b"},
        {"username": "b\u00f6b"},
        {"username": "bob\u200b"},
        {"username": " " * 400 + "ab"},
        {"username": "a" * 600},
        {"password": "1234567"},
        {"password": "e\u0301" * 7},
        {"password": "x" * 129},
        {"password": "pass\x00word"},
        {"password": "pass\u200bword"},
        {"password": " " * 600},
        {"name": ""},
        {"name": "   "},
        {"name": "a\u202eb"},
        {"name": "x" * 65},
        {"invite": 5},
    ],
    ids=repr,
)
def test_what_cannot_be(stores: Stack, name: str, params: dict[str, Any]) -> None:
    refused = call("auth.register", anywhere(), **{"username": name, "password": PASSWORD} | params)
    assert said(refused) == "invalid_params"
    assert refused.data["errors"][0]["loc"] == [next(iter(params))]
    if "password" in params:
        assert params["password"] not in str(refused.as_dict())


def test_edges_that_can_be(stores: Stack, name: str) -> None:
    for number, params in enumerate(
        [
            {"password": "12345678"},
            {"password": "x" * 128},
            {"name": "x" * 64},
            {"name": "\U0001f426"},
        ]
    ):
        assert said(register(f"{name}{number}", **params)) == "ok"


def test_a_longer_password_may_be_wanted(stores: Stack, name: str, configure: Set) -> None:
    configure(password_min=15)
    assert call("auth.config")["password_min"] == 15
    assert said(register(name, password="x" * 14)) == "invalid_params"
    assert said(register(name, password="x" * 15)) == "ok"


def test_so_many_an_hour_from_one_network(stores: Stack, name: str, configure: Set) -> None:
    assert type(settings()).model_fields["registrations_per_hour"].default == 20
    there = anywhere()
    configure(registrations_per_hour=3)
    assert said(register(name, there)) == "ok"
    assert said(register(name, there)) == "username_taken"
    assert said(register(f"{name}1", there)) == "ok"
    refused = register(f"{name}2", there.removesuffix(".1") + ".99")
    assert said(refused) == "rate_limited"
    assert 3590 <= refused.data["retry_after"] <= 3600
    assert said(register(f"{name}2")) == "ok"
    assert login(name, there, PASSWORD) == "ok"


def test_a_closed_house(stores: Stack, name: str, configure: Set) -> None:
    registered(name, anywhere())
    _, code = invites.create(uses=1, days=1)
    configure(registration="closed")
    assert call("auth.config") == {
        "registration": "closed",
        "sign_in": ["password"],
        "providers": [],
        "password_min": 8,
    }
    for more in ({}, {"invite": code}):
        assert said(register(f"{name}1", **more)) == "forbidden"
    assert login(name, anywhere(), PASSWORD) == "ok"


@pytest.fixture
def by_invitation(stores: Stack, configure: Set) -> Iterator[None]:
    configure(registration="invite")
    yield
    database()[INVITES].delete_many({})


def test_an_invitation_lets_in_as_many_as_it_says(by_invitation: None, name: str) -> None:
    id_, code = invites.create(uses=2, days=1)
    for invite in ({}, {"invite": ""}, {"invite": code + "x"}, {"invite": id_}):
        assert said(register(f"{name}x", **invite)) == "forbidden"
    asked = [
        event("auth.register", anywhere(), username=f"{name}{n}", password=PASSWORD, invite=code)
        for n in range(6)
    ]
    answers = [said(each) for each in auth.answer(asked)]
    assert sorted(answers) == ["forbidden"] * 4 + ["ok"] * 2
    assert database()[USERS].count_documents({"username": {"$regex": f"^{name}"}}) == 2
    assert id_ not in [each.id for each in invites.listed()]


def test_a_failed_registration_gives_the_use_back(by_invitation: None, name: str) -> None:
    _, code = invites.create(uses=2, days=1)
    asked = [
        event("auth.register", anywhere(), username=name, password=PASSWORD, invite=code)
        for _ in range(2)
    ]
    assert [said(each) for each in auth.answer(asked)] == ["ok", "username_taken"]
    assert [each.left for each in invites.listed()] == [1]
    user = database()[USERS].find_one({"username": name})
    assert user is not None
    assert said(register(f"{name}1", invite=code)) == "ok"
    assert said(register(f"{name}2", invite=code)) == "forbidden"


def test_invitations_from_the_command_line(
    by_invitation: None, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invites.main(["create", "--uses", "3", "--days", "2"]) == 0
    id_, code = capsys.readouterr().out.split()
    assert len(code) >= 22
    assert code not in str(list(database()[INVITES].find()))
    assert said(register(name, invite=code)) == "ok"
    assert invites.main(["list"]) == 0
    out = capsys.readouterr().out
    assert id_ in out
    assert "2 left" in out
    assert code not in out
    assert invites.main(["revoke", id_]) == 0
    assert invites.main(["revoke", id_]) == 1
    assert said(register(f"{name}1", invite=code)) == "forbidden"
    with pytest.raises(SystemExit):
        invites.main(["create", "--uses", "0"])


def test_secrets_are_kept_nowhere(stores: Stack, name: str, configure: Set) -> None:
    """With a cid and without, signed in and not."""
    _, code = invites.create(uses=5, days=1)
    configure(registration="invite")
    secrets = [PASSWORD, code]
    first = register(name, invite=code)
    callers = [None, owner(first)._replace(ip=anywhere())]
    for number, caller in enumerate(callers):
        for cid in ({}, {"cid": f"c{number}"}):
            made = [
                call("auth.login", anywhere(), caller, username=name, password=PASSWORD, **cid),
                call(
                    "auth.register",
                    anywhere(),
                    caller,
                    username=f"{name}{number}{len(cid)}",
                    password=PASSWORD,
                    invite=code,
                    **cid,
                ),
            ]
            again = made[0]["refresh_token"]
            made.append(call("auth.refresh", anywhere(), caller, refresh_token=again, **cid))
            assert [said(each) for each in made] == ["ok"] * 3
            for each in made:
                secrets += [each["access_token"], each["refresh_token"]]
            wrong = call(
                "auth.login", anywhere(), caller, username=name, password="wrong!!!", **cid
            )
            assert isinstance(wrong, CallError)
    kept = repr(
        [list(database()[each].find()) for each in database().list_collection_names()]
    ) + repr([_value(key) for key in redis_client().scan_iter("*", count=1000)])
    assert first["uid"] in kept
    # Half of a token would be as bad: its signature is the last part.
    found = [secret for secret in secrets if secret in kept or secret.split(".")[-1] in kept]
    assert found == []
    hashes = database()[CREDENTIALS].find_one({"_id": first["uid"]})
    assert hashes is not None
    assert hashes["password"].startswith("$argon2id$")


def _value(key: bytes) -> Any:
    client = redis_client()
    match client.type(key):
        case b"string":
            return key, client.get(key)
        case b"hash":
            return key, client.hgetall(key)
        case b"set":
            return key, client.smembers(key)
        case b"zset":
            return key, client.zrange(key, 0, -1)
        case b"stream":
            return key, client.xrange(key)
        case kind:
            return key, kind
