"""People who call functions as a connector does, without one: on the real stores."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from local import reference
from shared.call import Caller
from shared.collections import COMMANDS, USERS
from shared.doors import Event
from shared.errors import CallError
from shared.function import Function
from shared.ids import new_id
from shared.settings import settings
from shared.stores import database


def function_of(method: str) -> Function:
    """The shipped function that has this method."""
    for folder in sorted((reference.ROOT / "functions").glob("*/handler.py")):
        name = folder.parent.name
        found: Function = getattr(importlib.import_module(f"functions.{name}.handler"), name)
        if method in found.methods:
            return found
    raise LookupError(method)


class Person:
    """Somebody who is signed in on one device."""

    def __init__(self) -> None:
        self.uid = new_id()
        self.session = new_id()
        database()[USERS].insert_one({"_id": self.uid, "username": f"u{self.uid}", "name": "N"})

    def event(self, method: str, **params: Any) -> Event:
        return Event(new_id(), method, params, Caller(self.uid, "device", self.session))

    def call(self, method: str, **params: Any) -> Any:
        """The result. Raises `CallError`."""
        (answer,) = function_of(method).answer([self.event(method, **params)])
        if isinstance(answer, CallError):
            raise answer
        return _sent(answer)

    def do(self, method: str, **params: Any) -> Any:
        """The same, a new command."""
        return self.call(method, cid=new_id(), **params)

    def refused(self, method: str, **params: Any) -> CallError:
        """Why a command is refused."""
        with pytest.raises(CallError) as refusal:
            self.call(method, **({"cid": new_id()} | params))
        return refusal.value

    def send(self, conv: str, text: str = "hello") -> int:
        """The number of a message."""
        where = {"conv" if ":" in conv else "to": conv}
        sent = self.do("message.send", **where, type="text", body={"text": text})
        return int(sent["seq"])

    def history(self, conv: str) -> list[dict[str, Any]]:
        return list(self.call("message.history", conv=conv, after=0, limit=200)["entries"])


def answers(*events: Event) -> list[Any]:
    """Of one batch: a result, or the reason of the refusal, for each."""
    found = function_of(events[0].method).answer(events)
    return [str(each.reason) if isinstance(each, CallError) else _sent(each) for each in found]


def _sent(answer: Any) -> Any:
    """As it arrives: some of an answer is JSON already."""
    return orjson.loads(orjson.dumps(answer))


def forget() -> None:
    """Time passes: no result of a command is kept any more that does not stay for ever."""
    database()[COMMANDS].delete_many({})


@contextmanager
def house(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    """A house with other settings, as far as they are read anew."""
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"STONECHAT_{name.upper()}", value)
        settings.cache_clear()
        try:
            yield
        finally:
            patch.undo()
            settings.cache_clear()
