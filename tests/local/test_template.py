"""The build template by itself, as it runs in a container."""

import asyncio
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
import yaml

from local import health, ports
from local.layout import ROOT, Layout
from local.part import Part, PartFailedError
from local.stack import Stack
from shared.ids import new_id
from tests.signed import event, post, refusal, signed

STACK = yaml.safe_load((ROOT / "stack.yml").read_text())
TEMPLATE = ROOT / "template" / "stonechat"

HANDLER = """
    import os, pathlib, sys, time
    from . import words

    here = pathlib.Path(__file__).parent

    def handle(event, context):
        if event.path == "/slow":
            (here / "begun").touch()
            while not (here / "go").exists():
                time.sleep(0.01)
        assert context.hostname
        return f"{words.GREETING} {event.path} {event.query} {event.headers['x-a']}"

    def ready():
        if (here / "broken").exists():
            raise OSError("no store")
        return (here / "ready").exists()

    def stop():
        print("stopped by hand")
"""


class Container:
    """The template's process, in a folder laid out as its image is."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        port = ports.free_port()
        self.log = folder / "index.log"
        self.part = Part(
            "function",
            [sys.executable, "index.py"],
            environment=environment | {"PORT": str(port), "PYTHONPATH": str(folder)},
            log=self.log,
            folder=folder,
            check=functools.partial(health.http, port, "/_/health"),
            used_ports=[port],
        )
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20)


Run = Callable[..., Awaitable[Container]]


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    """Starts a container of a folder, and stops it after the test."""
    async with AsyncExitStack() as ends:

        async def run(folder: Path, environment: dict[str, str] | None = None) -> Container:
            container = Container(folder, dict(os.environ) | (environment or {}))
            ends.push_async_callback(container.part.stop)
            await ends.enter_async_context(container.http)
            await container.part.start()
            return container

        yield run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context with a handler of its own."""
    shutil.copy(TEMPLATE / "index.py", tmp_path)
    (tmp_path / "function").mkdir()
    (tmp_path / "function" / "handler.py").write_text(dedent(HANDLER))
    (tmp_path / "function" / "words.py").write_text('GREETING = "hello"\n')
    return tmp_path


async def test_a_handler_with_a_module_of_its_own(folder: Path, run: Run) -> None:
    container = await run(folder)
    answer = await container.http.get("/a/é?b=c%20d", headers={"X-A": "1"})
    assert answer.text == "hello /a/é {'b': 'c d'} 1"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_ready_is_what_the_handler_says(folder: Path, run: Run) -> None:
    container = await run(folder)
    assert (await container.http.get("/_/ready")).status_code == 503
    (folder / "function" / "ready").touch()
    assert (await container.http.get("/_/ready")).status_code == 200
    (folder / "function" / "broken").touch()
    broken = await container.http.get("/_/ready")
    assert (broken.status_code, broken.text) == (503, "not ready: no store\n")
    assert (await container.http.get("/_/health")).status_code == 200
    assert "no store" in container.log.read_text()


async def test_it_finishes_what_it_has_begun(folder: Path, run: Run) -> None:
    container = await run(folder)
    slow = asyncio.create_task(container.http.get("/slow", headers={"X-A": "1"}))
    async with asyncio.timeout(20):
        while not (folder / "function" / "begun").exists():
            await asyncio.sleep(0.01)
    container.part.signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        while await connects(container):
            await asyncio.sleep(0.01)
    (folder / "function" / "go").touch()
    assert (await slow).status_code == 200
    with pytest.raises(PartFailedError, match=r"exit code 0\): stopped by hand"):
        await container.part.wait()


async def connects(container: Container) -> bool:
    """Whether it takes connections."""
    async with httpx.AsyncClient() as http:
        try:
            await http.get(container.http.base_url.join("/_/health"))
        except httpx.TransportError:
            return False
        return True


async def test_a_handler_that_cannot_be_loaded_says_why(folder: Path, run: Run) -> None:
    (folder / "function" / "handler.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(PartFailedError, match="No module named 'nothing_of_that_name'"):
        await run(folder)


async def test_the_scaffold_runs_as_its_image_lays_it_out(
    layout: Layout, stores: Stack, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(TEMPLATE, tmp_path, dirs_exist_ok=True)
    shutil.copytree(ROOT / "shared", tmp_path / "shared")
    container = await run(tmp_path, layout.child_environment())
    uid = new_id()
    batch = signed(layout.secrets, "hello", [event("hello.say", uid, name="Ada")])
    (answer,) = await post(container.http, "/", batch)
    assert answer["result"] == {"text": "Hello, Ada!", "uid": uid}
    assert (await container.http.get("/_/ready")).status_code == 200


@pytest.mark.parametrize("name", sorted(STACK["functions"]))
async def test_every_function_runs_as_its_image_lays_it_out(
    layout: Layout, stores: Stack, tmp_path: Path, run: Run, name: str
) -> None:
    shutil.copytree(
        TEMPLATE, tmp_path, ignore=shutil.ignore_patterns("function"), dirs_exist_ok=True
    )
    shutil.copytree(ROOT / "functions" / name, tmp_path / "function")
    shutil.copytree(ROOT / "shared", tmp_path / "shared")
    container = await run(tmp_path, layout.child_environment())
    assert (await container.http.get("/_/ready")).status_code == 200
    batch = signed(layout.secrets, name, [event("no.method", "somebody1")])
    (answer,) = await post(container.http, "/", batch)
    assert refusal(answer) == "unknown_method"


def test_the_scaffold_brings_tests_that_pass(layout: Layout, tmp_path: Path) -> None:
    scaffold = tmp_path / "hello"
    shutil.copytree(TEMPLATE / "function", scaffold, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(scaffold)]
    command += ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=tmp_path, env=layout.child_environment(), timeout=60)
    assert ran.returncode == 0
    (scaffold / "handler.py").write_text(
        (scaffold / "handler.py").read_text().replace("Hello", "Bye")
    )
    ran = subprocess.run(command, cwd=tmp_path, env=layout.child_environment(), timeout=60)
    assert ran.returncode == 1
