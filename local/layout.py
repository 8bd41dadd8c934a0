"""Where everything is: folders, ports, and which parts are real servers elsewhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from local import folder, ports
from shared import secretfiles
from shared.settings import Settings

ROOT = Path(__file__).parent.parent
ENV_FILE = "stonechat.env"
SETTINGS = "settings.env"
GATEWAY_PORT = 8080
_OF_PROCESSES = frozenset({"STONECHAT_ENV_FILE", "STONECHAT_CONNECTOR_PORT", "STONECHAT_FUNCTION"})

# What is bounded for people in a house: here everybody comes from one address, nobody has friends
# yet, and tests and benchmarks make thousands of people and groups in a minute.
_OF_A_HOUSE = (
    "REGISTRATIONS_PER_HOUR",
    "FIRST_MESSAGES_PER_HOUR",
    "ADDED_PER_DAY",
    "OPEN_INVITATIONS_LIMIT",
    "OPEN_REQUESTS_LIMIT",
)

# What the S3 store listens on, from its port upwards.
S3_PORTS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
)


@dataclass(frozen=True)
class Layout:
    """One stack. A port of None: that part is external, at the address in `environment`."""

    directory: Path
    redis_port: int | None
    mongo_port: int | None
    s3_port: int | None
    gateway_port: int | None
    connector_ports: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stack_file: Path = ROOT / "stack.yml"
    contexts: Path = ROOT / "build"  # where `faas-cli build --shrinkwrap` writes

    @property
    def secrets(self) -> Path:
        given = self.environment.get("STONECHAT_SECRETS_DIR")
        return Path(given) if given else self.directory / "secrets"

    @property
    def settings_file(self) -> Path:
        """What our own processes are told, for commands that are to reach the same stores."""
        return self.directory / SETTINGS

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def gateway_url(self) -> str:
        if self.gateway_port is None:
            return self.environment["STONECHAT_GATEWAY_URL"]
        return f"http://{ports.LOOPBACK}:{self.gateway_port}"

    @property
    def connector_urls(self) -> list[str]:
        return [f"ws://{ports.LOOPBACK}:{port}/v1" for port in self.connector_ports]

    @property
    def door_urls(self) -> list[str]:
        """Where the methods are over HTTP."""
        return [f"http://{ports.LOOPBACK}:{port}/v1/rpc" for port in self.connector_ports]

    def child_environment(self) -> dict[str, str]:
        """What our own processes are started with."""
        found = dict(os.environ) | dict(self.environment)
        found["STONECHAT_SECRETS_DIR"] = str(self.secrets)
        found["STONECHAT_GATEWAY_URL"] = self.gateway_url
        found["PYTHONPATH"] = str(ROOT)
        for name in _OF_A_HOUSE:
            found.setdefault(f"STONECHAT_{name}", "100000")
        if self.redis_port is not None:
            found["STONECHAT_REDIS_URL"] = f"redis://{ports.LOOPBACK}:{self.redis_port}/0"
        if self.mongo_port is not None:
            found["STONECHAT_MONGO_URL"] = f"mongodb://{ports.LOOPBACK}:{self.mongo_port}/"
        if self.s3_port is not None:
            found["STONECHAT_S3_URL"] = f"http://{ports.LOOPBACK}:{self.s3_port}"
        return found

    def write_settings(self) -> None:
        """Its owner's alone: an address may carry a password. Raises `OSError`."""
        given = self.child_environment()
        quoted = {name: given[name].replace("\\", "\\\\").replace("'", "\\'") for name in given}
        lines = [
            f"{name}='{quoted[name]}'"
            for name in sorted(given)
            if name.startswith("STONECHAT_") and name not in _OF_PROCESSES
        ]
        secretfiles.write(self.directory, self.settings_file.name, "\n".join(lines))


def settings_file() -> Path | None:
    """What `STONECHAT_ENV_FILE` names, or else `stonechat.env` where it is there."""
    given = os.environ.get("STONECHAT_ENV_FILE")
    if given is not None:
        return Path(given)
    return Path(ENV_FILE) if Path(ENV_FILE).exists() else None


def from_environment(directory: Path, connectors: int, gateway_port: int | None = None) -> Layout:
    """The layout of `make up`: the default ports, or for a stack beside the first one others, and
    what the environment or the file `stonechat.env` points elsewhere is not started. Raises
    `FolderError`."""
    file = settings_file()
    kept = dotenv_values(file) if file else {}
    given = {name: value for name, value in kept.items() if value is not None}
    given |= {name: value for name, value in os.environ.items() if name.startswith("STONECHAT_")}
    config = Settings(_env_file=file)
    stores = {
        name: urlsplit(url).port or 0
        for name, url in (
            ("STONECHAT_REDIS_URL", config.redis_url),
            ("STONECHAT_MONGO_URL", config.mongo_url),
            ("STONECHAT_S3_URL", config.s3_url),
        )
        if name not in given
    }
    beside = folder.offset(directory, (*stores.values(), GATEWAY_PORT, config.connector_port))
    gateway = gateway_port or GATEWAY_PORT + beside

    def port(name: str) -> int | None:
        return stores[name] + beside if name in stores else None

    return Layout(
        directory=directory,
        redis_port=port("STONECHAT_REDIS_URL"),
        mongo_port=port("STONECHAT_MONGO_URL"),
        s3_port=port("STONECHAT_S3_URL"),
        gateway_port=None if "STONECHAT_GATEWAY_URL" in given else gateway,
        connector_ports=tuple(
            config.connector_port + beside + number for number in range(connectors)
        ),
        environment=given,
    )


def on_free_ports(directory: Path, connectors: int, **environment: str) -> Layout:
    """A layout beside any other, for tests and benchmarks."""
    return Layout(
        directory=directory,
        redis_port=ports.free_port(),
        mongo_port=ports.free_port(),
        s3_port=ports.free_ports(len(S3_PORTS)),
        gateway_port=ports.free_port(),
        connector_ports=tuple(ports.free_port() for _ in range(connectors)),
        environment=environment,
    )
