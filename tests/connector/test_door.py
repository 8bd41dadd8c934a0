"""The port of a connector: bytes as clients send them, by WebSocket and HTTP, to one that runs here
on a real Redis, before functions of ours."""

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiohttp
import orjson
import pytest
from aiohttp import web

from connector.connector import Connector
from connector.origin import Origin
from local import ports
from local.stack import Stack
from shared import keys, tokens
from shared.ids import new_id
from shared.settings import settings
from shared.stores import redis_client
from tests.requests import identified
from tests.soft import soft

METHODS = "x.echo, x.fail, x.slow, x.refused, x.open, x.wait"


class Functions:
    """What is behind the connector: `x` echoes, fails as it is told to, or waits; `hook` refuses
    `x.refused`; `c` knows no channels, and says so when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0
        self.channels = asyncio.Event()
        self.channels.set()
        self.asked_for_channels = 0
        self.signed_out: set[str] = set()
        self.checked: list[str] = []
        self.annotations = {
            "x": {
                "topic": "stonechat",
                "stonechat.methods": METHODS,
                "stonechat.public": "x.open, x.wait",
                "stonechat.lanes": "8",
            },
            "hook": {"topic": "stonechat", "stonechat.before": "x.refused"},
            "c": {
                "topic": "stonechat",
                "stonechat.methods": "session.channels",
                "stonechat.channels.policy": "refuse",
            },
            "auth": {"topic": "stonechat", "stonechat.methods": "session.check"},
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        events = orjson.loads(await request.read())
        lines = [await self._line(event) for event in events]
        return web.Response(body=b"\n".join(map(orjson.dumps, lines)) + b"\n")

    async def _line(self, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("kind") == "before":
            data = {"reason": "own_rule"}
            return {"error": {"code": -32002, "message": "the hook says no", "data": data}}
        match event["type"]:
            case "session.channels":
                self.asked_for_channels += 1
                await self.channels.wait()
                return {"result": {"channels": []}}
            case "session.check":
                self.checked.append(event["did"])
                return {"result": {"alive": event["did"] not in self.signed_out}}
            case "x.fail":
                return {"error": event["data"]["error"]}
            case "x.slow" | "x.wait":
                self.waiting += 1
                await self.go.wait()
                return {"result": "at last"}
            case _:
                names = ("uid", "did", "ip", "agent", "sid", "roles", "data")
                return {"result": {name: event[name] for name in names if name in event}}


class Place(NamedTuple):
    port: int
    functions: Functions
    routes: Path
    connector: Connector
    running: "asyncio.Task[None]"

    async def raw(self) -> "Raw":
        return await Raw.connect(self.port)


@pytest.fixture
def place(stores: Stack, tmp_path: Path) -> Callable[..., Any]:
    """Makes connectors with some settings of their own."""

    @asynccontextmanager
    async def made(**changes: Any) -> AsyncIterator[Place]:
        functions = Functions()
        gateway = web.ServerRunner(web.Server(functions.answer, access_log=None))
        await gateway.setup()
        gateway_port, port = ports.free_port(), ports.free_port()
        await web.TCPSite(gateway, "127.0.0.1", gateway_port).start()
        routes = tmp_path / "routes.json"
        routes.write_bytes(orjson.dumps(functions.annotations))
        config = settings().model_copy(
            update={
                "gateway_url": f"http://127.0.0.1:{gateway_port}",
                "routes_file": routes,
                "connector_port": port,
                "drain_timeout": 2.0,
            }
            | changes
        )
        origin = Origin(config)
        async with origin.client, aiohttp.ClientSession(auto_decompress=False) as http:
            connector = Connector(config, http, origin)
            running = asyncio.create_task(connector.run())
            await connector._routes.loaded.wait()
            try:
                yield Place(port, functions, routes, connector, running)
            finally:
                functions.go.set()
                functions.channels.set()
                connector.stop()
                async with asyncio.timeout(20):
                    await running
                await gateway.cleanup()

    return made


class Raw:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def dribble(self, data: bytes) -> None:
        """Each byte in a packet of its own."""
        for number in range(len(data)):
            self.writer.write(data[number : number + 1])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")[:-2]
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("content-type") == "application/json":
            found = orjson.loads(body)
            if "error" in found:
                assert headers["x-request-id"] == identified(found["error"])
            assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])
        return int(first.split()[1]), headers, body

    async def ended(self) -> None:
        """Returns when the other side has closed."""
        async with asyncio.timeout(10):
            while await self.reader.read(65536):
                pass

    async def upgraded(self) -> None:
        self.send(UPGRADE)
        assert (await self.response())[0] == 101

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: its first byte and payload."""
        async with asyncio.timeout(10):
            first, size = await self.reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            return first, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """The code of the close frame, past whatever comes before it."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2])

    async def call(self, method: str, id_: object = 1, **params: Any) -> dict[str, Any]:
        self.send(framed(request(method, id_, **params)))
        while True:
            first, payload = await self.frame()
            if first == 0x81:
                found: dict[str, Any] = orjson.loads(payload)
                if "error" in found:
                    identified(found["error"])
                return found

    def close(self) -> None:
        self.writer.transport.abort()


UPGRADE = (
    b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % base64.b64encode(b"x" * 16)
)


def framed(payload: bytes, first: int = 0x81) -> bytes:
    """As a client sends it: masked."""
    mask = os.urandom(4)
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def request(method: str, id_: object = 1, **params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})


def post(body: bytes, *lines: str) -> bytes:
    head = ["POST /v1/rpc HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def token(uid: str = "", device: str = "", roles: tuple[str, ...] = ()) -> str:
    return tokens.issuer().access(uid or new_id(), device or new_id(), 1, roles, 600)


def bearer(text: str) -> str:
    return f"Authorization: Bearer {text}"


async def test_a_first_line_may_come_byte_by_byte(place: Any) -> None:
    async with place() as here:
        for text in (post(request("x.open", n=1)), b"\r\n" + post(request("x.open", n=1))):
            raw = await here.raw()
            await raw.dribble(text)
            status, _, body = await raw.response()
            assert (status, orjson.loads(body)["result"]["data"]) == (200, {"n": 1})
            raw.close()


async def test_an_upgrade_may_come_byte_by_byte_and_calls_with_it(place: Any) -> None:
    async with place() as here:
        raw = await here.raw()
        await raw.dribble(UPGRADE + framed(request("x.open", n=1)))
        assert (await raw.response())[0] == 101
        assert orjson.loads((await raw.frame())[1])["result"]["data"] == {"n": 1}
        at_once = await here.raw()
        at_once.send(UPGRADE + framed(request("x.open", n=2)) * 3)
        assert (await at_once.response())[0] == 101
        for _ in range(3):
            assert orjson.loads((await at_once.frame())[1])["result"]["data"] == {"n": 2}
        raw.close()
        at_once.close()


async def test_requests_may_follow_each_other_on_one_connection(place: Any) -> None:
    async with place() as here:
        raw = await here.raw()
        raw.send(b"".join(post(request("x.open", n, n=n)) for n in range(50)))
        for number in range(50):
            status, _, body = await raw.response()
            assert status == 200
            assert orjson.loads(body)["id"] == number
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.response())[0] == 200
        raw.close()


async def test_who_says_nothing_is_sent_away(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.door._PATIENCE", 0.1)
    async with place() as here:
        for text in (b"", b"POST /v1/rp", b"\r\n\r\n\r\n", b"GET /v1 HTTP/1.1\r\nHost: x\r\n"):
            raw = await here.raw()
            raw.send(text)
            await raw.ended()
        assert len(here.connector._door._visitors) == 0


@pytest.mark.parametrize(
    "text", [b"x" * 9000, b"\r\n" * 9000, b"\x16\x03\x01" + bytes(9000), b"GET /" + b"a" * 9000]
)
async def test_a_first_line_has_an_end(place: Any, text: bytes) -> None:
    async with place() as here:
        raw = await here.raw()
        raw.send(text)
        await raw.ended()


@pytest.mark.parametrize(
    "text",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/rpc HTTP/9.9\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=range(11),
)
async def test_what_is_no_request_gets_no_answer_that_is_one(place: Any, text: bytes) -> None:
    async with place() as here:
        raw = await here.raw()
        raw.send(text)
        async with asyncio.timeout(10):
            first = await raw.reader.readline()
        assert first == b"" or first.split()[1].startswith(b"4")
        raw.close()
        assert (await (await upgraded(here)).call("x.open"))["result"]["ip"] == "127.0.0.1"


async def upgraded(here: Place) -> Raw:
    raw = await here.raw()
    await raw.upgraded()
    return raw


async def opened(here: Place, access: str = "") -> Raw:
    raw = await upgraded(here)
    params = {"access_token": access or token(), "device": {"id": "d"}}
    assert "result" in await raw.call("session.open", **params)
    return raw


async def posted(here: Place, method: str, *lines: str, **params: Any) -> tuple[int, Any, Any]:
    raw = await here.raw()
    raw.send(post(request(method, **params), *lines))
    status, headers, body = await raw.response()
    raw.close()
    return status, headers, orjson.loads(body)


async def test_a_caller_is_known_by_its_token(place: Any) -> None:
    uid, device = new_id(), new_id()
    async with place() as here:
        access = bearer(token(uid, device, ("admin", "x")))
        status, _, found = await posted(here, "x.echo", access, "User-Agent: me", n=1)
        assert status == 200
        assert found["result"] == {
            "uid": uid,
            "did": device,
            "ip": "127.0.0.1",
            "agent": "me",
            "roles": "admin,x",
            "data": {"n": 1},
        }
        _, _, found = await posted(here, "x.open", access, "User-Agent: another")
        assert found["result"] == {"ip": "127.0.0.1", "agent": "another", "data": {}}


async def test_each_request_speaks_for_itself(place: Any) -> None:
    """Though their limits are counted together."""
    uid, device = new_id(), new_id()
    async with place(trusted_proxies="127.0.0.0/8") as here:
        access = bearer(token(uid, device))
        sent = [
            posted(here, "x.echo", access, f"User-Agent: a{n}", f"X-Forwarded-For: 1.1.1.{n}", n=n)
            for n in range(20)
        ]
        for number, (_, _, found) in enumerate(await asyncio.gather(*sent)):
            assert found["result"]["data"] == {"n": number}
            assert found["result"]["agent"] == f"a{number}"
            assert found["result"]["ip"] == f"1.1.1.{number}"
        for name in ("one", "two"):
            _, _, found = await posted(here, "x.open", f"User-Agent: {name}")
            assert found["result"]["agent"] == name


async def test_an_address_is_believed_of_trusted_proxies_only(place: Any) -> None:
    lines = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4")
    for trusted, expected in (("", "127.0.0.1"), ("127.0.0.1", "1.2.3.4")):
        async with place(trusted_proxies=trusted) as here:
            _, _, found = await posted(here, "x.open", *lines)
            assert found["result"]["ip"] == expected
            raw = await here.raw()
            raw.send(UPGRADE[:-2] + "\r\n".join(lines).encode() + b"\r\n\r\n")
            assert (await raw.response())[0] == 101
            assert (await raw.call("x.open"))["result"]["ip"] == expected
            raw.close()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-32602, 400),
        (-32600, 400),
        (-32601, 404),
        (-32001, 401),
        (-32002, 403),
        (-32003, 404),
        (-32004, 409),
        (-32005, 429),
        (-32006, 503),
        (-32007, 413),
        (-32603, 503),
        (7, 400),
    ],
)
async def test_the_status_follows_the_error(place: Any, code: int, status: int) -> None:
    error = {"code": code, "message": "m", "data": {"reason": "r", "retry_after": 2.6}}
    async with place() as here:
        found = await posted(here, "x.fail", bearer(token()), error=error)
    assert found[0] == status
    assert found[1]["retry-after"] == "3"
    named = error["data"] | {"id": found[1]["x-request-id"]}
    assert found[2] == {"jsonrpc": "2.0", "id": 1, "error": error | {"data": named}}


def said_dead(device: str) -> None:
    redis_client().set(soft(keys.device(device)), "0", ex=60)


async def test_refusals_of_the_door_itself(place: Any) -> None:
    device = new_id()
    async with place(frame_limit=20_000) as here:
        await asyncio.to_thread(said_dead, device)
        known = bearer(token())
        for method, lines, params, expected in (
            ("x.echo", [], {}, (401, "unauthenticated")),
            ("x.echo", ["Authorization: Basic eDp5"], {}, (401, "unauthenticated")),
            ("x.echo", [bearer("nonsense")], {}, (401, "unauthenticated")),
            ("x.echo", [bearer(token(device=device))], {}, (401, "unauthenticated")),
            ("x.nothing", [known], {}, (404, "unknown_method")),
            ("session.open", [known], {}, (404, "unknown_method")),
            ("session.channels", [known], {}, (404, "unknown_method")),
            ("x.refused", [known], {}, (403, "own_rule")),
            ("x.open", [], {"n": "x" * 9000}, (413, "too_large")),
            ("x.echo", [known], {"n": "x" * 20_000}, (413, "too_large")),
        ):
            status, _, found = await posted(here, method, *lines, **params)
            assert (status, found["error"]["data"]["reason"]) == expected, method
        status, _, found = await posted(here, "x.echo", known, n="x" * 19_000)
        assert status == 200
        for body in (b"", b"{", b"[]", b"7", b"\xff", b"[" * 5000):
            raw = await here.raw()
            raw.send(post(body))
            status, _, found = await raw.response()
            assert (status, orjson.loads(found)["id"]) == (400, None)
            raw.close()
        raw = await here.raw()
        raw.send(b"GET /v1/rpc HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.response())[0] == 405
        raw.close()


async def test_bodies_are_small_and_come_in_time(place: Any) -> None:
    async with place(frame_limit=10_000, http_body_timeout=0.2) as here:
        chunked = b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = request("x.open", n=1)
        fine = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        raw = await here.raw()
        raw.send(chunked + fine)
        assert (await raw.response())[0] == 200
        raw.send(chunked + b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        raw.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n" + b"1000\r\n")
        raw.send(b"x" * 0x1000)
        assert (await raw.response())[0] == 413
        await raw.ended()
        slow = await here.raw()
        slow.send(post(body)[:-5])
        status, _, found = await slow.response()
        assert (status, orjson.loads(found)["error"]["data"]["reason"]) == (503, "timeout")
        await slow.ended()
        large = await here.raw()
        large.send(b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert (await large.response())[0] == 413
        await large.ended()


async def test_the_rate_is_limited_over_http_too(place: Any) -> None:
    slowly = {"rate_per_second": 0.1, "rate_burst": 2}
    async with place(**slowly, public_address_per_second=0.1, public_address_burst=3) as here:
        me, other = bearer(token()), bearer(token())
        statuses = [(await posted(here, "x.echo", me))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        status, headers, found = await posted(here, "x.echo", me)
        assert (status, found["error"]["data"]["reason"]) == (429, "rate_limited")
        assert 1 <= int(headers["retry-after"]) <= 10
        assert (await posted(here, "x.echo", other))[0] == 200
        statuses = [(await posted(here, "x.open"))[0] for _ in range(2)]
        statuses += [(await posted(here, "x.echo", bearer("nonsense")))[0] for _ in range(2)]
        assert statuses == [200, 200, 401, 429]
        assert (await posted(here, "x.open"))[0] == 429
        assert (await posted(here, "x.echo", other))[0] == 200


async def test_what_is_under_way_over_http_is_bounded(place: Any) -> None:
    async with place(in_flight_limit=2, http_requests_limit=3) as here:
        me, other = bearer(token()), bearer(token())
        waiting = [asyncio.create_task(posted(here, "x.slow", me)) for _ in range(2)]
        while here.functions.waiting < 1:
            await asyncio.sleep(0.005)
        while here.connector._http._busy < 2:
            await asyncio.sleep(0.005)
        status, _, found = await posted(here, "x.echo", me)
        assert (status, found["error"]["data"]["reason"]) == (503, "overloaded")
        waiting.append(asyncio.create_task(posted(here, "x.slow", other)))
        while here.connector._http._busy < 3:
            await asyncio.sleep(0.005)
        status, _, found = await posted(here, "x.open")
        assert (status, found["error"]["data"]["reason"]) == (503, "overloaded")
        here.functions.go.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * 3
        assert (await posted(here, "x.echo", me))[0] == 200
        accounts = here.connector._http._accounts.values()
        assert {(each.in_flight, each.in_flight_bytes) for each in accounts} == {(0, 0)}


async def test_who_does_not_wait_for_the_answer_leaves_nothing(place: Any) -> None:
    async with place(http_answer_timeout=0.1) as here:
        me = bearer(token())
        status, _, found = await posted(here, "x.slow", me)
        assert (status, found["error"]["data"]["reason"]) == (503, "timeout")
        raw = await here.raw()
        raw.send(post(request("x.slow"), me))
        while here.functions.waiting < 1:
            await asyncio.sleep(0.005)
        raw.close()
        here.functions.go.set()
        async with asyncio.timeout(5):
            while any(each.in_flight for each in here.connector._http._accounts.values()):
                await asyncio.sleep(0.005)
        assert here.connector._http._busy == 0


async def test_draining_answers_requests_and_ends_idle_connections(place: Any) -> None:
    async with place() as here:
        idle, busy, socket = await here.raw(), await here.raw(), await opened(here)
        idle.send(post(request("x.open")))
        assert (await idle.response())[0] == 200
        busy.send(post(request("x.slow"), bearer(token())))
        socket.send(framed(request("x.slow", 5)))
        while here.functions.waiting < 2:
            await asyncio.sleep(0.005)
        silent = await here.raw()
        here.connector.stop()
        await idle.ended()
        await silent.ended()
        here.functions.go.set()
        status, _, body = await busy.response()
        assert (status, orjson.loads(body)["result"]) == (200, "at last")
        assert orjson.loads((await socket.frame())[1])["result"] == "at last"
        assert await socket.close_code() == 1001
        async with asyncio.timeout(10):
            await here.running


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(b"x", 0x82)], 1003),
        ([(b"{}", 0xC1)], 1002),
        ([(b"{}", 0xA1)], 1002),
        ([(b"{}", 0x91)], 1002),
        ([(b"p", 0xC9)], 1002),
        ([(b"{", 0x01), (b"{}", 0x81)], 1002),
        ([(b"}", 0x80)], 1002),
        ([(b"}", 0x00)], 1002),
        ([(b"{", 0x01), (b"x", 0x82)], 1003),
        ([(b"x", 0x02)], 1003),
        ([(b"{", 0x01), (b"{", 0x01)], 1002),
    ],
)
async def test_what_is_no_text_closes(place: Any, frames: list[Any], code: int) -> None:
    async with place() as here:
        raw, other = await upgraded(here), await upgraded(here)
        raw.send(b"".join(framed(*each) for each in frames))
        assert await raw.close_code() == code
        await raw.ended()
        assert "result" in await other.call("x.open")
        other.close()


@pytest.mark.parametrize("payload", [b"", b"\x03", b"\x03\xe8", b"\x03\xed", b"\xff\xff\xfe"])
async def test_a_client_that_closes_is_let_go(place: Any, payload: bytes) -> None:
    async with place() as here:
        raw = await upgraded(here)
        raw.send(framed(payload, 0x88))
        await raw.ended()
        async with asyncio.timeout(5):
            while here.connector._server.sockets:
                await asyncio.sleep(0.005)


async def test_parts_make_a_message_and_pings_may_come_between(place: Any) -> None:
    async with place() as here:
        raw, text = await upgraded(here), request("x.open", n=1)
        raw.send(framed(text[:5], 0x01) + framed(b"", 0x00) + framed(b"hi", 0x89))
        raw.send(framed(text[5:], 0x80))
        assert await raw.frame() == (0x8A, b"hi")
        assert orjson.loads((await raw.frame())[1])["result"]["data"] == {"n": 1}
        raw.close()


async def test_a_message_in_parts_is_no_larger_than_one(place: Any) -> None:
    async with place(frame_limit=10_000) as here:
        raw = await upgraded(here)
        raw.send(framed(b"x" * 6000, 0x01) + framed(b"x" * 4000, 0x00))
        raw.send(framed(b"x", 0x00))
        assert await raw.close_code() == 1009
        raw.close()


FLOODS = {
    "pings": framed(b"", 0x89),
    "pongs": framed(b"", 0x8A),
    "empty parts": framed(b"", 0x00),
    "calls that are refused": framed(request("x.echo")),
    "unknown methods": framed(request("session.channels")),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_ends_who_makes_it(place: Any, frame: bytes) -> None:
    async with place(noise_per_second=1.0, noise_burst=100, open_timeout=60.0) as here:
        raw, other = await upgraded(here), await upgraded(here)
        if frame == FLOODS["empty parts"]:
            raw.send(framed(b"{", 0x01))
        raw.send(frame * 90)
        assert "result" in await other.call("x.open")
        raw.send(frame * 50)
        assert "result" in await other.call("x.open")
        assert await raw.close_code() == 4003
        await raw.ended()
        assert "result" in await other.call("x.open")
        other.close()


async def test_ten_texts_in_a_row_that_are_no_calls_end_the_session(place: Any) -> None:
    async with place() as here:
        raw = await opened(here)
        raw.send(framed(b"{") * 9 + framed(request("x.echo", 7)) + framed(b"") * 10)
        assert await raw.close_code() == 4003
        raw.close()


async def test_who_opens_no_session_makes_room(place: Any) -> None:
    async with place(sessions_limit=2) as here:
        kept, first = await opened(here), await upgraded(here)
        second = await upgraded(here)
        await first.ended()
        assert "result" in await second.call("x.open")
        assert "result" in await kept.call("x.echo")
        params = {"access_token": token(), "device": {"id": "d"}}
        assert "result" in await second.call("session.open", **params)
        third = await here.raw()
        third.send(UPGRADE)
        assert (await third.response())[0] == 503
        for raw in (kept, second):
            raw.close()


async def test_those_of_an_address_that_open_no_session_are_few(place: Any) -> None:
    async with place(unopened_limit=3) as here:
        many = await asyncio.gather(*(upgraded(here) for _ in range(12)))
        async with asyncio.timeout(5):
            while len(here.connector._server.sockets) > 3:
                await asyncio.sleep(0.005)
        kept = await opened(here)
        many += await asyncio.gather(*(upgraded(here) for _ in range(5)))
        async with asyncio.timeout(5):
            while len(here.connector._server.sockets) > 4:
                await asyncio.sleep(0.005)
        assert "result" in await kept.call("x.echo"), "who opened one is not counted"
        for raw in (*many, kept):
            raw.close()


async def test_what_a_client_asked_before_it_was_closed_is_counted_once(place: Any) -> None:
    """However its calls end, a socket that is gone leaves nothing under way."""
    async with place() as here:
        raw = await opened(here)
        for number in range(5):
            raw.send(framed(request("x.slow", number)))
        while here.functions.waiting < 1:
            await asyncio.sleep(0.005)
        [session] = here.connector._server.sockets
        raw.close()
        async with asyncio.timeout(5):
            while here.connector._server.sockets:
                await asyncio.sleep(0.005)
            here.functions.go.set()
            while not here.connector._lanes.idle:
                await asyncio.sleep(0.005)
        assert (session.in_flight, session.in_flight_bytes) == (0, 0)
        assert session.channels == set()
        lane = here.connector._lanes._lanes["x"]
        assert (lane._waiting, lane._queues) == (0, {})


async def test_a_renewal_does_not_fail_with_the_openings_beside_it(place: Any) -> None:
    uid, device = new_id(), new_id()
    async with place(open_timeout=0.5) as here:
        kept = await opened(here, token(uid, device))
        here.functions.channels.clear()
        asked = here.functions.asked_for_channels
        opening = [await upgraded(here) for _ in range(2)]
        start = framed(request("session.open", access_token=token(), device={"id": "d"}))
        opening[0].send(start)
        while here.functions.asked_for_channels == asked:
            await asyncio.sleep(0.005)
        opening[1].send(start)
        found = await kept.call("session.renew", access_token=token(uid, device))
        assert "expires_at" in found["result"]
        for raw in (kept, *opening):
            raw.close()


async def test_who_is_only_opening_a_session_calls_nothing_yet(place: Any) -> None:
    """Though the call came before, and waited for its method to be deployed."""
    async with place() as here:
        raw = await upgraded(here)
        here.functions.channels.clear()
        asked = here.functions.asked_for_channels
        raw.send(framed(request("x.new", 1)))
        raw.send(framed(request("session.open", 2, access_token=token(), device={"id": "d"})))
        while here.functions.asked_for_channels == asked:
            await asyncio.sleep(0.005)
        here.functions.annotations["x"]["stonechat.methods"] += ", x.new"
        here.routes.write_bytes(orjson.dumps(here.functions.annotations))
        first = orjson.loads((await raw.frame())[1])
        assert (first["id"], first["error"]["data"]["reason"]) == (1, "unauthenticated")
        here.functions.channels.set()
        assert "result" in orjson.loads((await raw.frame())[1])
        assert "result" in await raw.call("x.new")
        raw.close()


@pytest.mark.parametrize("reads_on", [True, False], ids=["reads on", "goes"])
async def test_calls_of_a_client_that_does_not_read_wait_for_it(place: Any, reads_on: bool) -> None:
    count, text = 400, "x" * 60_000
    async with place(send_buffer_limit=10_000, slow_reader_timeout=60.0) as here:
        raw, other = await opened(here), await opened(here)
        session = next(iter(here.connector._server.sockets))
        for number in range(count):
            raw.send(framed(request("x.echo", number, text=text)))
        async with asyncio.timeout(20):
            while not session.clogged:
                await asyncio.sleep(0.005)
        assert "result" in await other.call("x.echo")
        if reads_on:
            for number in range(count):
                assert orjson.loads((await raw.frame())[1])["id"] == number
        else:
            raw.close()
        async with asyncio.timeout(10):
            while session.in_flight or not here.connector._lanes.idle:
                await asyncio.sleep(0.005)
        lane = here.connector._lanes._lanes["x"]
        assert (lane._waiting, lane._waiting_bytes, lane._queues) == (0, 0, {})
        assert session.in_flight_bytes == 0
        raw.close()
        other.close()


async def test_a_loss_while_a_session_is_opened(place: Any) -> None:
    """What was asked for it before is asked again, and nothing is told before it is open."""
    async with place() as here:
        here.functions.channels.clear()
        raw = await upgraded(here)
        raw.send(framed(request("session.open", access_token=token(), device={"id": "d"})))
        for times in (1, 2):
            async with asyncio.timeout(10):
                while here.functions.asked_for_channels < times:
                    await asyncio.sleep(0.005)
            here.connector._inbox.lose()
            if times == 1:
                here.functions.channels.set()
        assert "result" in orjson.loads((await raw.frame())[1])
        assert here.functions.asked_for_channels >= 2
        raw.close()


async def test_open_sessions_are_asked_for_again_after_a_loss(place: Any) -> None:
    """And whose device was signed out meanwhile is closed."""
    gone = new_id()
    async with place() as here:
        kept, closed = await opened(here, token()), await opened(here, token(device=gone))
        here.functions.signed_out.add(gone)
        here.connector._inbox.lose()
        told = {"jsonrpc": "2.0", "method": "session.resync", "params": {}}
        assert orjson.loads((await kept.frame())[1]) == told
        assert await closed.close_code() == 4001
        assert "result" in await kept.call("x.echo")
        kept.close()
        closed.close()
