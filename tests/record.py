"""`python -m tests.record`: a scene is played on the real system, and what each method was asked
and answered is written to `docs/examples.json`, the same in every run."""

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from local import examples
from local.layout import on_free_ports
from local.stack import Stack
from shared.ids import derived_id, new_id
from tests import scene
from tests.conftest import CHEAP_PASSWORDS
from tests.wire import Refused, Wire

_BEGAN = 1_767_225_600_000  # when the scene begins, as it is told: 2026 in UTC
_EACH = 60_000  # ms from one call to the next, as it is told
_LIFETIME = 15 * 60_000
_FAR = 10**9  # ms: what is later than this from now was not made by a clock

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{20}(?![0-9a-f])")
_REQUEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_TOLD_TOKEN = "header.claims.signature"  # a scanner shall not take it for a real one


class Recorder:
    """The first good call of each method, and its first refusal for each reason."""

    def __init__(self) -> None:
        self.suffix = new_id()[:12]
        self.found: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}
        self._requests: dict[str, str] = {}
        self._began: list[float] = []

    async def ask(self, wire: Wire, method: str, **params: Any) -> Any:
        await self._next()
        result = await wire.call(method, **params)
        told = self._told(params), self._told(result)
        of_method = self._of(method)
        if "result" not in of_method:
            of_method["params"], of_method["result"] = told
        return result

    async def refuse(self, wire: Wire, method: str, **params: Any) -> None:
        """Asks for something that is refused. Raises `AssertionError` where it is not."""
        await self._next()
        try:
            await wire.call(method, **params)
        except Refused as refused:
            error = {"code": refused.code, "message": refused.message, "data": refused.data}
            told = {"params": self._told(params), "error": self._told(error)}
            self._of(method)["refused"].setdefault(refused.reason, told)
        else:
            raise AssertionError(f"{method} was not refused: {params}")

    def _of(self, method: str) -> dict[str, Any]:
        return self.found.setdefault(method, {"refused": {}})

    async def _next(self) -> None:
        """Calls begin in milliseconds of their own, so that a time says which call it is of."""
        await asyncio.sleep(0.005)
        self._began.append(time.time() * 1000)

    def _told(self, value: Any, key: str = "") -> Any:
        match value:
            case bool():
                return value
            case int() if abs(value - time.time() * 1000) < _FAR:
                return self._time(value, key)
            case float() if key == "retry_after":
                return 1.0
            case str():
                return self._text(value)
            case list():
                return _sorted([self._told(each) for each in value])
            case dict():
                return {name: self._told(each, name) for name, each in value.items()}
        return value

    def _time(self, value: int, key: str) -> int:
        if key == "expires_at":
            return _BEGAN + _LIFETIME
        return _BEGAN + _EACH * sum(began - 1 <= value for began in self._began)

    def _text(self, value: str) -> str:
        text = _TOKEN.sub(_TOLD_TOKEN, value.replace(self.suffix, ""))
        text = _ID.sub(lambda found: self._id(found[0]), text)
        text = _REQUEST.sub(lambda found: self._request(found[0]), text)
        if text.startswith("d:"):
            return "d:" + ":".join(sorted(text.split(":")[1:]))
        return text

    def _id(self, real: str) -> str:
        return self._ids.setdefault(real, derived_id("example", str(len(self._ids))))

    def _request(self, real: str) -> str:
        told = derived_id("request", str(len(self._requests)))[: len(real)]
        return self._requests.setdefault(real, told)


def _sorted(items: list[Any]) -> list[Any]:
    """What the server sorts by ids is sorted by those that are told."""
    for key in ("uid", "gid"):
        if items and all(isinstance(each, dict) and key in each for each in items):
            return sorted(items, key=lambda each: str(each[key]))
    return items


def written(recorder: Recorder) -> bytes:
    """What the file holds of a scene that was played."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(dict(sorted(recorder.found.items())), option=options)


async def _main() -> int:
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        layout = on_free_ports(Path(folder), connectors=1, **CHEAP_PASSWORDS)
        async with Stack(layout):
            recorder = Recorder()
            await scene.play(recorder, layout.connector_urls[0])
    examples.FILE.write_bytes(written(recorder))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
