"""The two doors of a function, as data: requests in, answers out, no method run here.

- The connector posts a CloudEvents 1.0 batch (`application/cloudevents-batch+json`) with a service
  token. An event's `type` is the method, its `data` the params; the extension attributes `uid`,
  `did`, `sid` and `roles` (comma-separated) say who calls. The answer is a line of JSON for each
  event, in the batch's order: `{"result": …}` or `{"error": …}`, HTTP status 200. So the connector
  passes a line on without parsing it.
- Domain events come in through that same door, marked by the extension attribute `kind` "event",
  with the standard attribute `time`. No client's call can carry the mark.
- Anyone else posts one JSON-RPC 2.0 request, with a user's access token unless the method is
  public.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from shared import keys, rpc, tokens
from shared.call import Caller
from shared.errors import HTTP_STATUS, CallError, Reason
from shared.events import Happened
from shared.stores import redis_client

RESERVED = "session."  # methods that functions answer to connectors alone
BATCH = "application/cloudevents-batch+json"
_JSON = {"Content-Type": "application/json"}
_LINES = {"Content-Type": "application/x-ndjson"}

Response = tuple[bytes, int, dict[str, str]]


class Event(NamedTuple):
    """A method to call: the common form of both doors."""

    id: Any
    method: str
    params: dict[str, Any]
    caller: Caller


class Proposal(Event):
    """A call that another function is about to get, shown to a before-hook."""

    __slots__ = ()


Received = Event | Proposal | Happened


def is_batch(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").split(";")[0].strip() == BATCH


def parse_batch(headers: Mapping[str, str], body: bytes) -> list[Received]:
    """The calls and domain events of a batch. Raises `unauthenticated` without a service token and
    `invalid_request` where the body is not a batch."""
    if not tokens.is_service_token(tokens.bearer(headers.get("Authorization"))):
        raise CallError(Reason.UNAUTHENTICATED, "not a service token")
    try:
        return [_received(each) for each in orjson.loads(body)]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise CallError(Reason.INVALID_REQUEST, "not a CloudEvents batch") from None


def _received(fields: dict[str, Any]) -> Received:
    match fields.get("kind"):
        case "event":
            return _happened(fields)
        case "before":
            return _event(fields, Proposal)
        case _:
            return _event(fields, Event)


def _event(fields: dict[str, Any], made: type[Event]) -> Event:
    roles = tuple(fields["roles"].split(",")) if fields.get("roles") else ()
    caller = Caller(fields.get("uid"), fields.get("did"), fields.get("sid"), roles)
    return made(fields["id"], fields["type"], fields.get("data") or {}, caller)


def _happened(fields: dict[str, Any]) -> Happened:
    ts = round(datetime.fromisoformat(fields["time"]).timestamp() * 1000)
    return Happened(fields["type"], fields["data"], fields["id"], ts)


def parse_single(headers: Mapping[str, str], body: bytes, *, public: frozenset[str]) -> Event:
    """The one request of an HTTP call. Raises `BadRequestError`, or a `CallError` where the token
    is missing or dead and the method is not among the `public` ones."""
    request = rpc.parse_request(body)
    if request.method.startswith(RESERVED):
        raise rpc.BadRequestError(request.id, CallError(Reason.UNKNOWN_METHOD))
    try:
        caller = Caller() if request.method in public else authenticate(headers)
    except CallError as refusal:
        raise rpc.BadRequestError(request.id, refusal) from None
    return Event(request.id, request.method, request.params, caller)


def authenticate(headers: Mapping[str, str]) -> Caller:
    """Who sends this access token. Raises `unauthenticated` or `token_expired`."""
    access = tokens.verifier().access(tokens.bearer(headers.get("Authorization")))
    if redis_client().exists(keys.revoked(access.device)):
        raise CallError(Reason.UNAUTHENTICATED, "the device is signed out")
    return Caller(access.uid, access.device, None, access.roles)


def batch_answer(answers: Sequence[Any]) -> Response:
    """The answer to a batch; `answers` holds results and `CallError`s."""
    lines = [
        orjson.dumps({"error": each.as_dict()} if isinstance(each, CallError) else {"result": each})
        for each in answers
    ]
    return b"\n".join(lines), 200, _LINES


def single_answer(id_: Any, answer: Any) -> Response:
    """The answer to one request, its HTTP status after its error."""
    if isinstance(answer, CallError):
        headers = dict(_JSON)
        if "retry_after" in answer.data:
            headers["Retry-After"] = str(max(1, round(answer.data["retry_after"])))
        return rpc.error(id_, answer.as_dict()), HTTP_STATUS[answer.code], headers
    return rpc.result(id_, answer), 200, _JSON
