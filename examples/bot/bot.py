"""A bot that says again what it hears, and keeps a promise: each message is answered once."""

import logging
import os

from stonechat import Bot, Client, Entry, StonechatError

logger = logging.getLogger("echo-bot")

bot = Bot(
    os.environ.get("BOT_USERNAME", "echo-bot"),
    os.environ.get("BOT_PASSWORD", "a good password"),
    state=os.environ.get("BOT_STATE", "echo-bot.sqlite"),
    name="Echo",
    invite=os.environ.get("BOT_INVITE"),
)


@bot.on("text")
async def echo(client: Client, entry: Entry) -> None:
    text = str(entry.body.get("text", ""))
    # The cid is made of what is answered: if this process is killed right here, the entry comes
    # again to the next one, and what was sent already is not sent twice.
    cid = f"echo-{entry.id}"
    try:
        await client.send(conv=entry.conv, text=text, reply_to=entry.seq, cid=cid)
    except StonechatError as refusal:
        # Muted in this group, blocked by that person, …: theirs to decide. Anything else that
        # is raised here is logged by the bot, with where it came from, and it goes on as well.
        logger.warning("no answer in %s: %s", entry.conv, refusal)


@bot.on("group")
async def greet(client: Client, entry: Entry) -> None:
    news = entry.body.get("event") in ("created", "joined")
    if news and client.uid in entry.body.get("uids", ()):
        await client.send(conv=entry.conv, text="here I am", cid=f"hello-{entry.id}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    bot.run()
