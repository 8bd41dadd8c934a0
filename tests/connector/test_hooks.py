"""Before-hooks: asked first, a batch at a time, and what happens when they fail."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from connector import answers
from connector.answers import Answer, refused
from connector.forwarder import Forwarder, TryAgainError
from connector.hooks import Hooks
from connector.lanes import Pending
from connector.routes import Hook, Routes, build
from shared.errors import CallError, Reason
from tests.connector import outlets

OWNER = outlets.session()
PASS = answers.PASSED


def call(method: str, number: int) -> Pending:
    return Pending(method, {"n": number}, 1, OWNER, lambda answer: None)


class Functions(Forwarder):
    """Where posts end: hooks that answer as they were told, and a function that echoes."""

    def __init__(self, **hooks: Any) -> None:
        self.asked: list[tuple[str, list[Any]]] = []
        self._hooks = hooks

    async def forward(self, function: str, calls: Sequence[Pending]) -> list[Answer]:
        self.asked.append((function, [call.params["n"] for call in calls]))
        return [b"%d" % call.params["n"] for call in calls]

    def _event(self, call: Pending, mark: bytes) -> bytes:
        return b'{%b"n":%d}' % (mark, call.params["n"])

    async def post(self, function: str, events: Sequence[bytes]) -> list[Answer]:
        shown = [orjson.loads(event) for event in events]
        assert all(event["kind"] == "before" for event in shown)
        self.asked.append((function, [event["n"] for event in shown]))
        behaviour = self._hooks[function]
        if isinstance(behaviour, Exception):
            raise behaviour
        if behaviour == "sleeps":
            await asyncio.Event().wait()
        return answers.parse(b"\n".join(behaviour(event["n"]) for event in shown), len(shown))


def only_even(number: int) -> Answer:
    return refused(CallError(Reason.FORBIDDEN)) if number % 2 else PASS


def hooks(functions: Functions, *wanted: Hook) -> Hooks:
    return Hooks(functions, lambda: Routes(hooks={"m": wanted}))


async def test_what_a_hook_refuses_goes_no_further() -> None:
    functions = Functions(a=only_even, b=lambda n: PASS)
    asked = hooks(functions, Hook("a", True, 1.0), Hook("b", True, 1.0))
    calls = [call("m", 0), call("m", 1), call("other", 3), call("m", 2)]
    found = await asked.forward("f", calls)
    assert functions.asked == [("a", [0, 1, 2]), ("b", [0, 2]), ("f", [0, 3, 2])]
    assert [found[0], found[2], found[3]] == [b"0", b"3", b"2"]
    assert orjson.loads(found[1])["error"]["data"]["reason"] == "forbidden"


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize(
    "behaviour",
    [
        TryAgainError("gone", reached=False),
        ValueError("nonsense"),
        "sleeps",
        lambda number: refused(CallError(Reason.INTERNAL)),
        lambda number: b'{"result": 1, "odd": true}',
        lambda number: b'{"result": 1}',
        lambda number: refused(CallError(Reason.UNKNOWN_METHOD)),
    ],
    ids=["gone", "nonsense", "slow", "broken", "no answer", "no verdict", "no hook"],
)
async def test_a_hook_that_fails_has_a_policy(behaviour: Any, refuses: bool) -> None:
    functions = Functions(a=behaviour)
    asked = hooks(functions, Hook("a", refuses, 0.05))
    (answer,) = await asked.forward("f", [call("m", 7)])
    if refuses:
        assert orjson.loads(answer)["error"]["data"]["reason"] == "unavailable"
    else:
        assert answer == b"7"


def test_hooks_come_from_annotations() -> None:
    annotations = {
        "topic": "stonechat",
        "stonechat.before": "message.send, group.create",
        "stonechat.before.policy": "pass",
        "stonechat.before.budget": "50",
    }
    careful = {"topic": "stonechat", "stonechat.before": "message.send"}
    found = build({"b": annotations, "a": careful}, Routes()).hooks
    assert found == {
        "message.send": (Hook("a", True, 0.3), Hook("b", False, 0.05)),
        "group.create": (Hook("b", False, 0.05),),
    }
