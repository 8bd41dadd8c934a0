"""Errors: one class for each row of the protocol's error table, and the client's own."""

from typing import Any


class StonechatError(Exception):
    """The server refused a call. `reason` is stable; the message is for people."""

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(f"{message} ({data.get('reason', code)})")
        self.code = code
        self.reason: str = data.get("reason", "")
        self.data = data


class UnknownMethod(StonechatError):
    """-32601."""


class InvalidParams(StonechatError):
    """-32602; `data["errors"]` says where."""


class Internal(StonechatError):
    """-32603, and what a correct client never causes."""


class Unauthenticated(StonechatError):
    """-32001: not signed in, or the credentials are wrong."""


class Forbidden(StonechatError):
    """-32002: signed in, not allowed."""


class NotFound(StonechatError):
    """-32003."""


class Conflict(StonechatError):
    """-32004: conflicts with the present state."""


class TooFast(StonechatError):
    """-32005; `data["retry_after"]` seconds."""


class TryAgain(StonechatError):
    """-32006: nothing is known of the outcome; safe to repeat with the same cid."""


class TooLarge(StonechatError):
    """-32007; also raised by the client, before it sends a frame that the server would not take."""


class Disconnected(ConnectionError):
    """The client was closed, or the server cannot be reached, before there was an answer."""


class SignedOut(ConnectionError):
    """This device is signed out: its tokens are no longer taken. Log in again."""


class OutboxFull(RuntimeError):
    """More is waiting to be sent than the client keeps."""


class StateInUse(RuntimeError):
    """Another process is this device at the moment."""


_BY_CODE: dict[int, type[StonechatError]] = {
    -32601: UnknownMethod,
    -32602: InvalidParams,
    -32001: Unauthenticated,
    -32002: Forbidden,
    -32003: NotFound,
    -32004: Conflict,
    -32005: TooFast,
    -32006: TryAgain,
    -32007: TooLarge,
}


def result(answer: dict[str, Any]) -> Any:
    """The result in an answer. Raises the `StonechatError` that is there instead."""
    if "error" not in answer:
        return answer["result"]
    error = answer["error"]
    code = int(error["code"])
    kind = _BY_CODE.get(code, Internal)
    raise kind(code, str(error["message"]), error.get("data") or {})
