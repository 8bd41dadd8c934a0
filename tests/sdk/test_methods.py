"""Every method that is published has a typed call, which takes what the method takes."""

import inspect
import json
from typing import Any

import pytest
from stonechat import Client

from local.layout import ROOT

METHODS = {
    each["name"]: each for each in json.loads((ROOT / "docs/openrpc.json").read_text())["methods"]
}
# A method is `client.NOUN.VERB`, with these nouns, but for those of signing in.
NOUNS = {
    "conversation": "conversations",
    "friend": "friends",
    "group": "groups",
    "message": "messages",
    "presence": "presence",
    "user": "users",
}
SIGNING_IN = {
    "auth.config": "config",
    "auth.login": "login",
    "auth.logout": "logout",
    "auth.refresh": "renew",
    "auth.register": "register",
    "session.open": "resume",
    "session.renew": "renew",
}
# What a call finds by itself: a key where none is given, pages where it gives whole lists, tokens,
# and what tells the device.
BY_ITSELF = {"cid", "limit", "access_token", "refresh_token", "device"}
PAGED = {"conversation.list", "friend.list", "group.list", "group.invitations", "group.requests"}
OTHERWISE = {"message.send": {"forward": "forward"}}  # a param that is a call of its own
SHORT = ("send", "forward", "edit", "recall", "react", "history", "read", "typing", "find")


def resolved(path: str) -> Any:
    found: Any = Client("ws://127.0.0.1:1/v1")
    for name in path.split("."):
        found = getattr(found, name)
    return found


def path(method: str) -> str:
    noun, _, verb = method.partition(".")
    return SIGNING_IN[method] if method in SIGNING_IN else f"{NOUNS[noun]}.{verb}"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_method_has_a_call_with_its_params(method: str) -> None:
    call = resolved(path(method))
    assert inspect.iscoroutinefunction(call)
    signature = inspect.signature(call)
    by_itself = BY_ITSELF | ({"after"} if method in PAGED | {"group.members"} else set())
    params = {each["name"]: each for each in METHODS[method]["params"]}
    otherwise = OTHERWISE.get(method, {})
    assert set(params) - set(signature.parameters) <= by_itself | set(otherwise)
    for name in otherwise.values():
        assert inspect.iscoroutinefunction(resolved(f"{path(method).split('.')[0]}.{name}"))
    # What the call wants, the method has.
    wanted = {
        each.name
        for each in signature.parameters.values()
        if each.default is inspect.Parameter.empty
    }
    assert wanted <= set(params)
    assert call.__annotations__.get("return", "none") != "none"


@pytest.mark.parametrize("name", SHORT)
def test_the_most_common_are_the_client_s_own(name: str) -> None:
    client = Client("ws://127.0.0.1:1/v1")
    nouns = (client.messages, client.conversations, client.users)
    (whole,) = [getattr(noun, name) for noun in nouns if hasattr(noun, name)]
    assert getattr(client, name) == whole
