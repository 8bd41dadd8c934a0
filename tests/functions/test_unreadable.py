"""An entry that does not open fails alone: its key is gone, or somebody changed it in the store."""

from typing import Any

import pytest
from structlog.testing import CapturingLogger

from local.stack import Stack
from shared import entry, keys
from shared.collections import MESSAGES
from shared.conversation import direct
from shared.ids import new_id
from shared.stores import database, redis_client
from tests.functions.calls import Asked, ask, outcome
from tests.functions.worlds import There, function, world
from tests.soft import soft

SPOILT: list[Any] = [b"", b"\0\1", b"\xff\xff" + b"0" * 40, "text", None, 5, {"text": "clear"}]


def call(here: There, method: str, **params: Any) -> Any:
    name = {"message.history": "sync"}.get(method, method.split(".")[0])
    name = {"message": "send", "conversation": "sync"}.get(name, name)
    (answer,) = ask(function(name), [Asked(method, params, here["me"], here["session"])])
    assert outcome(answer).code == 0, answer
    return answer["result"]


@pytest.fixture
def here(stores: Stack) -> There:
    return world()[0]


def spoil(conv: str, seq: int, sealed: Any) -> None:
    database()[MESSAGES].update_one({"conv": conv, "seq": seq}, {"$set": {"body": sealed}})


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is logged of entries: (level, arguments, fields)."""
    logger = CapturingLogger()
    monkeypatch.setattr(entry, "logger", logger)
    return logger.calls


@pytest.mark.parametrize("sealed", SPOILT, ids=repr)
def test_a_history_shows_it_without_its_body(here: There, sealed: Any, logged: list[Any]) -> None:
    conv = here["conv"]
    whole = call(here, "message.history", conv=conv)["entries"]
    spoil(conv, 3, sealed)
    found = call(here, "message.history", conv=conv)["entries"]
    (lost,) = (each for each in found if each["seq"] == 3)
    assert lost["unreadable"] is True
    assert "body" not in lost
    assert [each for each in found if each["seq"] != 3] == [e for e in whole if e["seq"] != 3]
    ((level, _, fields),) = logged
    assert (level, fields) == ("warning", {"conv": conv, "seq": 3, "count": 1})


def test_many_are_logged_once(here: There, logged: list[Any]) -> None:
    conv = here["conv"]
    for seq in (2, 3, 4):
        spoil(conv, seq, b"")
    call(here, "message.history", conv=conv)
    assert [fields for _, _, fields in logged] == [{"conv": conv, "seq": 2, "count": 3}]


@pytest.mark.parametrize("tail", ["lost", "spoilt"])
def test_a_list_shows_it_without_its_body(here: There, tail: str) -> None:
    conv, last = here["conv"], 5
    whole = {each["conv"]: each for each in call(here, "conversation.list")["conversations"]}
    spoil(conv, last, b"")
    key = soft(keys.tail(conv))
    if tail == "lost":
        redis_client().delete(key)
    else:
        kept = redis_client().get(key)
        assert isinstance(kept, bytes)
        redis_client().set(key, kept[:-1] + bytes([kept[-1] ^ 1]))
    found = {each["conv"]: each for each in call(here, "conversation.list")["conversations"]}
    assert found.keys() == whole.keys()
    assert found[conv]["last_entry"]["unreadable"] is True
    assert "body" not in found[conv]["last_entry"]
    assert found[conv]["last_seq"] == last
    other = direct(here["me"], here["other"])
    assert found[other] == whole[other]


def test_what_one_process_cannot_open_is_not_kept_for_the_others(here: There) -> None:
    conv = here["conv"]
    sealed = database()[MESSAGES].find_one({"conv": conv, "seq": 5})
    assert sealed is not None
    spoil(conv, 5, b"")
    redis_client().delete(soft(keys.tail(conv)))
    call(here, "conversation.list")
    spoil(conv, 5, sealed["body"])
    found = {each["conv"]: each for each in call(here, "conversation.list")["conversations"]}
    assert found[conv]["last_entry"]["body"] == {"text": "hello"}


def test_it_cannot_be_passed_on(here: There) -> None:
    conv = here["conv"]
    spoil(conv, 3, b"")
    forward = {"cid": new_id(), "to": here["other"], "forward": {"conv": conv, "seq": 3}}
    good = forward | {"cid": new_id(), "forward": {"conv": conv, "seq": 4}}
    calls = [Asked("message.send", each, here["me"]) for each in (forward, good)]
    found = [outcome(answer).reason for answer in ask(function("send"), calls)]
    assert found == ["conflict", "ok"]


def test_it_can_be_edited_and_is_read_again(here: There) -> None:
    conv = here["conv"]
    spoil(conv, 3, b"")
    call(here, "message.edit", conv=conv, ref=3, cid=new_id(), body={"text": "again"})
    found = call(here, "message.history", conv=conv)["entries"]
    assert next(each for each in found if each["seq"] == 3)["body"] == {"text": "again"}
    assert not any("unreadable" in each for each in found)


def test_its_command_can_be_repeated(here: There) -> None:
    conv, cid = here["conv"], new_id()
    params = {"conv": conv, "cid": cid, "type": "text", "body": {"text": "x"}}
    first = call(here, "message.send", **params)
    spoil(conv, first["seq"], b"")
    redis_client().delete(soft(keys.tail(conv)))
    assert call(here, "message.send", **params) == first
