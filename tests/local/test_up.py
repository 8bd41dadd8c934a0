"""`make up` as its user sees it: what it prints, how it ends, what it leaves."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local import ports
from local.layout import ROOT, Layout
from local.stack import Stack
from shared import secretfiles
from tests.proxy import Proxy

GATEWAY_PORT = ports.free_port()


@pytest.fixture
def environment(stores: Stack, layout: Layout, tmp_path: Path) -> dict[str, str]:
    """A user's environment: nothing of ours, but for ports that are free, and stores that are
    there, in which it has a place of its own."""
    theirs = layout.child_environment()
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    config = tmp_path / "stonechat.env"
    config.write_text("")
    return mine | {
        "STONECHAT_ENV_FILE": str(config),
        "STONECHAT_CONNECTOR_PORT": str(ports.free_port()),
        "STONECHAT_REDIS_URL": theirs["STONECHAT_REDIS_URL"].removesuffix("/0") + "/1",
        "STONECHAT_MONGO_URL": theirs["STONECHAT_MONGO_URL"],
        "STONECHAT_MONGO_DATABASE": "of_another",
        "STONECHAT_S3_URL": theirs["STONECHAT_S3_URL"],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


class Up:
    """A running `python -m local up`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "local", "up", "--directory", str(folder)),
                *("--gateway-port", str(GATEWAY_PORT)),
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        """The first line with the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        pytest.fail(f"no line with {text!r} in:\n{''.join(self.lines)}")

    def end(self) -> int:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        return self.process.wait(60)


@pytest.fixture
def left(folder: Path) -> Iterator[None]:
    """Nothing may be left running, a moment later at the latest."""
    yield
    deadline = time.monotonic() + 10
    while running := [
        each.parent.name
        for each in Path("/proc").glob("[0-9]*/environ")
        if _mentions(each, str(folder))
    ]:
        assert time.monotonic() < deadline, running
        time.sleep(0.1)


def _mentions(file: Path, text: str) -> bool:
    try:
        return text.encode() in file.read_bytes()
    except OSError:
        return False


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_says_what_is_where_and_stops(
    folder: Path, environment: dict[str, str], number: int
) -> None:
    up = Up(folder, environment)
    up.until("ready. Try")
    shown = "".join(up.lines)
    assert f"ws://127.0.0.1:{environment['STONECHAT_CONNECTOR_PORT']}/v1" in shown
    door = f"http://127.0.0.1:{environment['STONECHAT_CONNECTOR_PORT']}/v1/rpc"
    assert door in shown
    assert f"gateway   http://127.0.0.1:{GATEWAY_PORT}" in shown
    assert "external, STONECHAT_REDIS_URL says where" in shown
    assert f"curl {door} -d '{{" in up.until("curl")
    up.process.send_signal(number)
    assert up.end() == 0
    assert "stopped" in up.lines[-1]


@pytest.mark.usefixtures("left")
def test_a_port_that_is_taken_is_named(folder: Path, environment: dict[str, str]) -> None:
    port = int(environment["STONECHAT_CONNECTOR_PORT"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        up = Up(folder, environment)
        line = up.until("failed")
        assert f"connector-1 cannot start: port {port} is taken" in line
        assert f"process {os.getpid()}" in line
        assert up.end() == 1


@pytest.mark.usefixtures("left")
def test_a_part_that_dies_is_named_and_all_stops(folder: Path, environment: dict[str, str]) -> None:
    up = Up(folder, environment)
    up.until("ready. Try")
    children = Path(f"/proc/{up.process.pid}/task/{up.process.pid}/children").read_text().split()
    commands = {Path(f"/proc/{pid}/cmdline").read_bytes(): int(pid) for pid in children}
    (connector,) = (pid for command, pid in commands.items() if b"connector" in command)
    os.kill(connector, signal.SIGKILL)
    assert "connector-1 died (signal SIGKILL)" in up.until("failed")
    assert up.end() == 1


@pytest.mark.usefixtures("left")
async def test_it_is_not_called_ready_before_its_stores_answer(
    folder: Path, environment: dict[str, str]
) -> None:
    async with Proxy(environment["STONECHAT_MONGO_URL"]) as mongo:
        mongo.refusing = True
        given = {"STONECHAT_MONGO_URL": mongo.url + "?directConnection=true"}
        up = Up(folder, environment | given)
        await asyncio.to_thread(up.until, "MongoDB does not answer")
        assert not any("ready. Try" in line for line in up.lines)
        mongo.refusing = False
        await asyncio.to_thread(up.until, "ready. Try")
        up.process.terminate()
        assert await asyncio.to_thread(up.end) == 0


@pytest.mark.usefixtures("left")
def test_a_secret_with_a_typo_is_told_and_harms_nobody(
    folder: Path, environment: dict[str, str]
) -> None:
    up = Up(folder, environment)
    up.until("ready. Try")
    keys = folder / "secrets" / secretfiles.CONTENT_KEYS
    keys.write_text(keys.read_text() + "2:zz\n")
    command = [sys.executable, "-m", "local", "restart", "functions", "--directory", str(folder)]
    asked = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert asked.returncode == 1
    told = f"{secretfiles.CONTENT_KEYS}: has no VERSION:HEX of 64 digits in line 2; expected"
    assert told in asked.stderr
    url = f"http://127.0.0.1:{GATEWAY_PORT}/function/send/_/ready"
    assert httpx.get(url).text == "ready\n"  # the old ones go on
    up.process.terminate()
    assert up.end() == 0
    again = Up(folder, environment)
    assert again.end() == 2
    (line,) = again.lines
    assert line.startswith(f"error: {told}")


@pytest.mark.usefixtures("left")
def test_nothing_outlives_a_supervisor_that_is_killed(
    folder: Path, environment: dict[str, str]
) -> None:
    up = Up(folder, environment)
    up.until("ready. Try")
    up.process.kill()
    assert up.end() == -signal.SIGKILL


def test_missing_secrets_end_a_connector_with_a_line(environment: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connector"],
        cwd=ROOT,
        env=environment | {"STONECHAT_SECRETS_DIR": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "STONECHAT_SECRETS_DIR: names no folder; expected one with" in ended.stdout
    assert "Traceback" not in ended.stderr
