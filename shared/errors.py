"""The error table of the protocol: codes, reasons, and the one exception that carries them.

`reason` is stable and for programs; `message` is for people. `data.id` is the id of the request,
which is in the log lines about it; the door that answers the client puts it there. `HTTP_STATUS`
says how each code leaves the HTTP door.
"""

from enum import IntEnum, StrEnum
from typing import Any


class Code(IntEnum):
    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    UNKNOWN_METHOD = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    UNAUTHENTICATED = -32001
    FORBIDDEN = -32002
    NOT_FOUND = -32003
    CONFLICT = -32004
    TOO_FAST = -32005
    TRY_AGAIN = -32006
    TOO_LARGE = -32007


HTTP_STATUS = {
    Code.PARSE_ERROR: 400,
    Code.INVALID_REQUEST: 400,
    Code.UNKNOWN_METHOD: 404,
    Code.INVALID_PARAMS: 400,
    Code.INTERNAL: 503,
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_FAST: 429,
    Code.TRY_AGAIN: 503,
    Code.TOO_LARGE: 413,
}


REQUEST_HEADER = "X-Request-Id"  # of answers over HTTP: the same as an error's `data.id`


class Reason(StrEnum):
    PARSE_ERROR = "parse_error"
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_METHOD = "unknown_method"
    INVALID_PARAMS = "invalid_params"
    INTERNAL = "internal"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 (a reason)
    BAD_CREDENTIALS = "bad_credentials"
    NOT_A_MEMBER = "not_a_member"
    BLOCKED = "blocked"
    MUTED = "muted"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    USERNAME_TAKEN = "username_taken"
    ALREADY_MEMBER = "already_member"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"


_TABLE: dict[Reason, tuple[Code, str]] = {
    Reason.PARSE_ERROR: (Code.PARSE_ERROR, "the text is not JSON"),
    Reason.INVALID_REQUEST: (Code.INVALID_REQUEST, "not a JSON-RPC 2.0 request"),
    Reason.UNKNOWN_METHOD: (Code.UNKNOWN_METHOD, "no such method"),
    Reason.INVALID_PARAMS: (Code.INVALID_PARAMS, "the params do not fit the method"),
    Reason.INTERNAL: (Code.INTERNAL, "something went wrong on the server"),
    Reason.UNAUTHENTICATED: (Code.UNAUTHENTICATED, "sign in first"),
    Reason.TOKEN_EXPIRED: (Code.UNAUTHENTICATED, "the token has expired"),
    Reason.BAD_CREDENTIALS: (Code.UNAUTHENTICATED, "wrong username or password"),
    Reason.NOT_A_MEMBER: (Code.FORBIDDEN, "not a member of this conversation"),
    Reason.BLOCKED: (Code.FORBIDDEN, "blocked"),
    Reason.MUTED: (Code.FORBIDDEN, "muted"),
    Reason.FORBIDDEN: (Code.FORBIDDEN, "not allowed"),
    Reason.NOT_FOUND: (Code.NOT_FOUND, "no such thing"),
    Reason.CONFLICT: (Code.CONFLICT, "conflicts with the present state"),
    Reason.USERNAME_TAKEN: (Code.CONFLICT, "the username is taken"),
    Reason.ALREADY_MEMBER: (Code.CONFLICT, "already a member"),
    Reason.RATE_LIMITED: (Code.TOO_FAST, "too fast"),
    Reason.TOO_MANY_ATTEMPTS: (Code.TOO_FAST, "too many failed attempts"),
    Reason.UNAVAILABLE: (Code.TRY_AGAIN, "try again"),
    Reason.OVERLOADED: (Code.TRY_AGAIN, "overloaded, try again"),
    Reason.TIMEOUT: (Code.TRY_AGAIN, "timed out, try again"),
    Reason.TOO_LARGE: (Code.TOO_LARGE, "too large"),
}


class CallError(Exception):
    """A refusal that the caller is told, as the protocol's error object.

    `data` goes beside `reason`, such as `retry_after` in seconds.
    """

    def __init__(self, reason: Reason, message: str | None = None, **data: Any) -> None:
        self.reason = reason
        self.code, default = _TABLE[reason]
        self.message = message or default
        self.data = data
        super().__init__(f"{reason}: {self.message}")

    def as_dict(self, request_id: str | None = None) -> dict[str, Any]:
        """The error object; `request_id` is whose, where that is known."""
        data = {"reason": str(self.reason), **self.data}
        if request_id is not None:
            data["id"] = request_id
        return {"code": int(self.code), "message": self.message, "data": data}


def invalid_params(loc: list[str | int], msg: str, type_: str = "value_error") -> CallError:
    """An `invalid_params` for a rule that the model cannot express."""
    return CallError(Reason.INVALID_PARAMS, msg, errors=[{"loc": loc, "msg": msg, "type": type_}])
