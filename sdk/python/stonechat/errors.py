"""Errors: one class for each row of the protocol's error table, and the client's own."""

import math
from typing import Any

from stonechat import patience


class StonechatError(Exception):
    """The server refused a call. `reason` is stable, the text is for people; `data` is all that
    the server said about it. `id` names the call in the server's own log, where it told."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        self.code = code
        self.data = data or {}
        self.reason = _text(self.data.get("reason"))
        self.id = _text(self.data.get("id")) or None
        super().__init__(message)

    def __str__(self) -> str:
        said = [self.args[0] or type(self).__name__, *self.details()]
        known = ", ".join(filter(None, [self.reason or str(self.code), self.id]))
        return f"{': '.join(said)} ({known})"

    def details(self) -> list[str]:
        """What of `data` a developer wants to see at once."""
        return []


class UnknownMethod(StonechatError):
    """-32601: no function that is deployed has it."""


class InvalidParams(StonechatError):
    """-32602. `errors` are the fields and what is wrong with each; the text says them too."""

    @property
    def errors(self) -> list[tuple[str, str]]:
        """(field, what is wrong), such as `("body.text", "Field required")`."""
        found = self.data.get("errors")
        return [
            (_place(each.get("loc")), _text(each.get("msg")))
            for each in (found if isinstance(found, list) else [])
            if isinstance(each, dict)
        ]

    def details(self) -> list[str]:
        told = [": ".join(filter(None, pair)) for pair in self.errors]
        return ["; ".join(told)] if told else []


class Internal(StonechatError):
    """-32603, and what a correct client never causes."""


class BadAnswer(Internal):
    """What came has not the shape that the protocol gives it."""

    def __init__(self, message: str) -> None:
        super().__init__(-32603, f"an answer that makes no sense: {message}", {})
        self.reason = "bad_answer"


class Unauthenticated(StonechatError):
    """-32001: not signed in, or the credentials are wrong."""


class Forbidden(StonechatError):
    """-32002: signed in, not allowed."""

    def details(self) -> list[str]:
        permission = _text(self.data.get("permission"))
        return [f"wants the permission {permission}"] if permission else []


class NotFound(StonechatError):
    """-32003: there is none, or none that one may know of."""


class Conflict(StonechatError):
    """-32004: conflicts with the present state."""


class _Later(StonechatError):
    @property
    def retry_after(self) -> float:
        """Seconds to wait before the next try."""
        asked = self.data.get("retry_after")
        if not isinstance(asked, int | float) or not math.isfinite(asked):
            return 0.0
        return float(min(max(asked, 0), patience.PAUSE))

    def details(self) -> list[str]:
        return [f"again in {self.retry_after:g} s"] if self.retry_after else []


class TooFast(_Later):
    """-32005; again after `retry_after` seconds."""


class TryAgain(_Later):
    """-32006: nothing is known of the outcome; safe to repeat with the same cid, after
    `retry_after` seconds."""


class TooLarge(StonechatError):
    """-32007; also raised by the client, before it sends a frame that the server would not take."""


class Disconnected(ConnectionError):
    """The client was closed, or the server cannot be reached, before there was an answer."""


class SignedOut(ConnectionError):
    """This device is signed out: its tokens are no longer taken. Log in again."""


class NotSignedIn(RuntimeError):
    """Nothing can be asked before `register`, `login` or `resume`."""

    def __init__(self) -> None:
        super().__init__("not signed in: await `register`, `login` or `resume` first")


class OutboxFull(RuntimeError):
    """More is waiting to be sent than the client keeps."""


class StateInUse(RuntimeError):
    """Another process is this device at the moment."""


class UnusableState(RuntimeError):
    """A file is no state of this library's, or cannot be read or written."""


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
    """The result in an answer. Raises the `StonechatError` that is there instead, and `BadAnswer`
    where there is neither."""
    if "error" not in answer:
        if "result" not in answer:
            raise BadAnswer("neither a result nor an error")
        return answer["result"]
    error = answer["error"]
    if not isinstance(error, dict):
        raise BadAnswer("an error that is no object")
    code, data = error.get("code"), error.get("data")
    if type(code) is not int:
        raise BadAnswer("an error without a code")
    kind = _BY_CODE.get(code, Internal)
    raise kind(code, _text(error.get("message")), data if isinstance(data, dict) else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _place(loc: Any) -> str:
    return ".".join(map(str, loc)) if isinstance(loc, list) else _text(loc)
