"""The pages that a newcomer follows, typed as they stand on the documented ports: README.md,
docs/quick-start.md, sdk/python/README.md, examples/README.md and parts of docs/operating.md."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests import newcomer as people
from tests.newcomer import Newcomer
from tests.pages import Block, running

pytestmark = [
    pytest.mark.skipif(not people.possible(), reason="needs unshare and nsenter for a user"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def newcomer(tmp_path: Path) -> AsyncIterator[Newcomer]:
    async with Newcomer(tmp_path) as somebody:
        yield somebody


async def test_the_first_pages(newcomer: Newcomer) -> None:
    for page in ("README.md", "docs/quick-start.md"):
        for block in running(page):
            if block.language == "python" and "Bot(" in block.text:
                await _runs_a_bot(newcomer, block)
            elif block.language == "python":
                await newcomer.run(f"python {_saved(newcomer, block)}\n")
            else:
                await newcomer.follow(block)
    (metrics,) = running("docs/operating.md", "Metrics to watch")
    shown = await newcomer.follow(metrics)
    assert "stonechat_sessions" in shown
    assert "stonechat_calls_total" in shown
    (order,) = running("docs/operating.md", "Is it in order?")
    await newcomer.follow(order)
    assert newcomer.up is not None
    await newcomer.up.end()
    assert "stopped" in newcomer.up.shown.splitlines()[-1]


async def test_the_pages_of_the_client_and_the_examples(newcomer: Newcomer) -> None:
    newcomer.up = await newcomer.open("make up")
    await newcomer.up.until("ready. Try")
    for block in running("sdk/python/README.md"):
        if block.language == "python":
            await _runs_a_bot(newcomer, block)
        else:
            await newcomer.follow(block)
    for block in running("examples/README.md"):
        assert "deployed" in await newcomer.follow(block)


async def _runs_a_bot(newcomer: Newcomer, block: Block) -> None:
    """The program answers what it is sent, and does so again when it is started again."""
    file = _saved(newcomer, block)
    for number in range(2):
        bot = await newcomer.open(f"python {file}")
        said = f"is there anybody, number {number}?"
        async with asyncio.timeout(60):
            while not await _answered(newcomer, said):
                assert bot.process.returncode is None, bot.shown
                await asyncio.sleep(0.2)
        await bot.end()


async def _answered(newcomer: Newcomer, said: str) -> bool:
    """Whether a message to the bot, repeated until it hears it, has come back."""
    await newcomer.run(f'stonechat send zoe --to echo-bot "{said}" || true\n')
    me = (await newcomer.run("stonechat whoami zoe\n")).split()[-1]
    listed = await newcomer.run("stonechat call zoe conversation.list\n")
    found = orjson.loads(listed.split("\n", 1)[0])["conversations"]
    last = [each["last_entry"] for each in found if "last_entry" in each]
    return any(each["sender"] != me and each["body"].get("text") == said for each in last)


def _saved(newcomer: Newcomer, block: Block) -> Path:
    file = newcomer.home / f"block_{block.line}.py"
    file.write_text(block.text)
    return file
