"""Stacks that stand side by side, and one whose parts are killed while people chat."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local import folder
from local.layout import ROOT, from_environment
from tests.conftest import CHEAP_PASSWORDS
from tests.crowd import Crowd
from tests.local.upping import Up, clean_environment, command
from tests.wire import PASSWORD, Refused, Wire

pytestmark = pytest.mark.timeout(180)

Start = Callable[..., Up]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path, **CHEAP_PASSWORDS)


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Starts a stack of this name; all end well."""
    started: list[Up] = []

    def start(name: str, *arguments: str) -> Up:
        up = Up(environment, "--stack", name, *arguments, home=tmp_path)
        started.append(up)
        up.until("curl")
        return up

    yield start
    for up in started:
        up.process.terminate()
    assert [up.end() for up in started] == [0] * len(started)


def urls(up: Up) -> list[str]:
    (line,) = [line for line in up.lines if " clients  " in line]
    return [word for word in line.split() if word.startswith("ws://")]


async def test_two_stacks_at_once(
    start: Start, tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    one, two = start("one"), start("two")
    (first,), (second,) = urls(one), urls(two)
    assert first != second
    assert f"stonechat chat alice --with bob --url {second}" in two.shown
    here = await Wire.sign_in(first, name)
    there = await Wire.connect(second)
    with pytest.raises(Refused):  # nobody has that name there
        await there.call("auth.login", username=name, password=PASSWORD)
    await there.close()
    assert here.close_code is None
    await here.close()

    def local(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "local", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert local("list", "--stack", "one").returncode == 0
    nothing = local("list", "--stack", "three")
    assert nothing.returncode == 1
    assert nothing.stderr.endswith(".local-three: `make up STACK=three` starts it\n")
    again = local("up", "--stack", "two")
    assert again.returncode == 1
    assert f"already (process {two.process.pid}, " in again.stdout
    busy = make("clean", "STACK=two", cwd=tmp_path)
    assert busy.returncode != 0
    assert f"a stack runs in .local-two (process {two.process.pid}): stop it first" in busy.stdout


async def test_every_part_is_killed_while_people_chat(start: Start, name: str) -> None:
    up = start("killed", "--connectors", "2")
    async with Crowd(urls(up), name, 8, seed=3, pause=0.05) as crowd:
        await crowd.until_acknowledged(50)
        for part, words in (
            ("valkey", ["valkey-server"]),
            ("mongo", ["secantusd"]),
            ("s3", ["weed"]),
            ("connector-1", ["-m connector"]),
            ("gateway", ["local.gateway"]),
        ):
            os.kill(pids(up.process.pid, *words)[0], signal.SIGKILL)
            await up.says(f"{part} died (signal SIGKILL)")
            await up.says(f"{part} is back")
            await crowd.until_acknowledged(50, seconds=30)
        functions = pids(pids(up.process.pid, "local.gateway")[0], "local.zygote")
        for function in pids(functions[0]):
            os.kill(function, signal.SIGKILL)
        await up.says("function_died")
        await crowd.until_acknowledged(100, seconds=30)
        assert await crowd.settle(in_order=False) >= 400


def pids(parent: int, *words: str) -> list[int]:
    """The processes below one, by words of their command lines."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found if all(word in command(pid) for word in words)]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for each in [each for each in os.environ if each.startswith("STONECHAT_")]:
        monkeypatch.delenv(each)
    monkeypatch.setenv("STONECHAT_ENV_FILE", str(tmp_path / "none"))
    return tmp_path


def ports_of(place: Path) -> list[int | None]:
    layout = from_environment(place, connectors=2)
    stores = [layout.redis_port, layout.mongo_port, layout.s3_port]
    return [*stores, layout.gateway_port, *layout.connector_ports]


def test_ports_are_a_stacks_own_and_stay_so(bare: Path) -> None:
    default = ports_of(folder.of_stack(None, bare))
    assert default == [16379, 27117, 18333, 8080, 8001, 8002]
    first, second = (ports_of(folder.of_stack(each, bare)) for each in ("a", "b"))
    assert not {*first} & {*second} | {*default} & {*first, *second}
    assert ports_of(folder.of_stack("a", bare)) == first
    with socket.socket() as other:
        third_port = max(port or 0 for port in (first[3], second[3])) + folder.APART
        other.bind(("127.0.0.1", third_port))
        other.listen()
        assert ports_of(folder.of_stack("c", bare))[3] not in (first[3], second[3], third_port)
    assert ports_of(folder.of_stack("b", bare)) == second


def test_there_are_nine_stacks_beside_the_first(bare: Path) -> None:
    for number in range(1, 10):
        place = folder.of_stack(f"s{number}", bare)
        place.mkdir()
        (place / "slot").write_text(str(number))
    with pytest.raises(folder.FolderError, match="make clean STACK=NAME"):
        from_environment(folder.of_stack("tenth", bare), connectors=1)


@pytest.mark.parametrize("name", ["", "Two", "../two", "a b", "a" * 21, "-x"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(folder.FolderError, match="a stack's name has a-z"):
        folder.of_stack(name, Path())


def make(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("stack", "gone"), [("", ".local"), ("two", ".local-two")])
def test_clean_removes_one_stack_alone(tmp_path: Path, stack: str, gone: str) -> None:
    for each in (".local", ".local-two", ".local-three"):
        (tmp_path / each).mkdir()
        (tmp_path / each / "lock").touch()
    assert make("clean", f"STACK={stack}", cwd=tmp_path).returncode == 0
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {".local", ".local-two", ".local-three"} - {gone}


def test_make_hands_the_word_over() -> None:
    told = make("-n", "up", "STACK=two", "CONNECTORS=2", cwd=ROOT)
    assert 'python -m local up --connectors 2 --stack "two"' in told.stdout
    assert "--stack" not in make("-n", "up", cwd=ROOT).stdout
