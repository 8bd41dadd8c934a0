"""Runs one function: the OpenFaaS Python handler contract over HTTP.

`function/handler.py` has `handle(event, context)`. `event` has `body` (bytes), `headers`, `method`,
`query` and `path`; `context` has `hostname`. The answer is `(body, status, headers)`, `(body,
status)`, a dict with `statusCode`, `body` and `headers`, text, bytes, or nothing. A handler may
also have `ready()` (may raise) and `stop()`.

`/_/health` says that the process is up, `/_/ready` that `ready()` is content. On SIGTERM it takes
no new connection, finishes what it has begun, and ends.

Settings: `PORT` (8080), `STONECHAT_THREADS` (16), `FUNCTION_DIR` (`function`, beside this file).
"""

import importlib.util
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import parse_qs

from waitress import wasyncore
from waitress.server import create_server

BODY_LIMIT = 16 * 1024 * 1024
DRAIN_SECONDS = 10.0

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Answer = tuple[bytes, int, dict[str, str]]


class Headers(Mapping[str, str]):
    """A request's headers, whatever their case."""

    def __init__(self, environ: Environ) -> None:
        self._values: dict[str, str] = {
            name[5:].replace("_", "-").title(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(name):
                self._values[name.replace("_", "-").title()] = environ[name]

    def __getitem__(self, name: str) -> str:
        return self._values[name.title()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Event:
    def __init__(self, environ: Environ) -> None:
        self.body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.headers = Headers(environ)
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ.get("PATH_INFO", "/")
        self.query = {
            name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()
        }


class Context:
    def __init__(self) -> None:
        self.hostname = os.environ.get("HOSTNAME") or socket.gethostname()


def load(folder: Path) -> ModuleType:
    """The handler module of a function's folder, which becomes the package `function`."""
    for name, path in (("function", folder / "__init__.py"), ("function.handler", None)):
        file = path if path is not None else folder / "handler.py"
        if path is not None and not file.exists():
            package = ModuleType("function")
            package.__path__ = [str(folder)]
            sys.modules[name] = package
            continue
        spec = importlib.util.spec_from_file_location(
            name, file, submodule_search_locations=[str(folder)] if path is not None else None
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot load {file}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules["function.handler"]


def answer(value: Any) -> Answer:
    """What a handler returned, as bytes, status and headers."""
    status, headers = 200, dict[str, str]()
    if isinstance(value, dict):
        status = int(value.get("statusCode", 200))
        headers = dict(value.get("headers") or {})
        value = value.get("body", b"")
    elif isinstance(value, tuple):
        value, status, headers = (*value, {})[:3] if len(value) == 2 else value
    if value is None:
        body = b""
    elif isinstance(value, bytes):
        body = value
    elif isinstance(value, str):
        body = value.encode()
    else:
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"} | headers
    return body, status, headers


def application(handler: ModuleType) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """The WSGI application (PEP 3333) of a handler."""
    context = Context()

    def respond(environ: Environ) -> Answer:
        path = environ.get("PATH_INFO", "/")
        try:
            if path == "/_/health":
                return b"ok\n", 200, {}
            if path == "/_/ready":
                is_ready = getattr(handler, "ready", lambda: True)()
                return (b"ready\n", 200, {}) if is_ready else (b"not ready\n", 503, {})
            return answer(handler.handle(Event(environ), context))
        except Exception:
            traceback.print_exc()
            return b"the handler failed\n", 503 if path == "/_/ready" else 500, {}

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body, status, headers = respond(environ)
        named = {"Content-Type": "text/plain; charset=utf-8"} | headers
        named["Content-Length"] = str(len(body))
        start_response(f"{status} -", list(named.items()))
        return [body]

    return app


def serve(handler: ModuleType, host: str, port: int, threads: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    server = create_server(
        application(handler),
        host=host,
        port=port,
        threads=threads,
        max_request_body_size=BODY_LIMIT,
        # Longer than any client keeps an idle connection, so that none is closed under a request.
        channel_timeout=300,
        cleanup_interval=60,
        backlog=1024,
        ident=None,
    )
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        server.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping:
        wasyncore.loop(timeout=5, use_poll=True, map=server._map, count=1)
    server.del_channel()
    server.socket.close()
    deadline = time.monotonic() + DRAIN_SECONDS
    while _busy(server) and time.monotonic() < deadline:
        wasyncore.loop(timeout=0.05, use_poll=True, map=server._map, count=1)
    if hasattr(handler, "stop"):
        handler.stop()


def _busy(server: Any) -> bool:
    return any(each.requests or each.total_outbufs_len for each in server.active_channels.values())


def main() -> None:
    folder = Path(os.environ.get("FUNCTION_DIR") or Path(__file__).parent / "function")
    serve(
        load(folder),
        os.environ.get("STONECHAT_FUNCTION_HOST", "0.0.0.0"),  # noqa: S104 (a container's own)
        int(os.environ.get("PORT", "8080")),
        int(os.environ.get("STONECHAT_THREADS", "16")),
    )


if __name__ == "__main__":
    main()
