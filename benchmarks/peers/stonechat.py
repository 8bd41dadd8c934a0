"""Ourselves: the stack of `make up`, durable, on free ports.

People are written straight into the database and their tokens are signed here, since what a
password hash costs is not measured.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from pymongo import MongoClient

from benchmarks.peers import TEXT, nothing
from benchmarks.usage import Processes
from local.deploy import Front
from local.deployment import Packed, parse
from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from shared.ids import new_id
from shared.tokens import Issuer

_ENTRY = b'{"jsonrpc":"2.0","method":"entry"'
_MESSAGE = b'"type":"text"'
_PING = b"\x89\x00"  # RFC 6455: a ping without a payload; no JSON has these bytes
_TOKEN_SECONDS = 3 * 3600
_STORES = frozenset({"valkey", "mongo", "s3"})
_INVITED = 2000
_NOOP = """
from pydantic import BaseModel
from shared.call import Call
from shared.function import Function

fn = Function("noop")

class Nothing(BaseModel):
    pass

@fn.method("noop.call")
def call(call: Call[Nothing]):
    return {}

handle = fn.handle
"""


class StonechatLine(WSListener):
    """A lean client: it looks at how a frame begins, and parses answers of `call` only."""

    def __init__(self) -> None:
        self.heard: Callable[[], None] = nothing
        self.acknowledged: Callable[[], None] = nothing
        self.person = ""
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._cid = new_id()
        self._transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        text = frame.get_payload_as_bytes()
        if text.startswith(_ENTRY):
            if _MESSAGE in text:
                self.heard()
        elif frame.msg_type != WSMsgType.TEXT:
            if frame.msg_type == WSMsgType.PING:
                transport.send_pong(text)
        elif text.startswith(b'{"jsonrpc":"2.0","id":0,'):
            if b'"result"' not in text:
                raise RuntimeError(text.decode())
            self.acknowledged()
        elif self._waiting and text.startswith(b'{"jsonrpc":"2.0","id":'):
            answer = orjson.loads(text)
            if (waiting := self._waiting.pop(answer["id"], None)) is not None:
                waiting.set_result(answer)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("cut"))

    def send(self, to: str) -> None:
        self._number += 1
        key = "conv" if ":" in to else "to"
        self._transport.send(
            WSMsgType.TEXT,
            b'{"jsonrpc":"2.0","id":0,"method":"message.send","params":{"%b":"%b","cid":"%b%d",'
            b'"type":"text","body":{"text":"%b"}}}'
            % (key.encode(), to.encode(), self._cid.encode(), self._number, TEXT.encode()),
        )

    def pong(self) -> None:
        self._transport.send_pong()

    async def call(self, method: str, **params: Any) -> Any:
        """The result. Raises `RuntimeError` where it is refused."""
        self._number += 1
        waiting = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._transport.send(WSMsgType.TEXT, orjson.dumps(request))
        answer = await asyncio.wait_for(waiting, 60)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def only_hear(self) -> None:
        self._transport.underlying_transport.set_protocol(Counting(self))

    def cut(self) -> None:
        self._transport.disconnect(graceful=False)


class Counting(asyncio.Protocol):
    """Counts messages in what a line's socket brings, without looking for frames."""

    def __init__(self, line: StonechatLine) -> None:
        self._line = line
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        text = self._rest + data
        for _ in range(text.count(_MESSAGE)):
            self._line.heard()
        if _PING in text:
            self._line.pong()
        # A mark may be cut in two.
        whole = text.endswith((_MESSAGE, _PING))
        self._rest = b"" if whole else text[max(0, len(text) - len(_MESSAGE) + 1) :]


class Stonechat:
    """A stack with so many connectors."""

    confirms = True

    def __init__(self, connectors: int = 1, **settings: str) -> None:
        self.name = "stonechat"
        self._folder = tempfile.TemporaryDirectory(prefix="stonechat-bench-")
        layout = on_free_ports(Path(self._folder.name), connectors=connectors, **settings)
        self.stack = Stack(layout)
        self._functions: dict[str, list[int]] = {}

    async def start(self) -> None:
        await self.stack.start()
        secrets = self.stack.layout.secrets
        self._issuer = Issuer(secretfiles.read(secrets, secretfiles.SIGNING_KEY))
        self._store = MongoClient[dict[str, Any]](port=self.stack.layout.mongo_port)["stonechat"]
        password = secretfiles.read(secrets, secretfiles.GATEWAY_PASSWORD)
        self.front = Front(self.stack.layout.gateway_url, "admin", password)
        for name in ("auth", "user", "friend", "group", "presence", "send", "sync"):
            self._functions[name] = await self.stack.function_pids(name)

    async def stop(self) -> None:
        await self.stack.stop()
        self._folder.cleanup()

    async def people(self, count: int) -> list[str]:
        uids = [new_id() for _ in range(count)]
        for start in range(0, count, 1000):
            part = uids[start : start + 1000]
            documents = [
                {"_id": uid, "username": uid, "name": uid, "created_at": 0} for uid in part
            ]
            await asyncio.to_thread(self._store["users"].insert_many, documents)
            devices = [
                {"_id": f"device-{uid}", "uid": uid, "generation": 1, "used": 1}
                | {"signed_out": False, "created_at": 0, "refreshed_at": 0}
                for uid in part
            ]
            await asyncio.to_thread(self._store["devices"].insert_many, devices)
        return uids

    async def line(self, person: str, node: int = 0) -> StonechatLine:
        urls = self.stack.layout.connector_urls
        _, line = await ws_connect(StonechatLine, urls[node % len(urls)])
        assert isinstance(line, StonechatLine)
        line.person = person
        token = self._issuer.access(person, f"device-{person}", 1, (), _TOKEN_SECONDS)
        device = {"id": f"device-{person}"}
        await line.call("session.open", access_token=token, device=device)
        return line

    async def caught_up(self, line: StonechatLine, missed: int) -> None:
        """As the SDK does it: the list, then what is missing of each conversation."""
        found = 0
        after: dict[str, str] = {}
        while True:
            listed = await line.call("conversation.list", **after)
            for each in listed["conversations"]:
                history = await line.call("message.history", conv=each["conv"], after=0, limit=200)
                found += len(history["entries"])
            if "next" not in listed:
                break
            after = {"after": listed["next"]}
        if found < missed:
            raise RuntimeError(f"{found} of {missed} entries")

    async def room(self, people: Sequence[str]) -> str:
        owner = await self.line(people[0])
        made = await owner.call("group.create", cid=new_id(), name="bench")
        for start in range(1, len(people), _INVITED):
            uids = list(people[start : start + _INVITED])
            await owner.call("group.invite", gid=made["gid"], cid=new_id(), uids=uids)
        owner.cut()
        return f"g:{made['gid']}"

    async def join(self, line: StonechatLine, room: str) -> None:
        """Membership is enough."""

    def processes(self) -> Processes:
        parts = {name: [part.pid] for name, part in self.stack.parts.items()}
        return parts | self._functions

    def stores(self) -> frozenset[str]:
        return _STORES

    async def deploy_noop(self) -> None:
        """A function with nothing in it: `noop.call`. Returns when it answers."""
        source = Path(self._folder.name) / "noop"
        source.mkdir(exist_ok=True)
        (source / "handler.py").write_text(_NOOP)
        deployment = {
            "service": "noop",
            "image": "noop:1",
            "annotations": {"topic": "stonechat", "stonechat.methods": "noop.call"},
            "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
        }
        await asyncio.to_thread(self.front.up, Packed(parse(deployment), source))
        (person,) = await self.people(1)
        line = await self.line(person)
        async with asyncio.timeout(20):
            while True:
                try:
                    await line.call("noop.call")
                    break
                except RuntimeError:
                    await asyncio.sleep(0.1)
        line.cut()
        self._functions["noop"] = await self.stack.function_pids("noop")
