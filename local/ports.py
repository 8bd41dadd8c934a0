"""TCP ports of this machine: which are free, and who has one that is not."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below those that systems pick for outgoing connections, which could take one in between.
_FIRST, _LAST = 20_000, 31_999
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on at this moment, another one at each call."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = random.randint(_FIRST, _LAST)  # noqa: S311 (no secret depends on it)
        found = set(range(first, first + count))
        if not found & _given and all(map(is_free, found)):
            _given.update(found)
            return first


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
