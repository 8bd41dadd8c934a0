"""Signing in through the function itself: calls as a connector hands them on."""

import itertools
from typing import Any

from functions.auth.handler import auth
from shared import addresses, keys, tokens
from shared.call import Caller
from shared.doors import Event
from shared.errors import CallError
from shared.stores import redis_client

PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"

_numbers = itertools.count()
_networks = itertools.count(1)


def anywhere() -> str:
    """An address in a network that nobody in this run was in."""
    number = next(_networks)
    return f"10.{number // 256}.{number % 256}.1"


def event(method: str, ip: str | None = None, caller: Caller | None = None, **params: Any) -> Event:
    return Event(next(_numbers), method, params, caller or Caller(ip=ip))


def said(answer: Any) -> str:
    """The reason of a refusal, or `ok`."""
    return str(answer.reason) if isinstance(answer, CallError) else "ok"


def call(method: str, ip: str | None = None, caller: Caller | None = None, **params: Any) -> Any:
    """The result, or the refusal."""
    return auth.answer([event(method, ip, caller, **params)])[0]


def registered(name: str, ip: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = call("auth.register", ip, username=name, password=PASSWORD)
    assert not isinstance(made, CallError), made
    return made


def login(name: str, ip: str | None, password: str = WRONG) -> str:
    return said(call("auth.login", ip, username=name, password=password))


def logins(name: str, ip: str | None, count: int, password: str = WRONG) -> list[str]:
    """Of so many, one after the other."""
    return [login(name, ip, password) for _ in range(count)]


def passes(seconds: float, ip: str | None) -> None:
    """So much time passes for what Redis remembers of a network."""
    source = addresses.source(ip)
    client = redis_client()
    for pattern in (keys.guesses(source), keys.guessed_names(source), f"guesses_at:{{{source}}}:*"):
        for key in client.scan_iter(pattern.replace("[", r"\[")):
            for member, score in client.zrange(key, 0, -1, withscores=True):
                client.zadd(key, {member: score - seconds * 1000})


def owner(made: dict[str, Any]) -> Caller:
    """Who calls with these tokens, as a connector finds out."""
    access = tokens.verifier().access(made["access_token"])
    return Caller(access.uid, access.device, "session00")
