"""Runs one function: the OpenFaaS Python handler contract over HTTP.

`function/handler.py` has `handle(event, context)`. `event` has `body` (bytes), `headers`, `method`,
`query` and `path`; `context` has `hostname`. The answer is `(body, status, headers)`, `(body,
status)`, a dict with `statusCode`, `body` and `headers`, text, bytes, or nothing. A handler may
also have `start()` (called before anything is served; may end the process), `ready()` (may raise)
and `stop()`.

`/_/health` says that the process is up, `/_/ready` that `ready()` is content, and else what it
raised. On SIGTERM it takes
no new connection, finishes what it has begun, and ends.

Settings: `PORT` (8080), `STONECHAT_THREADS` (16), `FUNCTION_DIR` (`function`, beside this file).
The folder of `FUNCTION_DIR` is the package `function`, whatever its name.
"""

import gc
import importlib
import importlib.util
import io
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import parse_qs

from waitress import wasyncore
from waitress.server import create_server

BODY_LIMIT = 16 * 1024 * 1024
DRAIN_SECONDS = 10.0
CONNECTION_LIMIT = 1000
BACKLOG = 1024
THREADS = 16
THREADS_LIMIT = 1000

logger = logging.getLogger("handler")

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
        self.path: str = _path(environ)
        self.query = {
            name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()
        }


def _path(environ: Environ) -> str:
    # WSGI hands over bytes as if they were Latin-1 (PEP 3333).
    return str(environ.get("PATH_INFO", "/")).encode("latin-1").decode(errors="replace")


class Context:
    def __init__(self) -> None:
        self.hostname = os.environ.get("HOSTNAME") or socket.gethostname()


def load(folder: Path) -> ModuleType:
    """The handler module of a function's folder, which becomes the package `function`."""
    package, init = ModuleType("function"), folder / "__init__.py"
    package.__path__ = [str(folder)]
    if init.exists():
        spec = importlib.util.spec_from_file_location("function", init)
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules["function"] = package
        spec.loader.exec_module(package)
    sys.modules["function"] = package
    return importlib.import_module("function.handler")


def answer(value: Any) -> Answer:
    """What a handler returned, as bytes, status and headers."""
    status, headers = 200, None
    if isinstance(value, dict):
        status, headers = value.get("statusCode", 200), value.get("headers")
        value = value.get("body")
    elif isinstance(value, tuple):
        value, status, headers = (*value, None)[:3]
    kind = "text/plain; charset=utf-8"
    if value is None:
        body = b""
    elif isinstance(value, bytes):
        body = value
    elif isinstance(value, str):
        body = value.encode()
    else:
        body, kind = json.dumps(value).encode(), "application/json"
    named = {str(name).title(): str(each) for name, each in dict(headers or {}).items()}
    return body, int(status), {"Content-Type": kind} | named


def application(handler: ModuleType) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """The WSGI application (PEP 3333) of a handler."""
    context = Context()
    said = ""  # of being not ready, last

    def respond(environ: Environ) -> Answer:
        path = environ.get("PATH_INFO", "/")
        try:
            if path == "/_/health":
                return answer("ok\n")
            if path == "/_/ready":
                return ready()
            return answer(handler.handle(Event(environ), context))
        except Exception:
            logger.exception("handler_failed")
            return answer(("the handler failed\n", 500))

    def ready() -> Answer:
        nonlocal said
        try:
            if getattr(handler, "ready", lambda: True)():
                said = ""
                return answer("ready\n")
            why = "not ready"
        except Exception as failure:
            why = " ".join(f"not ready: {failure or type(failure).__name__}".split())
        if why != said:
            print(why, file=sys.stderr, flush=True)
        said = why
        return answer((why + "\n", 503))

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body, status, headers = respond(environ)
        headers["Content-Length"] = str(len(body))
        start_response(f"{status} {_phrase(status)}", list(headers.items()))
        return [body]

    return app


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return HTTPStatus(status).phrase
    return "Unknown"


def serve(folder: str | Path, listener: socket.socket, threads: int) -> None:
    """Serves the function in the folder until SIGTERM or SIGINT, then finishes what it has begun,
    `DRAIN_SECONDS` long at most."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a short wait is no warning
    handler = load(Path(folder))
    if hasattr(handler, "start"):
        handler.start()
    # What is loaded stays, and a batch makes thousands of objects that die with it: looking for
    # cycles among them all the time finds none.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    server = create_server(
        application(handler),
        sockets=[listener],
        threads=threads,
        max_request_body_size=BODY_LIMIT,
        # Longer than any client keeps an idle connection, so that none is closed under a request.
        channel_timeout=300,
        cleanup_interval=60,
        connection_limit=CONNECTION_LIMIT,
        backlog=BACKLOG,
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
        _turn(server, 5)
    _turn(server, 0)  # takes what connected before
    server.del_channel()
    server.socket.close()
    deadline = time.monotonic() + DRAIN_SECONDS
    while _busy(server) and time.monotonic() < deadline:
        _turn(server, 0.05)
    if hasattr(handler, "stop"):
        handler.stop()


def _turn(server: Any, seconds: float) -> None:
    wasyncore.loop(timeout=seconds, use_poll=True, map=server._map, count=1)


def _busy(server: Any) -> bool:
    return any(
        each.requests or each.request is not None or each.total_outbufs_len
        for each in server.active_channels.values()
    )


def number(name: str, default: int, most: int) -> int:
    """A whole number of the environment. Ends the process where it is none."""
    text = os.environ.get(name, str(default))
    if text.isascii() and text.isdigit() and 1 <= int(text) <= most:
        return int(text)
    print(f"{name}: makes no sense; expected a whole number from 1 to {most}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    host = os.environ.get("STONECHAT_FUNCTION_HOST", "0.0.0.0")  # noqa: S104 (a container's own)
    address = (host, number("PORT", 8080, 65535))
    threads = number("STONECHAT_THREADS", THREADS, THREADS_LIMIT)
    try:
        listener = socket.create_server(address, backlog=BACKLOG)
    except OSError as error:
        where = ":".join(map(str, address))
        print(f"cannot listen at {where}: {os.strerror(error.errno or 0)}", file=sys.stderr)
        sys.exit(1)
    with listener:
        serve(
            os.environ.get("FUNCTION_DIR") or Path(__file__).parent / "function", listener, threads
        )


if __name__ == "__main__":
    main()
