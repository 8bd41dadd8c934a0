"""JSON-RPC 2.0 as bytes: what is sent to clients is encoded here, once."""

import json
import math
from typing import Any, NamedTuple

import orjson

from shared import bounded_json
from shared.errors import CallError, Reason, invalid_params
from shared.ids import request_id


class Request(NamedTuple):
    """`id` is the client's own, `request_id` the one that it is logged under."""

    id: str | int | float
    method: str
    params: dict[str, Any]
    request_id: str


class BadRequestError(Exception):
    """A text that is no request: the id to answer under (None where it has none) and the fault."""

    def __init__(self, id_: object, fault: CallError) -> None:
        super().__init__(str(fault))
        self.id = id_
        self.fault = fault


def answer(id_: object, line: bytes) -> bytes:
    """From a line that holds the rest of the object: `{"result": …}` or `{"error": …}`."""
    return b'{"jsonrpc":"2.0","id":' + orjson.dumps(id_) + b"," + line[1:]


def error(id_: object, fault: dict[str, Any]) -> bytes:
    """`fault` is an error object as `CallError.as_dict` makes it."""
    return orjson.dumps({"jsonrpc": "2.0", "id": id_, "error": fault})


def notification(method: str, params: Any) -> bytes:
    return notification_of(method, orjson.dumps(params))


def notification_of(method: str, params: bytes) -> bytes:
    """The same, of params that are JSON already."""
    return b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method.encode(), params)


def parse_request(text: bytes) -> Request:
    """One request. Raises `BadRequestError`: `parse_error` where the text is not JSON,
    `invalid_request` where it is not one JSON-RPC 2.0 request with an id or is nested too deep,
    `invalid_params` where the params are given by position."""
    try:
        request = bounded_json.loads(text)
    except bounded_json.TooDeepError as error:
        fault = CallError(Reason.INVALID_REQUEST, str(error))
        raise BadRequestError(_id(orjson.loads(text)), fault) from None
    except orjson.JSONDecodeError:
        raise BadRequestError(_id(_nearly(text)), CallError(Reason.PARSE_ERROR)) from None
    id_ = _id(request)
    if id_ is None:
        raise BadRequestError(None, CallError(Reason.INVALID_REQUEST))
    method, params = request.get("method"), request.get("params", {})
    if isinstance(params, list):
        raise BadRequestError(id_, invalid_params([], "params go by name", "dict_type"))
    if (
        request.get("jsonrpc") != "2.0"
        or not isinstance(method, str)
        or not isinstance(params, dict)
    ):
        raise BadRequestError(id_, CallError(Reason.INVALID_REQUEST))
    return Request(id_, method, params, request_id())


def _id(request: Any) -> str | int | float | None:
    """The id under which a request is answered, None where it has none."""
    id_ = request.get("id") if isinstance(request, dict) else None
    if not isinstance(id_, str | int | float) or isinstance(id_, bool):
        return None
    return None if isinstance(id_, float) and not math.isfinite(id_) else id_


def _nearly(text: bytes) -> Any:
    """What a laxer reader makes of a text that is not JSON, such as half an emoji: enough to find
    the id in it."""
    try:
        found = json.loads(text)
        orjson.dumps(_id(found))
    except (ValueError, RecursionError, TypeError):
        return None
    return found
