"""A process that has the libraries loaded and forks one process a function from itself.

So functions start in milliseconds and share the memory of what they have in common. It has one
thread and opens no connection, so that a fork inherits nothing but code.

It speaks lines of JSON on the socket whose descriptor is its argument: `{"name", "folder", "port"}`
asks for a function and is answered `{"name", "pid"}`; `{"pid", "code"}` tells that one ended.
"""

import importlib
import importlib.util
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any

import orjson

from local.layout import ROOT
from local.part import die_with_parent

_LIBRARIES = (
    "argon2",
    "bson",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httpx",
    "jwt",
    "minio",
    "prometheus_client",
    "pydantic",
    "pymongo",
    "redis",
    "structlog",
    "waitress",
    "shared.function",
    "shared.history",
    "shared.states",
)


def template() -> Any:
    """The template's own `index` module."""
    spec = importlib.util.spec_from_file_location("index", ROOT / "template/stonechat/index.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(control: socket.socket) -> None:
    """Forks on request until the other end closes."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    index = template()
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control.sendall(b"{}\n")
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    text = b""
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake.fileno() in ready:
            with suppress(BlockingIOError):
                wake.recv(4096)
            _reap(control)
        if control.fileno() in ready:
            chunk = control.recv(65536)
            if not chunk:
                return
            *lines, text = (text + chunk).split(b"\n")
            for line in lines:
                request = orjson.loads(line)
                pid = _fork(index, request, (control, wake, woken))
                control.sendall(orjson.dumps({"name": request["name"], "pid": pid}) + b"\n")


def _reap(control: socket.socket) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            control.sendall(orjson.dumps({"pid": pid, "code": code}) + b"\n")


def _fork(index: Any, request: dict[str, Any], inherited: tuple[socket.socket, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in inherited:
            each.close()
        os.environ |= {
            "FUNCTION_DIR": request["folder"],
            "PORT": str(request["port"]),
            "STONECHAT_FUNCTION_HOST": "127.0.0.1",
        } | request.get("environment", {})
        index.main()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    run(socket.socket(fileno=int(sys.argv[1])))
