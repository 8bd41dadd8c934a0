"""A client of the HTTP door: a method is a POST to a connector."""

from typing import Any

import httpx
import orjson

from tests.requests import identified


def address(url: str) -> str:
    """The door beside a socket's address (`Layout.door_urls` has it for those of a stack)."""
    return url.replace("ws", "http", 1) + "/rpc"


def request(method: str, **params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": "h", "method": method, "params": params})


async def post(
    url: str, body: bytes, token: str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """HTTP status and JSON-RPC answer. `url` is the socket's, `token` an access token."""
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=20) as http:
        answer = await http.post(address(url), content=body, headers=bearer | headers)
    found: dict[str, Any] = answer.json()
    assert found["jsonrpc"] == "2.0"
    if "error" in found:
        assert answer.headers["X-Request-Id"] == identified(found["error"])
    return answer.status_code, found


async def refusal(url: str, body: bytes, token: str | None = None) -> tuple[int, str]:
    """HTTP status and the error's reason, or `ok`."""
    status, answer = await post(url, body, token)
    return status, answer.get("error", {}).get("data", {}).get("reason", "ok")
