"""`make up` as its user sees it: what it prints, how it ends, what it leaves."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local import ports
from local.layout import ROOT, Layout
from local.stack import Stack
from shared import secretfiles
from tests.local.upping import Up, clean_environment
from tests.proxy import Proxy

GATEWAY_PORT = ports.free_port()


@pytest.fixture
def environment(stores: Stack, layout: Layout, tmp_path: Path) -> dict[str, str]:
    """Ports that are free, and stores that are external, in which it has a place of its own."""
    theirs = layout.child_environment()
    return clean_environment(
        tmp_path,
        STONECHAT_CONNECTOR_PORT=str(ports.free_port()),
        STONECHAT_REDIS_URL=theirs["STONECHAT_REDIS_URL"].removesuffix("/0") + "/1",
        STONECHAT_MONGO_URL=theirs["STONECHAT_MONGO_URL"],
        STONECHAT_MONGO_DATABASE="of_another",
        STONECHAT_S3_URL=theirs["STONECHAT_S3_URL"],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


_started: list[Up] = []


def start(folder: Path, environment: dict[str, str], *before: str) -> Up:
    options = ("--directory", str(folder), "--gateway-port", str(GATEWAY_PORT))
    up = Up(environment, *options, before=before)
    _started.append(up)
    return up


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """A test that failed leaves nothing to the next one."""
    yield
    while _started:
        up = _started.pop()
        up.process.kill()
        up.process.wait(60)


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
    up = start(folder, environment)
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
        up = start(folder, environment)
        line = up.until(" failed: ")
        assert f"connector-1 cannot start: port {port} is taken" in line
        assert f"process {os.getpid()}" in line
        assert up.end() == 1


@pytest.mark.usefixtures("left")
def test_a_part_that_dies_is_named_and_starts_again(
    folder: Path, environment: dict[str, str]
) -> None:
    up = start(folder, environment)
    up.until("ready. Try")
    first = up.pid("-m connector")
    os.kill(first, signal.SIGKILL)
    assert "it starts again in" in up.until("connector-1 died (signal SIGKILL): ")
    up.until("connector-1 is back after")
    assert up.pid("-m connector") != first
    up.process.terminate()
    assert up.end() == 0


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_while_a_part_is_about_to_start_again(
    folder: Path, environment: dict[str, str], number: int
) -> None:
    up = start(folder, environment)
    up.until("ready. Try")
    with taken(int(environment["STONECHAT_CONNECTOR_PORT"]), up.pid("-m connector")):
        up.until("connector-1 died")
        up.until("connector-1 cannot start: port")
        up.process.send_signal(number)
        assert up.end() == 0
    assert " failed: " not in up.shown


@pytest.mark.usefixtures("left")
def test_a_part_that_keeps_dying_is_given_up_and_all_stops(
    folder: Path, environment: dict[str, str]
) -> None:
    up = start(folder, environment)
    up.until("ready. Try")
    port = environment["STONECHAT_CONNECTOR_PORT"]
    with taken(int(port), up.pid("-m connector")):
        line = up.until(" failed: ")
        assert f"connector-1 cannot start: port {port} is taken (process {os.getpid()}" in line
        assert "given up after 6 times in 300 s" in line
        assert up.end() == 1


@contextmanager
def taken(port: int, owner: int) -> Iterator[None]:
    """The port of a process that is killed is somebody else's."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(owner, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:
            try:
                other.bind(("127.0.0.1", port))
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        other.listen()
        yield


@pytest.mark.usefixtures("left")
def test_a_second_start_says_who_runs_already(folder: Path, environment: dict[str, str]) -> None:
    up = start(folder, environment)
    up.until("ready. Try")
    again = start(folder, environment)
    assert f"another stack runs in {folder} already (process {up.process.pid}, " in again.until(
        "failed"
    )
    assert again.end() == 1
    up.process.terminate()
    assert up.end() == 0


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("left_behind", ["lock", "running"])
def test_what_a_killed_stack_left_is_in_nobodys_way(
    folder: Path, environment: dict[str, str], left_behind: str
) -> None:
    folder.mkdir()
    (folder / left_behind).write_text(str(os.getpid()))
    up = start(folder, environment)
    up.until("ready. Try")
    up.process.terminate()
    assert up.end() == 0


@pytest.mark.usefixtures("left")
def test_a_folder_of_another_version_is_left_alone(
    folder: Path, environment: dict[str, str]
) -> None:
    folder.mkdir()
    (folder / "format").write_text("7")
    up = start(folder, environment)
    assert f"{folder} is another version's (its format is '7', this one's 1)" in up.until("failed")
    assert up.end() == 1


@pytest.mark.usefixtures("left")
async def test_it_is_not_called_ready_before_its_stores_answer(
    folder: Path, environment: dict[str, str]
) -> None:
    async with Proxy(environment["STONECHAT_MONGO_URL"]) as mongo:
        mongo.refusing = True
        given = {"STONECHAT_MONGO_URL": mongo.url + "?directConnection=true"}
        up = start(folder, environment | given)
        await up.says("MongoDB does not answer")
        assert not any("ready. Try" in line for line in up.lines)
        mongo.refusing = False
        await up.says("ready. Try")
        up.process.terminate()
        assert await asyncio.to_thread(up.end) == 0


@pytest.mark.usefixtures("left")
def test_a_secret_with_a_typo_is_told_and_harms_nobody(
    folder: Path, environment: dict[str, str]
) -> None:
    up = start(folder, environment)
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
    again = start(folder, environment)
    assert again.end() == 2
    (line,) = again.lines
    assert line.startswith(f"error: {told}")


@pytest.mark.usefixtures("left")
def test_a_folder_that_cannot_be_written(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "file").touch()
    up = start(tmp_path / "file" / "data", environment)
    assert f"cannot write in {tmp_path / 'file' / 'data'}: Not a directory" in up.until("failed")
    assert up.end() == 1


@pytest.mark.usefixtures("left")
def test_too_few_open_files_are_said(folder: Path, environment: dict[str, str]) -> None:
    up = start(folder, environment, "prlimit", "--nofile=512:512")
    assert "a process may have 512 files open, and 1024 are needed" in up.until("failed")
    assert up.end() == 1
    up = start(folder, environment, "prlimit", "--nofile=1024:4000")
    line = up.until("may have")
    assert (
        "4000 files open: enough for 3000 clients of a connector, which is to carry 15000" in line
    )
    up.until("ready. Try")
    up.process.terminate()
    assert up.end() == 0


@pytest.mark.usefixtures("left")
async def test_who_does_not_read_the_log_holds_nobody_up(
    folder: Path, environment: dict[str, str]
) -> None:
    async with Proxy(environment["STONECHAT_REDIS_URL"]) as redis, httpx.AsyncClient() as http:
        up = start(folder, environment | {"STONECHAT_REDIS_URL": redis.url})
        assert up.process.stdout is not None
        pipe = up.process.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        await up.says("ready. Try")
        # No line is read from now on, and connectors miss their store aloud.
        redis.refusing = True
        redis.cut()
        waiting = array("i", [0])
        async with asyncio.timeout(60):
            while waiting[0] < 4096 - 500:
                await asyncio.sleep(0.05)
                fcntl.ioctl(pipe, termios.FIONREAD, waiting)
            log, size = folder / "log" / "connector-1.log", 0
            door = f"http://127.0.0.1:{environment['STONECHAT_CONNECTOR_PORT']}"
            for _ in range(3):  # it says more, and answers
                while log.stat().st_size <= size:
                    await asyncio.sleep(0.05)
                size = log.stat().st_size
                assert (await http.get(f"{door}/healthz", timeout=10)).status_code == 200
        up.process.terminate()
        assert await asyncio.to_thread(up.end) == 0


@pytest.mark.usefixtures("left")
async def test_a_connector_that_dies_while_redis_is_away_is_there_when_it_is_back(
    folder: Path, environment: dict[str, str]
) -> None:
    async with Proxy(environment["STONECHAT_REDIS_URL"]) as redis, httpx.AsyncClient() as http:
        up = start(folder, environment | {"STONECHAT_REDIS_URL": redis.url})
        await up.says("ready. Try")
        redis.refusing = True
        redis.cut()
        os.kill(up.pid("-m connector"), signal.SIGKILL)
        await up.says("connector-1 is back after")
        door = f"http://127.0.0.1:{environment['STONECHAT_CONNECTOR_PORT']}/readyz"
        missing = await http.get(door)
        assert missing.status_code == 503
        assert "Redis does not answer" in missing.text
        redis.refusing = False
        async with asyncio.timeout(30):
            while (await http.get(door)).status_code != 200:
                await asyncio.sleep(0.1)
        up.process.terminate()
        assert await asyncio.to_thread(up.end) == 0


@pytest.mark.usefixtures("left")
def test_nothing_outlives_a_supervisor_that_is_killed(
    folder: Path, environment: dict[str, str]
) -> None:
    up = start(folder, environment)
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
