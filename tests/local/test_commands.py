"""`python -m local deploy`, `list`, `remove`, `logs` and `secret`, on what runs."""

import ast
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
import yaml

from local import annotations
from local.layout import ROOT
from local.stack import Stack
from shared import secretfiles
from tests.wire import Refused, Wire

HANDLER = """
    from pydantic import BaseModel
    from shared.call import Call
    from shared.function import Function

    fn = Function({name!r})

    class Ask(BaseModel):
        question: str

    @fn.method("{name}.ask")
    def ask(call: Call[Ask]) -> dict:
        print("asked", call.params.question)
        return {{"answer": {answer!r}}}

    handle = fn.handle
    ready = fn.ready
"""


class Ran(NamedTuple):
    code: int
    told: str
    failed: str


Local = Callable[..., Awaitable[Ran]]


@pytest.fixture
def local(stack: Stack, tmp_path: Path) -> Local:
    """Runs a command, in a folder with a stack file of one's own."""
    (tmp_path / "stack.yml").write_text("functions: {}\n")

    async def run(*arguments: str, text: str = "") -> Ran:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local", *arguments),
            *("--directory", str(stack.layout.directory)),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(text.encode()), 60)
        assert process.returncode is not None
        assert "Traceback" not in err.decode()
        return Ran(process.returncode, out.decode(), err.decode().strip())

    return run


def write(folder: Path, name: str, answer: str = "yes", **more: str) -> None:
    """A function of this name, in a folder's stack file."""
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "handler.py").write_text(dedent(HANDLER).format(name=name, answer=answer))
    stack = yaml.safe_load((folder / "stack.yml").read_text())
    own = {"topic": "stonechat", "stonechat.methods": f"{name}.ask"} | more
    stack["functions"][name] = {
        "handler": f"./{name}",
        "image": f"{name}:latest",
        "annotations": {key: value for key, value in own.items() if value},
        "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
    }
    (folder / "stack.yml").write_text(yaml.safe_dump(stack))


async def test_a_function_from_its_deployment_to_its_end(
    local: Local, stack: Stack, tmp_path: Path, name: str
) -> None:
    write(tmp_path, name)
    assert await local("deploy") == Ran(0, f"deployed {name}: {name}.ask\n", "")
    wires = [await Wire.sign_in(url, f"{name}{n}") for n, url in enumerate(urls(stack))]
    for wire in wires:  # each connector knows it
        assert await wire.call(f"{name}.ask", question="tea") == {"answer": "yes"}
    listed = (await local("list")).told.splitlines()
    (mine,) = [line.split() for line in listed if line.startswith(name)]
    assert mine[1:] == ["1/1", "2", f"{name}.ask"]
    assert (await local("logs", name)).told.splitlines()[-1] == "asked tea"
    assert "asked tea" in (await local("logs", name, "--since", "10m")).told
    assert (await local("logs", name, "--since", "2999-01-01T00:00:00Z")).told == ""
    write(tmp_path, name, "no")
    assert (await local("deploy", "--filter", name)).code == 0
    assert await wires[0].call(f"{name}.ask", question="tea") == {"answer": "no"}
    assert await local("remove", name) == Ran(0, f"removed {name}\n", "")
    for wire in wires:
        with pytest.raises(Refused) as refused:
            await wire.call(f"{name}.ask", question="tea")
        assert refused.value.reason == "unknown_method"
        await wire.close()


def urls(stack: Stack) -> list[str]:
    return stack.layout.connector_urls


async def test_a_log_is_followed(local: Local, stack: Stack, tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert (await local("deploy")).code == 0
    wire = await Wire.sign_in(urls(stack)[0], name)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local", "logs", name, "--follow"),
        *("--directory", str(stack.layout.directory)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for word in ("one", "two"):
        await wire.call(f"{name}.ask", question=word)
        async with asyncio.timeout(30):
            while (await process.stdout.readline()).decode().strip() != f"asked {word}":
                pass
    process.terminate()
    await process.wait()
    await wire.close()
    assert (await local("remove", name)).code == 0


async def test_what_matches_nothing_is_an_error(local: Local, tmp_path: Path) -> None:
    write(tmp_path, "tea")
    write(tmp_path, "coffee")
    assert await local("deploy", "--filter", "milk*") == Ran(
        1, "", "failed: no function of stack.yml matches 'milk*'; it has coffee, tea"
    )
    for command in ("logs", "remove"):
        ran = await local(command, "milk")
        assert (ran.code, ran.told) == (1, "")
        assert ran.failed.startswith("failed: no function milk is deployed; there are auth, ")
    assert (await local("logs", "auth", "--since", "tea")).code == 1
    assert "none.yml cannot be used" in (await local("deploy", "--file", "none.yml")).failed


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"stonechat.methods": "message.tea"}, "it does not get message.tea"),
        ({"stonechat.methods": "session.tea,user.tea"}, "it does not get user.tea"),
        ({"stonechat.methods": "tea"}, "it does not get tea"),
        ({"stonechat.lanes": "many"}, "stonechat.lanes is a number from 1 to 64, not 'many'"),
        ({"stonechat.public": "tea.drink"}, "stonechat.public names tea.drink"),
        ({"stonechat.before.policy": "maybe"}, "before.policy is refuse or pass, not 'maybe'"),
        ({"stonechat.method": "tea.drink"}, "stonechat.method means nothing"),
        ({"topic": ""}, "topic: stonechat is missing"),
    ],
)
async def test_annotations_that_make_no_sense(
    local: Local, tmp_path: Path, given: dict[str, str], complaint: str
) -> None:
    write(tmp_path, "nonsense", **given)
    ran = await local("deploy")
    assert (ran.code, ran.told) == (1, "")
    assert ran.failed.startswith("failed: nonsense is not deployed: ")
    assert complaint in ran.failed
    assert "nonsense" not in (await local("list")).told


async def test_who_would_lose_a_method_is_told(local: Local, tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert (await local("deploy")).code == 0
    write(tmp_path, f"a{name}", **{"stonechat.methods": f"a{name}.ask,{name}.ask"})
    assert await local("deploy", "--filter", f"a{name}") == Ran(
        1, "", f"failed: a{name} is not deployed: it does not get {name}.ask: {name} has it"
    )
    assert (await local("remove", name)).code == 0


async def test_a_handler_that_does_not_start(local: Local, tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    (tmp_path / name / "handler.py").write_text("raise ValueError('not today')\n")
    ran = await local("deploy")
    assert (ran.code, ran.told) == (1, "")
    assert ran.failed == f"failed: function {name} did not start: ValueError: not today"


async def test_our_own_functions_are_not_removed_by_the_way(local: Local) -> None:
    ran = await local("remove", "send", "sync")
    assert ran == Ran(1, "", "failed: send is Stonechat's own: nothing is removed without --force")
    assert "message.send" in (await local("list")).told


async def test_secrets(local: Local, stack: Stack, tmp_path: Path, name: str) -> None:
    made = await local("secret", "create", name, text="one\n")
    assert made == Ran(0, f"created {name}: functions that name it can be deployed\n", "")
    assert secretfiles.read(stack.layout.secrets, name) == "one"
    assert name in (await local("secret", "list")).told.splitlines()
    assert (await local("secret", "create", name, text="two")).failed == (
        f"failed: there is a secret {name}"
    )
    (tmp_path / "value").write_text("two")
    assert (await local("secret", "update", name, "--from-file", "value")).code == 0
    assert secretfiles.read(stack.layout.secrets, name) == "two"
    assert (await local("secret", "update", name)).failed == "failed: the secret is empty"
    missing = await local("secret", "update", name, "-f", "none")
    assert missing.failed == "failed: none cannot be read: No such file or directory"
    assert await local("secret", "remove", name) == Ran(0, f"removed {name}\n", "")
    assert (await local("secret", "remove", name)).failed == f"failed: there is no secret {name}"
    assert (await local("secret", "remove", "stonechat-connector-key")).code == 1
    assert name not in (await local("secret", "list")).told.splitlines()


def test_our_own_annotations_make_sense() -> None:
    for file in ("stack.yml", "examples/stack.yml"):
        for name, each in yaml.safe_load((ROOT / file).read_text())["functions"].items():
            assert annotations.complaints(name, each["annotations"], {}) == [], name


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("", "is not there for"),  # as who has not said `make up` yet
        ("sys.version_info = (3, 9)", "Stonechat needs Python 3.11 or newer"),
    ],
)
async def test_what_is_missing_is_said_in_a_line(tmp_path: Path, before: str, told: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-I", "-c"),
        f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); {before}\n"
        "runpy.run_module('local', run_name='__main__')",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    (line,) = err.decode().splitlines()
    assert told in line


@pytest.mark.parametrize("file", ["__init__.py", "__main__.py"])
def test_any_python_reads_what_says_so(file: str) -> None:
    ast.parse((ROOT / "local" / file).read_text(), feature_version=(3, 6))
