"""The gateway front and the template, with functions of their own."""

import asyncio
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import orjson
import pytest

from local import health, ports
from local.layout import Layout
from local.part import Part, PartFailedError
from shared import secretfiles

HANDLER = """
    import os, time

    def handle(event, context):
        what = event.path.strip("/")
        if what == "pid":
            return str(os.getpid())
        if what == "echo":
            return event.body, 201, {"X-Method": event.method, "X-Query": event.query.get("q", "")}
        if what == "bytes":
            return b"\\x00\\xff"
        if what == "pair":
            return "pair", 418
        if what == "dict":
            return {"statusCode": 202, "body": {"a": [1]}, "headers": {"X-A": "b"}}
        if what == "none":
            return None
        if what == "header":
            return event.headers.get("x-CUSTOM", "missing")
        if what == "elsewhere":
            return "", 302, {"Location": "/function/echo/pid"}
        if what == "say":
            print("said by a function")
            return None
        if what == "slow":
            time.sleep(1)
            return "done"
        if what == "die":
            os._exit(3)
        if what.startswith("path"):
            return event.path
        raise ValueError(what)
"""


@pytest.fixture
async def gateway(layout: Layout, tmp_path: Path) -> AsyncIterator[Part]:
    """A gateway with one function, `echo`."""
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "handler.py").write_text(dedent(HANDLER))
    stack = tmp_path / "stack.yml"
    stack.write_text("functions:\n  echo:\n    handler: ./echo\n    annotations: {a: b}\n")
    secretfiles.create_missing(layout.secrets)
    part = gateway_part(layout, stack, tmp_path)
    await part.start()
    yield part
    await part.stop()


def gateway_part(layout: Layout, stack: Path, folder: Path) -> Part:
    port = ports.free_port()

    command = [sys.executable, "-m", "local.gateway", "--port", str(port), "--stack", str(stack)]
    return Part(
        f"gateway:{port}",
        [*command, "--directory", str(folder), "--contexts", str(folder / "build")],
        environment=layout.child_environment(),
        log=folder / "gateway.log",
        check=functools.partial(health.http, port, "/healthz"),
        used_ports=[port],
    )


@pytest.fixture
async def http(gateway: Part) -> AsyncIterator[httpx.AsyncClient]:
    port = gateway.name.split(":")[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client


async def test_every_form_of_answer(http: httpx.AsyncClient) -> None:
    async def get(what: str) -> tuple[int, bytes]:
        answer = await http.get(f"/function/echo/{what}")
        return answer.status_code, answer.content

    assert await get("bytes") == (200, b"\x00\xff")
    assert await get("pair") == (418, b"pair")
    assert await get("dict") == (202, b'{"a": [1]}')
    assert await get("none") == (200, b"")
    assert await get("raise") == (500, b"the handler failed\n")


async def test_a_request_arrives_whole(http: httpx.AsyncClient) -> None:
    body = os.urandom(1024 * 1024)
    answer = await http.put("/function/echo/echo?q=a%20b", content=body)
    assert (answer.status_code, answer.content) == (201, body)
    assert (answer.headers["X-Method"], answer.headers["X-Query"]) == ("PUT", "a b")
    custom = await http.get("/function/echo/header", headers={"X-Custom": "y"})
    assert custom.text == "y"


async def test_nothing_is_followed_or_rewritten(http: httpx.AsyncClient) -> None:
    moved = await http.get("/function/echo/elsewhere")
    assert (moved.status_code, moved.headers["Location"]) == (302, "/function/echo/pid")
    assert (await http.get("/function/echo/path/a%2Fb%20c")).text == "/path/a/b c"
    assert (await http.head("/function/echo/pid")).content == b""


async def test_a_function_has_a_log_of_its_own(http: httpx.AsyncClient, tmp_path: Path) -> None:
    await http.get("/function/echo/say")
    async with asyncio.timeout(20):
        while "said by a function\n" not in (tmp_path / "log" / "echo.log").read_text():
            await asyncio.sleep(0.01)
        while ("said by a function", "echo") not in [
            (each.get("event"), each.get("part")) for each in _told(tmp_path / "gateway.log")
        ]:
            await asyncio.sleep(0.01)


def _told(log: Path) -> list[dict[str, Any]]:
    """The lines that are whole."""
    lines = log.read_bytes().splitlines(keepends=True)
    return [orjson.loads(each) for each in lines if each.startswith(b"{") and each.endswith(b"\n")]


async def test_what_is_not_there_and_what_is_too_large(http: httpx.AsyncClient) -> None:
    assert (await http.get("/function/nobody")).status_code == 404
    large = await http.post("/function/echo/echo", content=b"x" * (16 * 1024 * 1024 + 1))
    assert large.status_code == 413


async def test_listing_needs_the_operators_password(
    http: httpx.AsyncClient, layout: Layout
) -> None:
    assert (await http.get("/system/functions")).status_code == 401
    assert (await http.get("/system/functions", auth=("admin", "admin"))).status_code == 401
    password = secretfiles.read(layout.secrets, secretfiles.GATEWAY_PASSWORD)
    listed = (await http.get("/system/functions", auth=("admin", password))).json()
    assert [(each["name"], each["annotations"]) for each in listed] == [("echo", {"a": "b"})]
    assert (await http.get("/system/function/no", auth=("admin", password))).status_code == 404


async def test_a_function_that_died_is_back(http: httpx.AsyncClient) -> None:
    first = (await http.get("/function/echo/pid")).text
    assert (await http.post("/function/echo/die")).status_code == 502
    async with asyncio.timeout(20):
        while (answer := await http.get("/function/echo/pid")).status_code != 200:
            await asyncio.sleep(0.05)
    assert answer.text != first


async def test_stopping_finishes_what_was_begun(http: httpx.AsyncClient, gateway: Part) -> None:
    slow = asyncio.create_task(http.get("/function/echo/slow"))
    await asyncio.sleep(0.2)
    gateway.signal(signal.SIGTERM)
    assert (await slow).text == "done"


async def test_a_function_without_a_handler_is_named(layout: Layout, tmp_path: Path) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text("functions:\n  ghost:\n    handler: ./ghost\n")
    with pytest.raises(PartFailedError, match="function ghost: there is no handler"):
        await gateway_part(layout, stack, tmp_path).start()


async def test_a_function_that_cannot_start_says_why(layout: Layout, tmp_path: Path) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text("functions:\n  ghost:\n    handler: ./ghost\n")
    (tmp_path / "ghost").mkdir()
    (tmp_path / "ghost" / "handler.py").write_text("raise ValueError('not today')\n")
    with pytest.raises(PartFailedError, match="ghost did not start: ValueError: not today"):
        await gateway_part(layout, stack, tmp_path).start()


async def test_a_function_that_keeps_dying_comes_back_when_it_can(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    handler = tmp_path / "echo" / "handler.py"
    source = handler.read_text()
    handler.write_text("import os\nos._exit(3)\n")
    assert (await http.post("/function/echo/die")).status_code == 502
    async with asyncio.timeout(20):
        while "function_failed" not in (tmp_path / "gateway.log").read_text():
            await asyncio.sleep(0.01)
    assert (await http.get("/function/echo/pid")).status_code == 503
    handler.write_text(source)
    async with asyncio.timeout(20):
        while (await http.get("/function/echo/pid")).status_code != 200:
            await asyncio.sleep(0.05)
