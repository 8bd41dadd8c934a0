"""A process that has the libraries loaded and forks one process a function from itself.

So functions start in milliseconds and share the memory of what they have in common. It has one
thread and opens no connection, so that a fork inherits nothing but code.

It speaks lines of JSON on the socket whose descriptor is its argument. `{"id", "folder",
"packages", "environment"}`, sent with two descriptors (a socket to listen on, and where output
goes), asks for a function and is answered `{"id", "pid"}`; `{"pid", "code"}` tells that one ended.
It ends, and the functions with it, when the other end closes.
"""

import gc
import importlib
import importlib.util
import os
import select
import signal
import socket
import sys
import traceback
from collections import deque
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
    "precis_i18n",
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


class Zygote:
    """Forks on request."""

    def __init__(self, control: socket.socket, index: Any) -> None:
        self._control = control
        self._index = index
        self._text = b""
        self._descriptors: deque[int] = deque()  # two for each request, in their order
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)

    def run(self) -> None:
        """Returns when the other end closes."""
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._tell({})
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake.fileno() in ready:
                with suppress(BlockingIOError):
                    self._wake.recv(4096)
                self._reap()
            if self._control.fileno() in ready and not self._receive():
                return

    def _receive(self) -> bool:
        chunk, descriptors, _, _ = socket.recv_fds(self._control, 65536, 16)
        self._descriptors += descriptors
        *lines, self._text = (self._text + chunk).split(b"\n")
        for line in lines:
            request = orjson.loads(line)
            listener, out = self._descriptors.popleft(), self._descriptors.popleft()
            pid = self._fork(request, listener, out)
            os.close(listener)
            os.close(out)
            self._tell({"id": request["id"], "pid": pid})
        return bool(chunk)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, news: dict[str, Any]) -> None:
        self._control.sendall(orjson.dumps(news) + b"\n")

    def _fork(self, request: dict[str, Any], listener: int, out: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._control, self._wake, self._woken):
                each.close()
            os.dup2(out, sys.stdout.fileno())
            os.dup2(out, sys.stderr.fileno())
            os.close(out)
            os.environ |= request["environment"]
            if request["packages"]:
                sys.path.insert(0, request["packages"])
            index = self._index
            threads = index.number("STONECHAT_THREADS", index.THREADS, index.THREADS_LIMIT)
            index.serve(request["folder"], socket.socket(fileno=listener), threads)
            code = 0
        except SystemExit as ended:  # it has said why
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)


if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    control = socket.socket(fileno=int(sys.argv[1]))
    zygote = Zygote(control, template())
    gc.freeze()  # so that a collection in a child does not copy all pages
    zygote.run()
