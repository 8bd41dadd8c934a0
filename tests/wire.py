"""A client that knows only the protocol: frames over one WebSocket, nothing repeated or ordered.

Whatever arrives is held against the published shapes, so that code and reference cannot part.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from pydantic import TypeAdapter

from local import reference, refusals
from shared.errors import Reason
from shared.shapes import NOTIFICATIONS
from tests.requests import identified

PASSWORD = "correct horse battery"


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: dict[str, Any] = error["data"]
        self.reason: str = error["data"]["reason"]


class Wire(WSListener):
    """One socket. `notifications` collects what came without being asked for."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        self.unasked: list[dict[str, Any]] = []  # errors with id null
        self.close_code: int | None = None
        self.closed = asyncio.Event()
        self.uid = ""
        self.sid = ""
        self.tokens: dict[str, Any] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._methods: dict[int, str] = {}
        self.number = 0
        self._news = asyncio.Condition()
        self._transport: WSTransport

    @classmethod
    async def connect(cls, url: str) -> Self:
        _, wire = await ws_connect(cls, url)
        assert isinstance(wire, cls)
        return wire

    @classmethod
    async def sign_in(cls, url: str, username: str, device: str = "test") -> Self:
        """Connects, registers (or logs in, where the name is taken) and opens a session."""
        wire = await cls.connect(url)
        try:
            wire.tokens = await wire.call("auth.register", username=username, password=PASSWORD)
        except Refused as refused:
            if refused.reason != "username_taken":
                raise
            wire.tokens = await wire.call("auth.login", username=username, password=PASSWORD)
        await wire.open(wire.tokens["access_token"], device)
        return wire

    async def open(self, access_token: str, device: str = "test") -> dict[str, Any]:
        opened = await self.call("session.open", access_token=access_token, device={"id": device})
        self.uid, self.sid = opened["uid"], opened["sid"]
        return opened

    def start(self, method: str, **params: Any) -> "asyncio.Future[dict[str, Any]]":
        """Sends a request; the future holds the whole answer."""
        self.number += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self.number] = answer
        self._methods[self.number] = method
        request = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.send_text(orjson.dumps(request))
        return answer

    async def call(self, method: str, **params: Any) -> Any:
        """The result. Raises `Refused`, and `ConnectionError` where the socket closes first."""
        return result(await asyncio.wait_for(self.start(method, **params), 30))

    async def send(self, to: str, cid: str, text: str = "hello") -> Any:
        """Sends a text message to a conversation, or to a uid."""
        where = {"conv" if ":" in to else "to": to}
        return await self.call("message.send", **where, cid=cid, type="text", body={"text": text})

    def send_text(self, text: bytes) -> None:
        self._transport.send(WSMsgType.TEXT, text)

    async def until(self, method: str, count: int, seconds: float = 20) -> list[dict[str, Any]]:
        """The params of the notifications of a method, as soon as there are `count` of them."""

        def found() -> list[dict[str, Any]]:
            return [each["params"] for each in self.notifications if each["method"] == method]

        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(found()) >= count)
        return found()

    def entries(self, conv: str) -> list[dict[str, Any]]:
        """The entries of a conversation that were notified, in the order they came."""
        return [
            each["params"]
            for each in self.notifications
            if each["method"] == "entry" and each["params"]["conv"] == conv
        ]

    async def until_closed(self, seconds: float = 20) -> int | None:
        """The close code."""
        await asyncio.wait_for(self.closed.wait(), seconds)
        return self.close_code

    def pause_reading(self) -> None:
        self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.underlying_transport.resume_reading()

    def cut(self) -> None:
        """Ends the connection without a word."""
        self._transport.disconnect(graceful=False)

    async def close(self) -> None:
        self._transport.disconnect()
        await self.closed.wait()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        match frame.msg_type:
            case WSMsgType.TEXT:
                self._receive(orjson.loads(frame.get_payload_as_bytes()))
            case WSMsgType.CLOSE:
                self.close_code = int(frame.get_close_code())
                transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"closed with {self.close_code}"))
                answer.exception()  # somebody may have stopped waiting

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass

    def _receive(self, message: dict[str, Any]) -> None:
        hold(self._methods.pop(message.get("id") or 0, ""), message)
        if "error" in message:
            identified(message["error"])
        if "method" in message:
            self.notifications.append(message)
        elif message["id"] is None:
            self.unasked.append(message["error"])
        elif not (answer := self._answers.pop(message["id"])).done():
            answer.set_result(message)
        if "method" in message or message["id"] is None:
            asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def learn(shapes: Mapping[str, Any]) -> None:
    """Holds also what comes of functions that are not among the published ones, by method or by
    notification."""
    _shapes().update({name: TypeAdapter(shape) for name, shape in shapes.items()})


def hold(method: str, message: dict[str, Any]) -> None:
    """Holds what came against what is published. Raises `ValidationError` for another shape,
    `AssertionError` for a refusal that the method does not announce."""
    if "method" in message:
        _shapes()[message["method"]].validate_python(message["params"])
    elif "result" in message and method in _shapes():
        _shapes()[method].validate_python(message["result"])
    elif "error" in message and method in _refusals():
        reason = message["error"]["data"]["reason"]
        assert reason in _refusals()[method], f"{method} does not say that it refuses with {reason}"


@cache
def _shapes() -> dict[str, TypeAdapter[Any]]:
    """By method, or by notification."""
    results = {each.name: each.result for each in reference.methods()}
    return results | {name: TypeAdapter(shape) for name, shape in NOTIFICATIONS.items()}


@cache
def _refusals() -> dict[str, list[Reason]]:
    """By method."""
    found = list(reference.methods())
    abouts = {each.name: each.about for each in found}
    return {each.name: refusals.of_method(each.name, abouts, public=each.public) for each in found}


def result(answer: dict[str, Any]) -> Any:
    """The result in an answer. Raises `Refused`."""
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["result"]


def direct(one: str, other: str) -> str:
    return "d:" + ":".join(sorted((one, other)))
