"""Results of any shape: read where they can be, told as such where not, and never anything else."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stonechat import shape
from stonechat.auth import SignInConfig
from stonechat.conversations import Conversation, ConversationState
from stonechat.entry import Entry, Forwarded
from stonechat.errors import BadAnswer
from stonechat.friends import Friend
from stonechat.groups import Group, Invitation, Made, Member
from stonechat.messages import Appended, Page, Sent
from stonechat.presence import Presence
from stonechat.signals import parse
from stonechat.users import OwnUser, User

KINDS = (
    Appended, Conversation, ConversationState, Forwarded, Friend, Group, Invitation, Made, Member,
    OwnUser, Presence, Sent, SignInConfig, User,
)  # fmt: skip
NAMES = st.sampled_from(
    """conv seq id ts sender type body uid gid state status name entries first_seq last_seq more
    mentions forwarded last_entry role settings ext tags providers username read_seq""".split()  # noqa: SIM905
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([0, 1, 2, 2**53, 2**53 + 1, 2**63, "d:a:b", "text"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8),
    max_leaves=30,
)


@dataclass(frozen=True, slots=True)
class Inner:
    number: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    ratio: float = 0.5
    more: dict[str, Any] = field(default_factory=dict)


def test_what_fits_is_read_and_what_does_not_is_as_if_not_there() -> None:
    fields = {"name": "n", "kind": "new", "inner": {"number": 1}, "ratio": 2, "unknown": 1}
    assert shape.read(Outer, fields) == Outer("n", "new", Inner(1), (), 2)  # type: ignore[arg-type]
    odd = {"name": "n", "kind": 5, "inner": {"number": "1"}, "ratio": "2", "more": [], "many": {}}
    assert shape.read(Outer, odd) == Outer("n")
    many = {"name": "n", "many": [{"number": 1}, {"number": True}, 3, {"number": 2**60}]}
    assert shape.read(Outer, many).many == (Inner(1),)


@pytest.mark.parametrize("value", [None, [], "x", {}, {"name": 5}, {"name": None}])
def test_without_what_it_needs_it_is_no_answer(value: Any) -> None:
    with pytest.raises(BadAnswer):
        shape.read(Outer, value)


@given(st.sampled_from(KINDS), JSON)
def test_anything_at_all_is_read_or_is_a_bad_answer(kind: Any, value: Any) -> None:
    try:
        assert isinstance(kind.parse(value), kind)
    except BadAnswer:
        assert True


@given(JSON, st.integers(1, 2**53))
def test_an_entry_in_its_place_is_always_one(value: Any, seq: int) -> None:
    entry = Entry.parse(value, "d:a:b", seq)
    assert entry.conv == "d:a:b"
    assert 1 <= entry.seq <= 2**53
    assert isinstance(entry.body, dict)
    assert entry.raw is value or entry.raw is None


def test_an_entry_that_makes_no_sense_is_unreadable_and_shows_what_came() -> None:
    good = {"conv": "d:a:b", "seq": 3, "id": "i", "ts": 5, "sender": "s", "type": "text"}
    body = {"body": {"text": "x"}}
    origin = {"forwarded": {"sender": "first", "ts": 2}}
    entry = Entry.parse(good | body | origin | {"new": 1})
    assert (entry.body, entry.forwarded, entry.unreadable, entry.raw) == (
        {"text": "x"}, Forwarded("first", 2), False, None,
    )  # fmt: skip
    recalled = Entry.parse(good | {"recalled": 9})
    assert (recalled.recalled, recalled.body, recalled.unreadable) == (9, {}, False)
    assert Entry.parse(good | {"unreadable": True}).unreadable
    for odd in ({"body": "x"}, {"sender": 5}, {"ts": 2**70}, {"id": None}, {"type": []}):
        entry = Entry.parse(good | body | odd)
        assert (entry.seq, entry.unreadable, entry.raw) == (3, True, good | body | odd)
    slightly = Entry.parse(good | body | {"mentions": "x", "forwarded": {"sender": 5}})
    assert (slightly.mentions, slightly.forwarded, slightly.unreadable) == ((), None, False)
    assert slightly.raw is not None
    for placeless in ({"seq": 0}, {"seq": "3"}, {"conv": 5}, {"conv": None}, {"seq": 2**60}):
        with pytest.raises(BadAnswer):
            Entry.parse(good | body | placeless)


@given(JSON)
def test_a_page_is_ascending_or_a_bad_answer(value: Any) -> None:
    try:
        page = Page.parse(value, "d:a:b", 4)
    except BadAnswer:
        return
    assert {each.conv for each in page.entries} <= {"d:a:b"}


def test_numbers_go_on_over_what_makes_no_sense() -> None:
    def fields(seq: int) -> dict[str, Any]:
        return {"conv": "d:a:b", "seq": seq, "id": "i", "ts": 5, "sender": "s", "type": "text"}

    items = [fields(5), None, {"seq": "x"}, fields(8), fields(2**50)]
    answer = {"entries": items, "first_seq": 1, "last_seq": 8, "more": False}
    page = Page.parse(answer, "d:a:b", 4)
    assert [(each.seq, each.unreadable) for each in page.entries] == [
        (5, False), (6, True), (7, True), (8, False),
    ]  # fmt: skip


@given(st.text(max_size=8) | st.sampled_from(["read", "typing", "presence", "user"]), JSON)
def test_any_signal_is_some_signal(method: str, params: Any) -> None:
    assert parse(method, params) is not None


@pytest.mark.parametrize(("page", "after"), [({"next": "a"}, "a"), ({"next": ""}, None)])
def test_a_page_that_leads_nowhere_is_no_answer(page: dict[str, str], after: str | None) -> None:
    assert shape.following({"next": "b"}, after) == "b"
    assert shape.following({}, after) is None
    with pytest.raises(BadAnswer):
        shape.following(page, after)
