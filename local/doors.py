"""Whether connectors know a method: asked as any client would, at the doors of those that run."""

import time
from collections.abc import Sequence

import httpx

_SECONDS = 20.0
_AGAIN = 0.3
# Nobody has such a method, so a connector looks for new functions before it answers.
_NOBODYS = "local.look"
_UNKNOWN = "unknown_method"
_KNOWN = "unauthenticated"


class DoorError(RuntimeError):
    """A connector does not know what it should, or the reverse. One line for people."""


def until_known(doors: Sequence[str], methods: Sequence[str]) -> None:
    """Returns when each connector knows all the methods, none of which is public: those would be
    called. Raises `DoorError`."""
    _until(doors, methods, _KNOWN)


def until_unknown(doors: Sequence[str], methods: Sequence[str]) -> None:
    """Returns when no connector knows any of the methods. Raises `DoorError`."""
    _until(doors, methods, _UNKNOWN)


def _until(doors: Sequence[str], methods: Sequence[str], wanted: str) -> None:
    deadline = time.monotonic() + _SECONDS
    with httpx.Client(timeout=_SECONDS) as http:
        for door in doors:
            while (found := _answers(http, door, methods)) != dict.fromkeys(methods, wanted):
                if time.monotonic() > deadline:
                    raise DoorError(f"the connector at {door} answers otherwise: {found}")
                time.sleep(_AGAIN)


def _answers(http: httpx.Client, door: str, methods: Sequence[str]) -> dict[str, str]:
    """For each method the reason for which a stranger is refused, by a map that is new."""
    newest = _ask(http, door, _NOBODYS)
    if newest != _UNKNOWN:
        return {_NOBODYS: newest}
    return {method: _ask(http, door, method) for method in methods}


def _ask(http: httpx.Client, door: str, method: str) -> str:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
    try:
        return str(http.post(door, json=body).json()["error"]["data"]["reason"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        return str(error) or type(error).__name__
