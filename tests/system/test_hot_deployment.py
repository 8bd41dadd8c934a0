"""Functions come, change and go while people chat: no call fails, no session drops."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from local.deploy import Front
from local.deployment import Packed, parse, read_stack
from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from tests.conftest import CHEAP_PASSWORDS
from tests.logs import errors
from tests.wire import Refused, Wire, direct, result

SESSIONS = 20
RATE = 500  # messages a second, of all sessions together

HANDLER = """
    from pydantic import BaseModel
    from shared.call import Call
    from shared.function import Function

    fn = Function("oracle")

    class Ask(BaseModel):
        question: str

    @fn.method("oracle.ask")
    def ask(call: Call[Ask]) -> dict:
        return {"answer": ANSWER, "uid": call.uid}

    handle = fn.handle
    ready = fn.ready
"""


@pytest.fixture
async def own() -> AsyncIterator[Stack]:
    """A whole system whose functions may be changed."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        async with Stack(on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS)) as made:
            yield made
        assert errors(made.layout.logs) == []


@pytest.fixture
def front(own: Stack) -> Front:
    password = secretfiles.read(own.layout.secrets, secretfiles.GATEWAY_PASSWORD)
    return Front(own.layout.gateway_url, "admin", password)


def oracle(folder: Path, answer: str) -> Packed:
    """A function that has one answer."""
    folder.mkdir(exist_ok=True)
    (folder / "handler.py").write_text(f"ANSWER = {answer!r}\n{dedent(HANDLER)}")
    deployment = {
        "service": "oracle",
        "image": "oracle:latest",
        "annotations": {"topic": "stonechat", "stonechat.methods": "oracle.ask"},
        "secrets": ["stonechat-connector-public", "stonechat-metrics-token"],
    }
    return Packed(parse(deployment), folder)


class Chatter:
    """Sessions that write to themselves at a steady rate. Any refusal ends it, and the test."""

    def __init__(self, wires: list[Wire]) -> None:
        self.wires = wires
        self.sent = 0
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for wire in self.wires:
                group.create_task(self._write(wire))

    async def _write(self, wire: Wire) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        conv, answers = direct(wire.uid, wire.uid), []
        for number in itertools.count():
            if self.stopping.is_set():
                break
            body = {"type": "text", "body": {"text": "x"}}
            answers.append(wire.start("message.send", conv=conv, cid=f"c{number}", **body))
            self.sent += 1
            due += len(self.wires) / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))
        seqs = [result(await asyncio.wait_for(each, 30))["seq"] for each in answers]
        assert seqs == list(range(1, len(seqs) + 1))
        assert wire.close_code is None

    async def go_on(self) -> None:
        """Returns when there was half a second's worth of messages more."""
        enough = self.sent + RATE // 2
        async with asyncio.timeout(30):
            while self.sent < enough:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def chatting(urls: Sequence[str], name: str) -> AsyncIterator[Chatter]:
    """People who write all the time; leaving this says whether all they wrote was acknowledged."""
    signing = [Wire.sign_in(urls[n % 2], f"{name}{n}") for n in range(SESSIONS)]
    chatter = Chatter(list(await asyncio.gather(*signing)))
    running = asyncio.create_task(chatter.run())
    try:
        yield chatter
    finally:
        chatter.stopping.set()
        await running


async def answers(wire: Wire, expected: str, seconds: float) -> None:
    """Returns when the method gives this answer."""
    async with asyncio.timeout(seconds):
        while await wire.call("oracle.ask", question="?") != {"answer": expected, "uid": wire.uid}:
            await asyncio.sleep(0.05)


async def test_a_new_function_is_called_updated_and_removed(
    own: Stack, front: Front, name: str, tmp_path: Path
) -> None:
    async with chatting(own.layout.connector_urls, name) as chatter:
        first, second = chatter.wires[0], chatter.wires[1]  # of two connectors
        await asyncio.to_thread(front.up, oracle(tmp_path / "oracle", "yes"))
        for wire in (first, second):
            assert (await wire.call("oracle.ask", question="?"))["answer"] == "yes"
        enough = asyncio.Event()
        asking = asyncio.create_task(ask_on(first, enough))
        for answer in ("no", "perhaps", "yes"):
            await asyncio.to_thread(front.up, oracle(tmp_path / "oracle", answer))
            await answers(second, answer, 5)
            await chatter.go_on()
        enough.set()
        assert await asking > 10
        await asyncio.to_thread(front.remove, "oracle")
        for wire in (first, second):
            with pytest.raises(Refused) as refused:
                await wire.call("oracle.ask", question="?")
            assert refused.value.reason == "unknown_method"


async def ask_on(wire: Wire, enough: asyncio.Event) -> int:
    """Asks without a break, and returns how often; every call has an answer."""
    for asked in itertools.count():
        if enough.is_set():
            return asked
        found = await wire.call("oracle.ask", question="?")
        assert found["answer"] in ("yes", "no", "perhaps")
    raise AssertionError


async def test_the_functions_in_use_are_updated(own: Stack, front: Front, name: str) -> None:
    busy = [each for each in read_stack(own.layout.stack_file) if each.deployment.name == "send"]
    before = await own.function_pids("send")
    async with chatting(own.layout.connector_urls, name) as chatter:
        for _ in range(3):
            await asyncio.to_thread(front.up, busy[0])
            await chatter.go_on()
    assert set(await own.function_pids("send")).isdisjoint(before)
