"""TCP ports of this machine: which are free, and who has one that is not."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"

APART = 10_000  # a port and its twin, for a server that takes both

# All below those that systems pick for outgoing connections, which could take one in between.
_SINGLE = range(22_800, 30_000)
_TWINS = range(20_000, 22_700)
_SHARES = 4  # processes that pick ports side by side
_TRIES = 1000
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on at this moment, another one at each call."""
    return _pick(_SINGLE, 1, 0)


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, of which each has a free twin, `APART` above."""
    return _pick(_TWINS, count, APART)


def _pick(among: range, count: int, apart: int) -> int:
    share = _share()
    if share is not None:
        size = len(among) // _SHARES
        among = among[share * size : (share + 1) * size]
    while True:
        for _ in range(_TRIES):
            first = random.randrange(among.start, among.stop - count)  # noqa: S311 (no secret)
            row = range(first, first + count)
            found = {*row, *(port + apart for port in row)}
            if not found & _given and all(map(is_free, found)):
                _given.update(found)
                return first
        _given.clear()  # of those given long ago most are free again


@cache
def _share() -> int | None:
    """Which share of the ports is this process's own until it ends; None where all are taken.
    What one process has picked and not bound yet another one must not pick."""
    for number in range(_SHARES):
        path = Path(tempfile.gettempdir()) / f"stonechat-ports-{number}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return number
    return None


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def owner(port: int) -> str:
    """Who listens on the port, as ` (process N, NAME)`; empty where the system does not say."""
    inodes = set()
    try:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                found = str(descriptor.readlink()) in inodes
            except OSError:
                continue
            if found:
                process = descriptor.parent.parent
                return f" (process {process.name}, {(process / 'comm').read_text().strip()})"
    except OSError:
        pass
    return ""
