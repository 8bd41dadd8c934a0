"""Bots, as processes, through what happens to them; and the documented ones as they stand."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stonechat import Bot, Client, Entry, MemoryState, Unauthenticated

from local.layout import ROOT
from local.stack import Stack
from tests.programs import Program, first_block, running
from tests.wire import PASSWORD

PAGES = ["sdk/python/README.md", "docs/quick-start.md"]
PROGRAM = """
import asyncio, sys
from stonechat import Bot

bot = Bot(sys.argv[1], sys.argv[2], state="bot.sqlite")

@bot.on("text")
async def hear(client, entry):
    text = entry.body["text"]
    print("heard", text, flush=True)
    if text.startswith("poison"):
        raise ZeroDivisionError
    if text.startswith("slow"):
        await asyncio.sleep(float(text.split()[1]))
    await client.send(conv=entry.conv, text="re: " + text, cid="re-" + entry.id)
    print("answered", text, flush=True)

bot.run()
print("bye", bot.handled, bot.failed, flush=True)
"""


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.layout.connector_urls[0]


@pytest.fixture
async def alice(url: str, name: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        await client.register(name + "a", PASSWORD)
        yield client


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return file


async def uid_of(client: Client, username: str) -> str:
    """As soon as there is one."""
    async with asyncio.timeout(30):
        while (found := await client.find(username)) is None:
            await asyncio.sleep(0.05)
    return found.uid


async def answers(client: Client, uid: str, count: int) -> list[str]:
    """The next texts of this person."""
    found: list[str] = []
    async with asyncio.timeout(30):
        async for entry in client.entries():
            if entry.sender == uid and entry.type == "text":
                found.append(entry.body["text"])
            if len(found) == count:
                break
    return found


async def settled(client: Client, username: str, folder: Path, program: Path, url: str) -> str:
    """The uid of a bot that was started once, and is not running."""
    async with running(program, folder, username, PASSWORD, STONECHAT_URL=url) as bot:
        uid = await uid_of(client, username)
        await client.send(to=uid, text="hello")
        assert await bot.line() == "heard hello"
        assert await bot.stop() == 0, bot.errors
    return uid


@pytest.mark.parametrize("page", PAGES)
async def test_the_documented_bot_runs_as_it_stands(
    page: str, alice: Client, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "echo.py"
    file.write_text(first_block(ROOT / page))
    for number in range(2):
        async with running(file, tmp_path, STONECHAT_URL=url) as bot:
            uid = await uid_of(alice, "echo-bot")
            if not number:
                # It may have an account of an earlier day, and begins with what comes next.
                await asyncio.wait_for(there(alice, uid), 30)
            await alice.send(to=uid, text=f"hello {number}")
            assert await answers(alice, uid, 1) == [f"hello {number}"]
            assert await bot.stop() == 0, bot.errors
            assert bot.errors == ""


async def there(client: Client, uid: str) -> None:
    """Until it answers."""
    number = 0
    while True:
        number += 1
        await client.send(to=uid, text="there?", cid=f"there{number}")
        try:
            await asyncio.wait_for(answers(client, uid, 1), 1)
        except TimeoutError:
            continue
        break
    # What was asked before is answered too, or was before its time.
    await client.send(to=uid, text="last", cid="last")
    while await answers(client, uid, 1) != ["last"]:
        pass


async def test_what_was_sent_while_it_was_away_is_answered_in_order(
    alice: Client, url: str, name: str, tmp_path: Path, program: Path
) -> None:
    uid = await settled(alice, name, tmp_path, program, url)
    assert await answers(alice, uid, 1) == ["re: hello"]
    for text in ("one", "poison", "two"):
        await alice.send(to=uid, text=text)
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await answers(alice, uid, 2) == ["re: one", "re: two"]
        heard = [await bot.line() for _ in range(5)]
        assert heard[2] == "heard poison"
        assert await bot.stop(signal.SIGINT) == 0
        assert "ZeroDivisionError" in bot.errors
        assert "username_taken" not in bot.errors
    await alice.send(to=uid, text="three")
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        # Neither the poison nor what was answered comes again.
        assert await bot.line() == "heard three"
        assert await answers(alice, uid, 1) == ["re: three"]
        assert await bot.stop() == 0


async def test_a_refused_answer_does_not_stop_it(
    alice: Client, url: str, name: str, tmp_path: Path, program: Path
) -> None:
    uid = await settled(alice, name, tmp_path, program, url)
    await answers(alice, uid, 1)
    async with Client(url) as bob:
        await bob.register(name + "b", PASSWORD)
        await bob.send(to=uid, text="from bob")
        await bob.friends.block(uid)
        await alice.send(to=uid, text="from alice")
        async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
            assert await answers(alice, uid, 1) == ["re: from alice"]
            await bot.complaint("blocked")
            assert await bot.stop() == 0


async def test_killed_at_work_it_begins_there_again_and_answers_once(
    alice: Client, url: str, name: str, tmp_path: Path, program: Path
) -> None:
    uid = await settled(alice, name, tmp_path, program, url)
    await answers(alice, uid, 1)
    sent = await alice.send(to=uid, text="slow 60")
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await bot.line() == "heard slow 60"
        assert await bot.stop(signal.SIGKILL) == -signal.SIGKILL
    await alice.send(to=uid, text="next")
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await bot.line() == "heard slow 60"
        assert await bot.stop(signal.SIGKILL) == -signal.SIGKILL
    quick = program.with_name("quick.py")
    quick.write_text(PROGRAM.replace("float(text.split()[1])", "0"))
    async with running(quick, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await bot.line() == "heard slow 60"
        assert await answers(alice, uid, 2) == ["re: slow 60", "re: next"]
    history = await alice.history(sent.conv, limit=20)
    assert [each.body["text"] for each in history if each.sender == uid].count("re: slow 60") == 1


async def test_stopping_lets_it_finish_what_it_is_at(
    alice: Client, url: str, name: str, tmp_path: Path, program: Path
) -> None:
    uid = await settled(alice, name, tmp_path, program, url)
    await answers(alice, uid, 1)
    await alice.send(to=uid, text="slow 0.5")
    await alice.send(to=uid, text="after")
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await bot.line() == "heard slow 0.5"
        bot.process.terminate()
        assert [await bot.line() for _ in range(2)] == ["answered slow 0.5", "bye 1 0"]
        assert await bot.ended() == 0
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as bot:
        assert await bot.line() == "heard after"


async def told(bot: Program) -> str:
    """The one line that it says when it cannot go on."""
    assert await bot.ended() == 1
    (line,) = bot.errors.splitlines()
    return line


async def test_two_of_one_file_and_wrong_passwords_are_told_in_a_line(
    alice: Client, url: str, name: str, tmp_path: Path, program: Path
) -> None:
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url):
        await uid_of(alice, name)
        async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=url) as second:
            assert "bot.sqlite is in use by another process" in await told(second)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with running(program, elsewhere, name, "not its password", STONECHAT_URL=url) as wrong:
        assert f"there is somebody called {name}, with another password" in await told(wrong)
    # Without its file it logs in.
    async with running(program, elsewhere, name, PASSWORD, STONECHAT_URL=url) as other:
        await there_by(alice, name, other)


async def there_by(client: Client, username: str, bot: Program) -> None:
    uid = await uid_of(client, username)
    async with asyncio.timeout(30):
        hearing = asyncio.create_task(bot.line())
        while not hearing.done():
            await client.send(to=uid, text="hello")
            await asyncio.wait([hearing], timeout=0.2)
    assert hearing.result() == "heard hello"


async def test_a_server_that_is_away_is_waited_for_and_stopping_ends_that(
    name: str, tmp_path: Path, program: Path
) -> None:
    away = "ws://127.0.0.1:9/v1"
    async with running(program, tmp_path, name, PASSWORD, STONECHAT_URL=away) as bot:
        await bot.complaint("ws://127.0.0.1:9/v1 cannot be reached")
        assert await bot.stop() == 0


async def test_inside_a_loop_of_ones_own(alice: Client, url: str, name: str) -> None:
    bot = Bot(name, PASSWORD, state=MemoryState(), url=url)
    heard: asyncio.Queue[str] = asyncio.Queue()

    @bot.on()
    async def hear(client: Client, entry: Entry) -> None:
        heard.put_nowait(entry.type)

    serving = asyncio.create_task(bot.serve())
    uid = await uid_of(alice, name)
    await alice.friends.request(uid)
    async with asyncio.timeout(30):
        assert await heard.get() == "friend"
        bot.stop()
        await serving
    assert (bot.handled, bot.failed) == (1, 0)
    with pytest.raises(Unauthenticated, match="another password"):
        await Bot(name, "not its password", state=MemoryState(), url=url).serve()
