"""Sending from scripts: one message, or a line of input each."""

import asyncio

from stonechat.client import Client
from stonechat.errors import Forbidden, NotFound, StonechatError
from stonechat.messages import Sent
from stonechat.terminal import screen, stdin
from stonechat.terminal.running import reason

_PIPELINED = 1000  # messages that are sent and not acknowledged yet

Sending = tuple[int, "asyncio.Task[Sent] | str"]  # the line, and its message or what is wrong


async def send_one(client: Client, uid: str, text: str) -> None:
    """Prints its place."""
    _acknowledge(await client.send(to=uid, text=text))


async def send_lines(client: Client, uid: str) -> bool:
    """Sends every line of standard input as it comes, and prints the place of each: whether all
    were. Raises `Forbidden` and `NotFound`, which the rest would meet too. What is under way when
    it ends before is kept in the state, for the next time."""
    sends: asyncio.Queue[Sending | None] = asyncio.Queue(_PIPELINED)
    reading = asyncio.create_task(_read(client, uid, sends))
    good = True
    try:
        while (found := await sends.get()) is not None:
            good &= await _settled(*found)
        await reading
    finally:
        reading.cancel()
        while not sends.empty():
            found = sends.get_nowait()
            if found is not None and isinstance(found[1], asyncio.Task):
                found[1].cancel()
    return good


async def _read(client: Client, uid: str, sends: asyncio.Queue[Sending | None]) -> None:
    try:
        async for line in stdin.lines():
            if line.fault:
                await sends.put((line.number, line.fault))
            else:
                sending = asyncio.create_task(client.send(to=uid, text=line.text))
                await sends.put((line.number, sending))
    finally:
        await sends.put(None)


async def _settled(number: int, sending: "asyncio.Task[Sent] | str") -> bool:
    if isinstance(sending, str):
        screen.tell(f"line {number}: {sending}")
        return False
    try:
        _acknowledge(await sending)
    except (Forbidden, NotFound) as error:
        error.args = (f"line {number} and what follows: {error}",)
        raise
    except StonechatError as error:
        screen.tell(f"line {number}: {reason(error)}")
        return False
    return True


def _acknowledge(sent: Sent) -> None:
    screen.say(sent.conv, sent.seq)
