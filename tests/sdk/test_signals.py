"""Signals by type, and how a presence is shown."""

from typing import Any

import pytest
from stonechat import ConversationChanged, Other, Presence, Read, Signal, Typing
from stonechat.signals import parse
from stonechat.terminal.lines import presence


@pytest.mark.parametrize(
    ("method", "params", "signal"),
    [
        ("read", {"conv": "g:1", "uid": "u", "seq": 5, "new": 1}, Read("g:1", "u", 5)),
        ("typing", {"conv": "g:1", "uid": "u"}, Typing("g:1", "u")),
        ("presence", {"uid": "u", "status": "offline"}, Presence("u", "offline")),
        (
            "presence",
            {"uid": "u", "status": "busy", "last_seen": 7, "text": "x"},
            Presence("u", "busy", 7, "x"),
        ),
        (
            "conversation",
            {"conv": "g:1", "read_seq": 5, "pinned": True, "muted": False, "hidden": True},
            ConversationChanged("g:1", 5, True, False, True),
        ),
        ("poll.closed", {"poll": 1}, Other("poll.closed", {"poll": 1})),
        ("read", {"conv": "g:1"}, Other("read", {"conv": "g:1"})),
    ],
)
def test_each_has_its_type(method: str, params: dict[str, Any], signal: Signal) -> None:
    assert parse(method, params) == signal


def test_how_a_presence_is_shown() -> None:
    assert presence(None) == ""
    assert presence(Presence("u", "offline")) == ""
    assert presence(Presence("u", "online", 5)) == "online"
    assert presence(Presence("u", "busy", 5, "at work")) == "busy “at work”"
    assert presence(Presence("u", "offline", 5)).startswith("last seen ")
