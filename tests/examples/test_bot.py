"""The example of a bot, as a process, from its first start on."""

from pathlib import Path

from stonechat import Client

from local.layout import ROOT
from local.stack import Stack
from tests.programs import running
from tests.sdk.test_bot import answers, uid_of
from tests.wire import PASSWORD

BOT = ROOT / "examples/bot/bot.py"


async def test_it_answers_greets_and_survives(stack: Stack, name: str, tmp_path: Path) -> None:
    url = stack.layout.connector_urls[0]
    environment = {"STONECHAT_URL": url, "BOT_USERNAME": name, "BOT_PASSWORD": PASSWORD}
    async with Client(url) as alice, Client(url) as bob:
        await alice.register(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        async with running(BOT, tmp_path, **environment) as bot:
            uid = await uid_of(alice, name)
            await bot.complaint("is signed in as")
            await alice.send(to=uid, text="hello")
            assert await answers(alice, uid, 1) == ["hello"]
            made = await alice.groups.create("crew", [uid])
            assert await answers(alice, uid, 1) == ["here I am"]
            assert await bot.stop() == 0
        await bob.send(to=uid, text="from bob")
        await bob.friends.block(uid)
        await alice.groups.mute(made.gid, uid=uid, until=2**50)
        await alice.send(conv=made.conv, text="muted")
        await alice.send(to=uid, text="again")
        async with running(BOT, tmp_path, **environment) as bot:
            assert await answers(alice, uid, 1) == ["again"]
            # Conversations are handled in any order.
            for _ in range(2):
                await bot.complaint("no answer in")
            assert await bot.stop() == 0
        assert "blocked" in bot.errors
        assert "muted" in bot.errors
        assert "Traceback" not in bot.errors
