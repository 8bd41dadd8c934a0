"""Whatever comes, the connection stays, later entries come, and so it is in the next process."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stonechat import BadAnswer, Client, InvalidParams, MemoryState, SqliteState, State, TooLarge
from stonechat.entry import Entry

from tests.sdk.odd_server import EMPTY, OPENED, OddServer
from tests.sdk.test_shape import JSON
from tests.wire import PASSWORD

METHODS = st.sampled_from(
    ["entry", "conversation.hint", "session.resync", "read", "typing", "presence", "user", "poll"]
)
NOTIFICATIONS = st.builds(
    lambda method, params: {"method": method, "params": params}, METHODS, JSON
)
ANSWERS = st.builds(
    lambda number, name, value: {"id": number, name: value},
    st.integers(0, 20) | JSON,
    st.sampled_from(["result", "error", "other"]),
    JSON,
)
SENSELESS = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b'"entry"',
    b"\xff\xfe",
    b"1" * 5000,
    b'{"method": 5}',
    b'{"method": "entry"}',
    b'{"method": "entry", "params": null}',
    b'{"method": "entry", "params": [1]}',
    b'{"method": "entry", "params": {"conv": "d:a:b", "seq": 1e400}}',
    b'{"method": "entry", "params": {"conv": "d:a:b", "seq": 99999999999999999999}}',
    b'{"method": "conversation.hint", "params": {"conv": "d:a:b", "last_seq": "9"}}',
    b'{"method": "conversation.hint", "params": {"conv": [], "last_seq": 9}}',
    b'{"method": "poll.closed", "params": "x"}',
    b"[" * 2000 + b"]" * 2000,
]


def entry(seq: int, conv: str = "d:alice000:bob00000", **more: Any) -> dict[str, Any]:
    fields = {"conv": conv, "seq": seq, "id": f"i{seq}", "ts": 5, "sender": "bob00000"}
    return fields | {"type": "text", "body": {"text": str(seq)}} | more


def stored(*entries: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answers `message.history` of what has these, by place."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        after = request["params"]["after"]
        last = len(entries)
        return {"entries": entries[after:], "first_seq": 1, "last_seq": last, "more": False}

    return answer


async def signed_in(server: OddServer, state: State | None = None) -> Client:
    client = Client(server.url, state=state)
    if not await client.resume():
        await client.register("alice", PASSWORD)
    return client


async def take(client: Client, count: int) -> list[Entry]:
    entries = client.entries()
    async with asyncio.timeout(20):
        return [await anext(entries) for _ in range(count)]


@pytest.mark.parametrize("number", range(len(SENSELESS)))
async def test_a_senseless_frame_is_counted_and_the_next_is_read(number: int) -> None:
    async with OddServer() as server, await signed_in(server) as client:
        server.say(SENSELESS[number])
        server.notify("entry", entry(1))
        (found,) = await take(client, 1)
        assert (found.seq, client.senseless_frames, server.openings) == (1, 1, 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=30) | JSON | NOTIFICATIONS | ANSWERS, max_size=12))
def test_no_frames_at_all_break_the_connection(frames: list[Any]) -> None:
    async def scenario() -> None:
        async with OddServer() as server, await signed_in(server) as client:
            server.say(*(each if isinstance(each, bytes) else _dumped(each) for each in frames))
            server.notify("entry", entry(1, "d:alice000:zoe00000"))
            found = [each async for each in _until(client, "d:alice000:zoe00000")]
            assert [each.seq for each in found if each.conv == "d:alice000:zoe00000"] == [1]
            assert server.openings == 1
            assert await client.call("any.method") == {}

    asyncio.run(scenario())


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a number that no JSON of this writer has
        return repr(value).encode()


async def _until(client: Client, conv: str) -> Any:
    async with asyncio.timeout(20):
        async for each in client.entries():
            yield each
            if each.conv == conv:
                return


ODD_RESULTS = [None, [], "x", 5, {}, {"seq": "x"}, {"seq": 2**60, "ts": []}, {"entries": 5}]


async def test_what_is_nearly_json_finds_its_call_and_its_place(tmp_path: Path) -> None:
    """A number that is none, half an emoji: in this process and the next."""
    file = tmp_path / "a.sqlite"
    place = b'{"conv": "d:alice000:bob\\ud83d", "seq": 1, "id": "i", "ts": 1e999, "sender": "s", '
    odd = b'{"method": "entry", "params": %b"type": "text", "body": {"text": "\\ud83d\xff"}}}'
    async with OddServer() as server:
        async with await signed_in(server, SqliteState(file)) as client:
            server.say(odd % place, b'{"id": 77, "result": NaN}')
            (found,) = await take(client, 1)
            assert (found.seq, found.unreadable, found.ts, found.body["text"]) == (
                1, True, 0, "?\ufffd",
            )  # fmt: skip
            server.answers["any.method"] = lambda request: (
                b'{"id": %d, "result": [1e999, "\\udc00"]}' % request["id"]
            )
            assert await client.call("any.method") == [None, "?"]
            server.notify("entry", entry(1))
            assert [each.seq for each in await take(client, 1)] == [1]
        async with await signed_in(server, SqliteState(file)) as client:
            server.answers["message.history"] = stored(entry(1), entry(2))
            server.notify("entry", entry(2))
            assert [each.seq for each in await take(client, 2)] == [1, 2]
            assert (client.senseless_frames, server.openings) == (0, 2)


@pytest.mark.parametrize("number", range(len(ODD_RESULTS)))
async def test_an_answer_of_odd_shape_fails_its_call_alone(number: int) -> None:
    odd = ODD_RESULTS[number]
    methods = ("message_send", "message_react", "group_list", "friend_list", "user_get")
    answers = dict.fromkeys(methods, odd)
    async with OddServer(**answers) as server, await signed_in(server) as client:
        conv = "d:alice000:bob00000"
        calls: list[Any] = [
            client.send(conv=conv, text="x"),
            client.react(conv, 1, "👍"),
            client.groups.list(),
            client.friends.list(),
            client.users.get(["bob00000"]),
        ]
        for call in calls:
            with pytest.raises(BadAnswer):
                await call
        server.answers["any.method"] = lambda request: orjson.dumps({"id": request["id"]})
        with pytest.raises(BadAnswer, match="neither a result nor an error"):
            await client.call("any.method")
        server.notify("entry", entry(1))
        assert [each.seq for each in await take(client, 1)] == [1]
        assert (server.openings, server.calls("message.send")) == (1, 1)


@pytest.mark.parametrize(
    "odd",
    [
        {"uid": "alice000"},
        OPENED | {"limits": {"frame_bytes": "x", "burst": -1, "calls_per_second": 0}},
        OPENED | {"expires_at": -5, "server_time": 2**52, "limits": None},
        OPENED | {"expires_at": "x", "server_time": [], "in_flight": 0},
    ],
)
async def test_a_session_of_odd_shape_is_one_all_the_same(odd: dict[str, Any]) -> None:
    async with OddServer(session_open=odd) as server, await signed_in(server) as client:
        assert await client.call("any.method") == {}
        assert (client.uid, server.openings) == ("alice000", 1)


async def test_a_list_of_odd_shape_is_asked_for_again() -> None:
    items = [None, {"conv": 5}, {"conv": "d:alice000:bob00000", "last_seq": "x"}, {"last_seq": 1}]
    answers = iter([5, {"conversations": {}}, {"conversations": items, "now": "x", "next": 5}])
    async with OddServer() as server:
        server.answers["conversation.list"] = lambda request: next(answers, EMPTY)
        async with await signed_in(server) as client:
            server.notify("entry", entry(1))
            assert [each.seq for each in await take(client, 1)] == [1]
        assert server.openings == 1


async def test_a_bad_entry_has_its_number_and_the_next_follow(tmp_path: Path) -> None:
    """By notification and from history, in this process and the next."""
    bad = entry(2) | {"body": "x", "sender": 5}
    async with OddServer() as server:
        server.answers["message.history"] = stored(entry(1), {"seq": []}, None, entry(4))
        async with await signed_in(server, SqliteState(tmp_path / "a.sqlite")) as client:
            server.notify("entry", entry(1))
            server.notify("entry", bad)
            found = await take(client, 2)
            assert [(each.seq, each.unreadable) for each in found] == [(1, False), (2, True)]
            assert found[1].raw == bad
        async with await signed_in(server, SqliteState(tmp_path / "a.sqlite")) as client:
            server.notify("conversation.hint", {"conv": bad["conv"], "last_seq": 4})
            found = await take(client, 3)
            seqs = [(each.seq, each.unreadable) for each in found]
            assert seqs == [(2, True), (3, True), (4, False)]
        assert server.openings == 2


async def test_numbers_that_cannot_be_do_not_wedge_a_conversation() -> None:
    async with OddServer() as server, await signed_in(server) as client:
        server.answers["message.history"] = {"entries": [entry(2**52)], "last_seq": 0}
        server.notify("entry", entry(2**53))
        server.notify("conversation.hint", {"conv": entry(1)["conv"], "last_seq": 2**53})
        server.notify("entry", entry(1))
        server.notify("entry", entry(2))
        assert [each.seq for each in await take(client, 2)] == [1, 2]


async def test_what_a_poisoned_command_left_is_settled_by_the_next_process(tmp_path: Path) -> None:
    """A forwarded message has no body; an answer may have no sense; a frame may be too large."""
    file = tmp_path / "a.sqlite"
    async with OddServer() as server:
        async with await signed_in(server, SqliteState(file)):
            pass
        state = SqliteState(file)
        source = {"conv": "d:alice000:zoe00000", "seq": 1}
        to = {"to": "bob00000"}
        state.keep(
            [
                ("message.send", {"cid": "c1", "forward": source} | to),
                ("message.send", {"cid": "c2", "type": 5, "body": "x"} | to),
                ("poll.create", {"cid": "c3"}),
                ("poll.create", {"cid": "c4", "text": "x" * 5000}),
            ]
        )
        server.answers["session.open"] = OPENED | {"limits": {"frame_bytes": 4096}}
        place = {"conv": entry(1)["conv"], "seq": 1, "id": "i1", "ts": 5}
        server.answers["message.send"] = place
        server.answers["poll.create"] = [None]
        server.answers["message.history"] = stored(entry(1))
        async with await signed_in(server, state) as client:
            assert [each.seq for each in await take(client, 1)] == [1]
            with pytest.raises(TooLarge):
                await client.call("any.method", {"text": "x" * 5000})
            assert await client.call("any.method") == {}
        kept = SqliteState(file)
        assert kept.kept() == []
        kept.close()
        assert (server.openings, client.senseless_frames) == (2, 0)


async def test_what_the_server_would_close_the_connection_for_is_not_sent() -> None:
    async with OddServer() as server, await signed_in(server) as client:
        deep: Any = {}
        for _ in range(70):
            deep = [deep]
        for _ in range(12):
            with pytest.raises(ValueError, match="64 levels"):
                await client.send(to="bob00000", type="custom", body={"deep": deep})
        for impossible in ({1, 2}, 2**70, "\ud800"):
            with pytest.raises(TypeError, match=r"message\.send are no JSON"):
                await client.send(to="bob00000", type="custom", body={"odd": impossible})
        assert await client.call("any.method", {"text": "[" * 100}) == {}
        assert server.calls("message.send") == 0


async def test_a_function_that_says_one_is_not_signed_in_costs_no_session() -> None:
    def refused(request: dict[str, Any]) -> bytes:
        data = {"reason": "token_expired"}
        error = {"code": -32001, "message": "no", "data": data}
        return orjson.dumps({"id": request["id"], "error": error})

    async with OddServer(poll_create=refused) as server, await signed_in(server) as client:
        for _ in range(3):
            with pytest.raises(Exception, match="token_expired"):
                await client.call("poll.create")
        assert server.openings == 1


async def test_what_the_app_s_own_loop_raises_is_the_app_s() -> None:
    async with OddServer() as server, await signed_in(server, MemoryState()) as client:
        server.notify("entry", entry(1))

        async def loop() -> None:
            async for _ in client.entries():
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await loop()
        assert client.connected


async def test_refused_params_say_which(tmp_path: Path) -> None:
    def refused(request: dict[str, Any]) -> bytes:
        errors = [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]
        data = {"reason": "invalid_params", "errors": errors, "id": "r77"}
        error = {"code": -32602, "message": "bad params", "data": data}
        return orjson.dumps({"id": request["id"], "error": error})

    async with OddServer(message_send=refused) as server, await signed_in(server) as client:
        with pytest.raises(InvalidParams, match=r"body\.text: Field required.*r77") as told:
            await client.send(to="bob00000", text="x")
        assert told.value.id == "r77"
