"""What the whole system logs: each request's story under its id, and nothing that anybody wrote."""

import asyncio
import re
import secrets
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import orjson
import pytest

from local.deploy import Front
from local.deployment import Packed, parse
from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from tests import door
from tests.conftest import CHEAP_PASSWORDS
from tests.wire import PASSWORD, Refused, Wire, result

# Breaks in every way, about what it is given.
HANDLER = '''
    import logging
    from collections.abc import Sequence
    from typing import Any

    import orjson
    import structlog
    from pydantic import BaseModel

    from shared import events, threads
    from shared.call import Call
    from shared.collections import USERS
    from shared.doors import RawRequest, Response
    from shared.events import Happened
    from shared.function import Function
    from shared.params import Params
    from shared.stores import database, redis_client

    fn = Function("breaks")
    logger = structlog.get_logger()

    class How(Params):
        how: str = ""
        text: str = ""

    class Number(BaseModel):
        number: int

    def _cause(text: str) -> None:
        try:
            int(text)
        except ValueError as failure:
            raise KeyError(text) from failure

    def _twice(text: str) -> None:
        for _ in range(2):
            database()["breaks"].insert_one({"_id": text, "text": text})

    def _many(text: str) -> None:
        database()["breaks"].insert_many([{"_id": text + "many"}] * 2)

    def _raise(failure: Exception) -> None:
        raise failure

    WAYS = {
        "raise": lambda text: _raise(RuntimeError(text)),
        "os": lambda text: _raise(ConnectionError(text)),
        "group": lambda text: _raise(ExceptionGroup(text, [ValueError(text)])),
        "number": int,
        "key": lambda text: {}[text],
        "cause": _cause,
        "model": lambda text: Number(number=text),
        "json": lambda text: orjson.loads(text),
        "encode": lambda text: (text + "\\u00e9").encode("ascii"),
        "file": lambda text: open("/no/such/" + text),
        "twice": _twice,
        "many": _many,
        "operator": lambda text: database()[USERS].update_one({}, {"$" + text: text}),
        "redis": lambda text: redis_client().execute_command("NOSUCH", text),
        "script": lambda text: redis_client().eval("return redis.error_reply(ARGV[1])", 0, text),
        "unwritable": lambda text: {text},
        "thread": lambda text: threads.Pool(1).submit(int, text).result(),
        "library": lambda text: logging.getLogger("library").error("about %s", text),
        "object": lambda text: logger.error("object", of=Number.model_construct(number=text)),
        "event": lambda text: events.emit([Happened("broke", {"text": text})]),
        "planted": lambda text: logger.error("planted", text=text),
    }

    @fn.method("breaks.one", public=True)
    def one(call: Call[How]) -> Any:
        """Breaks."""
        return WAYS[call.params.how](call.params.text)

    @fn.batch("breaks.together", public=True)
    def together(calls: Sequence[Call[How]]) -> list[Any]:
        """Breaks for all."""
        raise RuntimeError([call.params.text for call in calls])

    @fn.event("broke")
    def broke(happened: Sequence[Happened]) -> list[None]:
        if redis_client().set("breaks:once", "1", nx=True):
            raise RuntimeError([each.data["text"] for each in happened])
        return [None] * len(happened)

    @fn.raw("/raw")
    def raw(request: RawRequest) -> Response:
        raise RuntimeError(request.body)

    handle = fn.handle
    ready = fn.ready
'''
WAYS = re.findall(r'^        "(\w+)":', HANDLER, re.MULTILINE)
QUIET = {"library", "object", "event", "planted"}  # they do not fail the call
CONTROLS = "\n\r\t\x0b\x0c\x1b[31m\x85\u2028\u2029"
FORGED = '{"event":"forged","level":"error","part":"forged","timestamp":"0"}'


class Logged:
    """A system with `breaks`, and what it logged."""

    def __init__(self, stack: Stack) -> None:
        self.url = stack.layout.connector_urls[0]
        self.gateway = stack.layout.gateway_url
        self.folder = stack.layout.logs

    def files(self, *names: str) -> dict[str, bytes]:
        """All of them, or some, by name."""
        found = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        return {name: text for name, text in found.items() if not names or name in names}

    def naming(self, text: str) -> set[str]:
        """The files in which this text is."""
        return {name for name, found in self.files().items() if text.encode() in found}

    def lines(self, text: str) -> list[dict[str, Any]]:
        """The records in which it is, of the connector and of `breaks` itself."""
        files = self.files("connector-1.log", "breaks.log").values()
        lines = (line for found in files for line in found.splitlines() if text.encode() in line)
        return [orjson.loads(line) for line in lines]

    async def until(self, text: str, count: int) -> list[dict[str, Any]]:
        """The same, as soon as there are so many."""
        async with asyncio.timeout(20):
            while len(found := self.lines(text)) < count:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture(scope="module")
async def logged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Logged]:
    home = tmp_path_factory.mktemp("breaks")
    (home / "handler.py").write_text(dedent(HANDLER))
    deployment = {
        "service": "breaks",
        "image": "breaks:latest",
        "annotations": {
            "topic": "stonechat",
            "stonechat.methods": "breaks.one,breaks.together",
            "stonechat.public": "breaks.one,breaks.together",
            "stonechat.events": "broke",
            "stonechat.raw": "/raw",
        },
        "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
    }
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        layout = on_free_ports(Path(folder), connectors=1, **CHEAP_PASSWORDS)
        async with Stack(layout) as stack:
            password = secretfiles.read(layout.secrets, secretfiles.GATEWAY_PASSWORD)
            front = Front(layout.gateway_url, "admin", password)
            await asyncio.to_thread(front.up, Packed(parse(deployment), home))
            made = Logged(stack)
            # What happens before its group is made is not told to a new subscriber.
            await made.until('"function": "breaks", "event": "events_group_made"', 1)
            yield made


async def failed(wire: Wire, method: str, **params: Any) -> str:
    """The id in the error."""
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    return str(refused.value.data["id"])


async def test_one_id_tells_the_whole_story(logged: Logged) -> None:
    wire = await Wire.connect(logged.url)
    for method in ("breaks.one", "breaks.together"):
        id_ = await failed(wire, method, how="raise", text="x")
        function, connector = sorted(await logged.until(id_, 2), key=lambda each: each["part"])
        assert (function["part"], function["event"]) == ("breaks", "call_broke")
        assert "RuntimeError" in function["exception"]
        assert (connector["part"], connector["event"]) == ("connector", "calls_failed")
        assert (connector["method"], connector["reason"]) == (method, "internal")
        assert {function["request"], connector["request"]} == {id_}
        body = door.request(method, how="raise", text="x")
        _, answer = await door.post(logged.url, body)
        assert len(await logged.until(answer["error"]["data"]["id"], 2)) == 2


async def test_a_failure_of_a_batch_names_all_its_requests(logged: Logged) -> None:
    wire = await Wire.connect(logged.url)
    asked = [wire.start("breaks.together", text="x") for _ in range(20)]
    ids = [(await each)["error"]["data"]["id"] for each in asked]
    for id_ in ids:
        found = await logged.until(id_, 2)
        assert {"connector", "breaks"} == {each["part"] for each in found}


async def test_a_request_is_named_where_other_threads_work_and_where_it_leads(
    logged: Logged,
) -> None:
    wire = await Wire.connect(logged.url)
    id_ = await failed(wire, "breaks.one", how="thread", text="x")
    assert {each["part"] for each in await logged.until(id_, 2)} == {"connector", "breaks"}
    await wire.call("breaks.one", how="event", text="x")
    (event,) = await logged.until('"where": "broke"', 1)
    assert re.fullmatch("[0-9a-f]{16}", event["request"])


async def test_a_raw_path_answers_with_an_id_too(logged: Logged) -> None:
    async with httpx.AsyncClient(base_url=logged.gateway, timeout=20) as http:
        answer = await http.post("/function/breaks/raw", content=b"x")
    id_ = answer.json()["error"]["data"]["id"]
    assert answer.headers["X-Request-Id"] == id_
    (line,) = await logged.until(id_, 1)
    assert (line["event"], line["request"]) == ("call_broke", id_)


async def raw(url: str, data: bytes) -> None:
    """Sends bytes, and waits for the other side to close or to have answered."""
    host, port = url.removeprefix("ws://").split("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(15):
        await reader.read()
    writer.close()


async def abused(logged: Logged, text: str) -> None:
    """Says a text in every place where clients say something."""
    name = f"u{secrets.token_hex(6)}"
    wire = await Wire.sign_in(logged.url, name)
    token = wire.tokens["access_token"]
    for how in set(WAYS) - {"planted"}:
        answer = await asyncio.wait_for(wire.start("breaks.one", how=how, text=text), 30)
        assert ("result" in answer) == (how in QUIET), how
    await failed(wire, "breaks.together", text=text)
    await failed(wire, "breaks.one", how=text, text=text)
    await wire.send(wire.uid, "c1", text)
    for method, params in {
        text: {text: text},
        "no.such": {text: text},
        f"breaks.{text}": {},
        "breaks.one": {"how": 1, "text": {text: [text]}},
        "auth.register": {"username": name, "password": text},
        "auth.login": {"username": name, "password": text},
        "auth.refresh": {"refresh_token": text},
        "session.open": {"access_token": text, "device": {"id": text}},
        "session.renew": {"access_token": text},
        "message.send": {"to": text, "cid": text * 10, "type": text, "body": {text: text}},
        "message.edit": {"conv": text, "ref": text, "cid": text, "body": text},
        "message.history": {"conv": text},
        "conversation.read": {"conv": text, "seq": text},
        "friend.request": {"uid": text, "cid": "c", "note": text * 100},
        "friend.accept": {"uid": wire.uid, "cid": text},
        "group.create": {"cid": "c", "name": text * 100, "members": [text]},
        "group.join": {"gid": text, "cid": "c"},
        "user.update": {"cid": "c", "name": text * 100, "about": [text]},
        "presence.set": {"status": text, "text": text},
    }.items():
        answer = await asyncio.wait_for(wire.start(method, **params), 30)
        assert "error" in answer, method
        await door.post(logged.url, door.request(method, **params), token)
    await wire.call("user.update", cid="c2", about=text)
    for frame in (text.encode(), b'{"jsonrpc":"2.0","id":1,"method":"%b' % text.encode(), b"\xff"):
        wire.send_text(frame)
        await door.post(logged.url, frame, token)
    await wire.close()
    await spoken(logged, text)


async def spoken(logged: Logged, text: str) -> None:
    """The same in lines, paths and headers of HTTP."""
    bare = text.encode()
    bodies = [
        b"GET /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"%b / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\nConnection: close\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\n%b: x\r\nConnection: close\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n%b\r\n\r\n",
        b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nUser-Agent: %b\r\nX-Forwarded-For: 1\r\n"
        b"Authorization: Bearer x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
        b"X-Request-Id: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: %b\r\n\r\n",
        b"%b\r\n\r\n",
    ]
    for body in bodies:
        await raw(logged.url, body % bare)
    for path in (bodies[0], bodies[1], bodies[4]):
        await raw(logged.gateway.replace("http", "ws"), path % bare)
    async with httpx.AsyncClient(base_url=logged.gateway, timeout=20) as http:
        await http.post("/function/breaks/raw", content=bare)
        await http.post("/function/send", content=bare)
        await http.post("/function/send", params={"q": text}, content=b"[%b]" % bare)


async def test_nothing_that_anybody_wrote_is_logged(logged: Logged) -> None:
    marker = f"planted{secrets.token_hex(8)}"
    await abused(logged, marker)
    wire = await Wire.sign_in(logged.url, f"u{secrets.token_hex(6)}")
    found = f"planted{secrets.token_hex(8)}"
    result(await wire.start("breaks.one", how="planted", text=found))
    await logged.until(found, 1)
    assert logged.naming(found) >= {"breaks.log"}
    assert logged.naming(marker) == set()
    for secret in (PASSWORD, wire.tokens["access_token"], wire.tokens["refresh_token"]):
        assert logged.naming(secret) == set()


async def test_nobody_forges_a_line(logged: Logged) -> None:
    await abused(logged, f"{CONTROLS}{FORGED}{CONTROLS}")
    wire = await Wire.connect(logged.url)
    result(await wire.start("breaks.one", how="planted", text=f"last{CONTROLS}{FORGED}"))
    await logged.until("last", 1)
    ours = logged.files("connector-1.log", "gateway.log", "breaks.log", "send.log", "auth.log")
    assert ours.keys() >= {"connector-1.log", "gateway.log", "breaks.log"}
    for name, text in ours.items():
        for line in text.split(b"\n")[:-1]:
            assert line.isascii(), (name, line)
            record = orjson.loads(line)
            assert record["event"] != "forged", (name, record)
            assert record["part"] != "forged"
