"""What a connector sends to a function: a batch of CloudEvents, signed with the stack's key."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import orjson

from local.layout import Layout
from shared import secretfiles
from shared.doors import BATCH
from shared.errors import Reason
from shared.function import Function
from shared.settings import settings
from shared.signatures import HEADER, Signer


class Signed(NamedTuple):
    """A batch as it goes over HTTP."""

    headers: dict[str, str]
    body: bytes


def event(method: str, uid: str | None = None, **params: Any) -> dict[str, Any]:
    """A call of somebody, or of nobody."""
    caller = {} if uid is None else {"uid": uid, "did": "test", "sid": f"sid{uid}"}
    envelope = {"specversion": "1.0", "id": "e1", "source": "/connector/test", "type": method}
    return envelope | caller | {"data": params}


def signed(secrets: Path, function: str, events: Sequence[Any]) -> Signed:
    """A batch for the function under this name, by a connector with these secrets."""
    signer = Signer(secretfiles.read(secrets, secretfiles.CONNECTOR_KEY))
    body = orjson.dumps(list(events))
    return Signed({"Content-Type": BATCH, HEADER: signer.sign(function, body)}, body)


def lines(body: bytes) -> list[dict[str, Any]]:
    """The answers in the answer to a batch."""
    return [orjson.loads(line) for line in body.split(b"\n")]


async def post(http: httpx.AsyncClient, url: str, batch: Signed) -> list[dict[str, Any]]:
    """The answers of a function that is served there."""
    answer = await http.post(url, content=batch.body, headers=batch.headers)
    assert answer.status_code == 200, answer.text
    return lines(answer.content)


def handled(function: Function, batch: Signed) -> tuple[int, list[dict[str, Any]]]:
    """HTTP status and answers of a function of this process."""
    request = SimpleNamespace(
        body=batch.body, headers=batch.headers, method="POST", path="/", query={}
    )
    text, status, _ = function.handle(request, None)
    return status, lines(text)


def ours(function: str, events: Sequence[Any]) -> Signed:
    """A batch signed with the secrets that this process's settings name."""
    return signed(settings().secrets_dir, function, events)


def metrics_headers(layout: Layout) -> dict[str, str]:
    """Those that open a function's metrics."""
    token = secretfiles.read(layout.secrets, secretfiles.METRICS_TOKEN)
    return {"Authorization": f"Bearer {token}"}


def refusal(answer: dict[str, Any]) -> str:
    """The reason in an answer, or `ok`."""
    return str(Reason(answer["error"]["data"]["reason"])) if "error" in answer else "ok"
