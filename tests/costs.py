"""What methods ask of the stores, counted: run as a process of its own by `test_costs`.

Prints JSON: `trips`, the round trips to Redis and the commands to the document store for a batch of
one call and for a batch of many, by method; `filters`, what the store was asked to find or change:
collection and fields, each once.
"""

import importlib
import itertools
import sys
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import redis.connection
from pymongo import monitoring

from shared.call import Caller
from shared.collections import USERS
from shared.doors import Event
from shared.errors import CallError
from shared.ids import new_id
from shared.stores import database

MANY = 100

# Where a command has its filters.
_FILTERS: dict[str, Callable[[Any], list[Any]]] = {
    "find": lambda command: [command["filter"]],
    "findAndModify": lambda command: [command["query"]],
    "update": lambda command: [each["q"] for each in command["updates"]],
    "delete": lambda command: [each["q"] for each in command["deletes"]],
    "aggregate": lambda command: [
        stage["$match"] for stage in command["pipeline"] if "$match" in stage
    ],
}


class Counter(monitoring.CommandListener):
    """Counts commands, and notes their filters."""

    def __init__(self) -> None:
        self.commands = 0
        self.redis = 0
        self.filters: set[tuple[str, tuple[str, ...]]] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.commands += 1
        name = event.command_name
        if name in _FILTERS:
            for found in _FILTERS[name](event.command):
                fields = tuple(sorted(str(field) for field in found))
                self.filters.add((str(event.command[name]), fields))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


counter = Counter()
monitoring.register(counter)
_send = redis.connection.AbstractConnection.send_packed_command


def _counted(self: Any, *arguments: Any, **options: Any) -> Any:
    counter.redis += 1
    return _send(self, *arguments, **options)


redis.connection.AbstractConnection.send_packed_command = _counted  # type: ignore[method-assign]


def ask(method: str, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Calls the method's function with a batch of (uid, params), as the connector does."""
    name = OWNERS[method.split(".")[0]]
    function = getattr(importlib.import_module(f"functions.{name}.handler"), name)
    answers: list[Any] = function.answer(
        [
            Event(number, method, params, Caller(uid, "device", f"s{uid}"))
            for number, (uid, params) in enumerate(calls)
        ]
    )
    refused = [answer for answer in answers if isinstance(answer, CallError)]
    assert not refused, (method, refused[0].as_dict())
    return answers


OWNERS = {
    "message": "send",
    "conversation": "sync",
    "friend": "friend",
    "group": "group",
    "presence": "presence",
    "user": "user",
    "auth": "auth",
}


def trips(method: str, make: Callable[[int], tuple[str, dict[str, Any]]]) -> dict[str, list[int]]:
    """Round trips of a batch of one and of many, when caches are warm."""
    ask(method, [make(number) for number in range(MANY)])
    found: dict[str, list[int]] = {"redis": [], "store": []}
    for count in (1, MANY):
        before = counter.redis, counter.commands
        ask(method, [make(number) for number in range(count)])
        found["redis"].append(counter.redis - before[0])
        found["store"].append(counter.commands - before[1])
    return found


def main() -> None:
    uids = [new_id() for _ in range(MANY + 1)]
    documents = [{"_id": uid, "username": f"n{uid}", "name": uid} for uid in uids]
    database()[USERS].insert_many(documents)
    convs = ["d:" + ":".join(sorted(pair)) for pair in itertools.pairwise(uids)]
    text = {"type": "text", "body": {"text": "x"}}
    marks: Counts[int] = Counts()

    def further(number: int) -> tuple[str, dict[str, Any]]:
        """A mark that moves: no further than what was sent before."""
        marks[number] += 1
        return uids[number], {"conv": convs[number], "seq": marks[number]}

    found = {
        "message.send": trips(
            "message.send", lambda n: (uids[n], {"conv": convs[n], "cid": new_id(), **text})
        ),
        "conversation.list": trips("conversation.list", lambda n: (uids[n], {})),
        "conversation.read": trips("conversation.read", further),
    }
    found["conversation.list of many"] = trips(
        "conversation.list", lambda n: (uids[1 + n % (MANY - 1)], {"limit": 1})
    )
    OWNERS["message"] = "sync"
    found["message.history"] = trips(
        "message.history", lambda n: (uids[n], {"conv": convs[n], "after": 0, "limit": 1})
    )
    OWNERS["message"] = "send"
    _everything(uids, convs)
    filters = sorted([name, list(fields)] for name, fields in counter.filters)
    sys.stdout.write(orjson.dumps({"trips": found, "filters": filters}).decode() + "\n")


def _everything(uids: Sequence[str], convs: Sequence[str]) -> None:
    """Methods of all functions, so that their filters are seen."""
    one, two, three = uids[:3]
    conv, name = convs[0], f"p{one}"
    account = {"username": name, "password": "correct horse battery"}
    ask("auth.register", [(one, account)])
    (signed,) = ask("auth.login", [(one, account)])
    ask("auth.refresh", [(one, {"refresh_token": signed["refresh_token"]})])
    ask("user.get", [(one, {"uids": [two, three]})])
    ask("user.search", [(one, {"q": name})])
    ask("user.update", [(one, {"name": "One", "cid": "u"})])
    text = {"body": {"text": "y"}}
    ask("message.edit", [(one, {"conv": conv, "ref": 1, "cid": "e", **text})])
    ask("message.react", [(two, {"conv": conv, "ref": 1, "cid": "r", "emoji": "👍"})])
    ask("message.recall", [(one, {"conv": conv, "ref": 1, "cid": "x"})])
    ask("conversation.update", [(one, {"conv": conv, "pinned": True})])
    ask("friend.request", [(one, {"uid": three, "cid": "f"})])
    ask("friend.accept", [(three, {"uid": one, "cid": "a"})])
    ask("friend.list", [(one, {})])
    ask("friend.block", [(one, {"uid": uids[4], "cid": "b"})])
    ask("presence.get", [(one, {"uids": [three]})])
    ask("presence.set", [(one, {"status": "away"})])
    (group,) = ask("group.create", [(one, {"cid": "g", "name": "g", "members": [two, three]})])
    gid = group["gid"]
    ask("group.members", [(one, {"gid": gid})])
    ask("group.list", [(one, {})])
    ask("group.get", [(one, {"gid": gid})])
    ask("group.search", [(one, {"q": "g"})])
    ask("group.requests", [(one, {"gid": gid})])
    ask("group.invitations", [(one, {})])
    ask("group.remove", [(one, {"gid": gid, "uids": [three], "cid": "gr"})])
    ask("group.dismiss", [(one, {"gid": gid, "cid": "gd"})])


if __name__ == "__main__":
    main()
