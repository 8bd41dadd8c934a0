"""The door of a function, as data: batches in, answers out, no method run here.

A connector posts a CloudEvents 1.0 batch (`application/cloudevents-batch+json`), signed (see
`signatures`). An event's `type` is the method, its `data` the params, its `id` that of the client's
request, which log lines about it carry; the extension attributes `uid`, `did`, `sid`, `roles`
(comma-separated), `ip` and `agent` say who calls. The answer is a line of JSON for each event, in
the batch's order: `{"result": …}` or `{"error": …}`, HTTP status 200.

Domain events come through the same door, marked by the extension attribute `kind` "event", with the
standard attribute `time` and, where it is known, the attribute `request`, the id of the request
that caused them; calls shown to before-hooks are marked "before". No client's call can carry a
mark.

Whatever one event is or is answered with, the others' answers are the same: what cannot be read or
written is refused alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import structlog

from shared import bounded_json, signatures
from shared.call import Caller
from shared.errors import HTTP_STATUS, REQUEST_HEADER, CallError, Reason
from shared.events import Happened
from shared.subjects import about

BATCH = "application/cloudevents-batch+json"
_JSON = {"Content-Type": "application/json"}
_LINES = {"Content-Type": "application/x-ndjson"}

logger = structlog.get_logger(__name__)

Response = tuple[bytes, int, dict[str, str]]


class Event(NamedTuple):
    """A method to call."""

    id: Any
    method: str
    params: dict[str, Any]
    caller: Caller

    @property
    def request_id(self) -> str:
        """The id of the client's request."""
        return str(self.id)


class Proposal(Event):
    """A call that another function is about to get, shown to a before-hook."""

    __slots__ = ()


Received = Event | Proposal | Happened


def is_batch(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").split(";")[0].strip() == BATCH


def parse_batch(
    function: str, headers: Mapping[str, str], body: bytes
) -> list[Received | CallError]:
    """The calls and domain events of a batch, a refusal in place of one that cannot be read. Raises
    `unauthenticated` where no connector signed it for this function, `unavailable` where it is too
    old, `invalid_request` where it is not a batch."""
    signatures.checker().check(function, headers.get(signatures.HEADER), body)
    try:
        batch = orjson.loads(body)
    except orjson.JSONDecodeError:
        batch = None
    if not isinstance(batch, list):
        raise CallError(Reason.INVALID_REQUEST, "not a CloudEvents batch")
    return list(map(_received, batch))


def _received(fields: Any) -> Received | CallError:
    try:
        if bounded_json.is_deeper(fields["data"], bounded_json.LEVELS - 1):
            return CallError(Reason.INVALID_REQUEST, "nested too deep")
        kind = fields.get("kind")
        if kind is None:
            return _event(fields, Event)
        return _happened(fields) if kind == "event" else _event(fields, Proposal)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return CallError(Reason.INVALID_REQUEST, "not a CloudEvent")


def _event(fields: dict[str, Any], made: type[Event]) -> Event:
    method, params = fields["type"], fields["data"]
    if not (isinstance(method, str) and isinstance(params, dict)):
        raise TypeError
    get = fields.get
    who = (get("uid"), get("did"), get("sid"), get("ip"), get("agent"))
    for each in who:
        if type(each) is not str and each is not None:
            raise TypeError
    uid, did, sid, ip, agent = who
    roles = tuple(fields["roles"].split(",")) if "roles" in fields else ()
    caller = Caller(uid, did, sid, roles, ip, agent)
    return made(fields["id"], method, params, caller)


def _happened(fields: dict[str, Any]) -> Happened:
    ts = round(datetime.fromisoformat(fields["time"]).timestamp() * 1000)
    type_, data, id_ = fields["type"], fields["data"], fields["id"]
    request_id = fields.get("request", "")
    if not isinstance(data, dict) or any(
        type(each) is not str for each in (type_, id_, request_id)
    ):
        raise TypeError
    return Happened(type_, data, id_, ts, request_id)


def batch_answer(received: Sequence[Received | CallError], answers: Sequence[Any]) -> Response:
    """The answer to a batch; `answers` holds results and `CallError`s."""
    return b"\n".join(map(_line, received, answers)), 200, _LINES


def _line(asked: Received | CallError, answer: Any) -> bytes:
    found = {"error": answer.as_dict()} if isinstance(answer, CallError) else {"result": answer}
    try:
        return orjson.dumps(found)
    except TypeError as failure:  # no JSON, or nested too deep
        with about((asked,)):
            logger.error("answer_unwritable", error=failure)
        return orjson.dumps({"error": CallError(Reason.INTERNAL).as_dict()})


def refusal(error: CallError, request_id: str) -> Response:
    """The answer to a request that is no batch: the error, its HTTP status after it."""
    headers = _JSON | {REQUEST_HEADER: request_id}
    if "retry_after" in error.data:
        headers["Retry-After"] = str(max(1, round(error.data["retry_after"])))
    return orjson.dumps({"error": error.as_dict(request_id)}), HTTP_STATUS[error.code], headers


class RawRequest(NamedTuple):
    """A request that comes to a function as it is, from anywhere: whoever it is for checks who
    sent it. `path` is what follows the route's own."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in Title-Case
    body: bytes
    request_id: str = ""

    def json(self) -> Any:
        """The body's value. Raises `parse_error` and `invalid_request` (nested too deep)."""
        try:
            return bounded_json.loads(self.body)
        except bounded_json.TooDeepError as error:
            raise CallError(Reason.INVALID_REQUEST, str(error)) from None
        except orjson.JSONDecodeError:
            raise CallError(Reason.PARSE_ERROR) from None
