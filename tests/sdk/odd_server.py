"""A server that signs everybody in and then says what a test wants, sense or not."""

from collections.abc import Callable
from typing import Any, Self

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

UID = "alice000"
TOKENS = {"uid": UID, "access_token": "a", "refresh_token": "r", "expires_in": 900}
OPENED = {"uid": UID, "sid": "s", "expires_at": 2**50, "server_time": 0, "limits": {}}
EMPTY = {"conversations": [], "now": 0}

Answer = Callable[[dict[str, Any]], Any]  # of a request: the result, or the frame as bytes


class OddServer:
    """`answers` has, by method, the result, or a function of the request that gives it; bytes are
    the whole frame. `openings` counts sessions, `asked` has every request."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "auth.register": TOKENS,
            "auth.login": TOKENS,
            "auth.refresh": TOKENS,
            "session.open": OPENED,
            "session.renew": {"expires_at": 2**50},
            "conversation.list": EMPTY,
            "message.history": {"entries": [], "first_seq": 1, "last_seq": 0, "more": False},
        }
        self.answers |= {name.replace("_", ".", 1): answer for name, answer in answers.items()}
        self.asked: list[dict[str, Any]] = []
        self.openings = 0
        self.url = ""
        self._sockets: list[WSTransport] = []
        self._server: Any = None

    async def __aenter__(self) -> Self:
        self._server = await ws_create_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for socket in self._sockets:
            socket.disconnect(graceful=False)

    def say(self, *frames: bytes) -> None:
        """Sends these to whoever is connected last."""
        for frame in frames:
            self._sockets[-1].send(WSMsgType.TEXT, frame)

    def notify(self, method: str, params: Any) -> None:
        self.say(orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def calls(self, method: str) -> int:
        return sum(each["method"] == method for each in self.asked)

    def _accept(self, request: WSUpgradeRequest) -> WSListener:
        return _Socket(self)

    def heard(self, transport: WSTransport, request: dict[str, Any]) -> None:
        self.asked.append(request)
        method = request["method"]
        self.openings += method == "session.open"
        answer = self.answers.get(method, {})
        if callable(answer):
            answer = answer(request)
        if not isinstance(answer, bytes):
            answer = orjson.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer})
        transport.send(WSMsgType.TEXT, answer)

    def connected(self, transport: WSTransport) -> None:
        self._sockets.append(transport)


class _Socket(WSListener):
    def __init__(self, server: OddServer) -> None:
        self._server = server

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._server.connected(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._server.heard(transport, orjson.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
