"""The commands: `chat`, `send`, `tail`, `whoami`.

They end with 1 where the server refuses something, 2 on wrong usage, 3 where it cannot be reached.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import orjson
import typer

from stonechat.client import Client, Sent
from stonechat.errors import NotFound, SignedOut, StateInUse, StonechatError
from stonechat.terminal import account
from stonechat.terminal.chat import Chat, wait_for_person
from stonechat.terminal.lines import line

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Stonechat in a terminal.")

Url = Annotated[str, typer.Option(envvar="STONECHAT_URL", help="a connector")]
State = Annotated[Path | None, typer.Option(help="where sign-ins are kept")]
Name = Annotated[str, typer.Argument(help="your username")]
Person = Annotated[str, typer.Option(help="the other's username")]
URL = "ws://127.0.0.1:8001/v1"
_PIPELINED = 1000  # messages that are sent and not acknowledged yet


@app.command()
def chat(
    name: Name, with_: Annotated[str, typer.Option("--with")], url: Url = URL, state: State = None
) -> None:
    """Chats with somebody. Your name is registered on first use."""

    async def run(client: Client) -> None:
        peer = await wait_for_person(client, with_)
        await Chat(client, peer).run()

    _run(name, url, state, run, "chat")


@app.command()
def send(
    name: Name,
    to: Person,
    text: Annotated[str | None, typer.Argument(help="or one message a line of input")] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Sends one message, or every line of standard input, as it comes. Prints the place of each."""

    async def run(client: Client) -> None:
        uid = await _uid(client, to)
        if text is not None:
            _acknowledge(await client.send(to=uid, text=text))
            return
        sends: asyncio.Queue[asyncio.Task[Sent] | None] = asyncio.Queue(_PIPELINED)

        async def take(line: str | None) -> None:
            await sends.put(asyncio.create_task(client.send(to=uid, text=line)) if line else None)

        _read_input(take)
        try:
            while (sending := await sends.get()) is not None:
                _acknowledge(await sending)
        finally:  # what is under way stays in the state, for the next time
            while not sends.empty():
                if (sending := sends.get_nowait()) is not None:
                    sending.cancel()

    _run(name, url, state, run, "send")


@app.command()
def tail(
    name: Name,
    with_: Annotated[str | None, typer.Option("--with", help="only this person")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    count: Annotated[int, typer.Option("-n", help="end after so many, 0: never")] = 0,
    url: Url = URL,
    state: State = None,
) -> None:
    """Follows what arrives. What came since the last time is shown first."""

    async def run(client: Client) -> None:
        peer = await _uid(client, with_) if with_ else None
        conv = "d:" + ":".join(sorted((client.uid, peer))) if peer else None
        left = count
        async for entry in client.entries():
            if conv not in (None, entry.conv):
                continue
            if json:
                print(orjson.dumps(asdict(entry)).decode(), flush=True)
            elif (found := line(entry, client.uid, {})) is not None:
                print(f"{entry.conv} {entry.seq} {found.who}: {found.what}", flush=True)
            left -= 1
            if left == 0:
                return

    _run(name, url, state, run, "tail")


@app.command()
def whoami(name: Name, url: Url = URL, state: State = None) -> None:
    """Signs in and prints the uid."""

    async def run(client: Client) -> None:
        print(client.uid)

    _run(name, url, state, run, "whoami")


def _read_input(take: Callable[[str | None], Coroutine[Any, Any, None]]) -> None:
    """Gives each line of standard input, and None at its end, to the running loop. In a thread
    that does not keep the process alive, as nothing can interrupt its reading."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        with suppress(RuntimeError, CancelledError):  # the loop ended first
            for line in sys.stdin:
                if text := line.rstrip("\n"):
                    asyncio.run_coroutine_threadsafe(take(text), loop).result()
            asyncio.run_coroutine_threadsafe(take(None), loop).result()

    Thread(target=read, daemon=True).start()


def _acknowledge(sent: Sent) -> None:
    print(f"{sent.conv} {sent.seq}", flush=True)


async def _uid(client: Client, username: str) -> str:
    found = await client.find(username)
    if found is None:
        raise NotFound(-32003, f"nobody is called {username}", {"reason": "not_found"})
    return str(found["uid"])


def _run(
    name: str,
    url: str,
    state: Path | None,
    work: Callable[[Client], Awaitable[None]],
    command: str,
) -> None:
    """Signs in, does the work, and ends the process with a line where that fails."""
    accounts = state or account.folder()
    accounts.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def signed_in() -> None:
        async with account.client(url, name, accounts, command) as client:
            told = await account.sign_in(client, name, accounts)
            if told:
                print(told, file=sys.stderr)
            await work(client)

    try:
        asyncio.run(signed_in())
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Whoever read the output has enough of it; nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (StonechatError, SignedOut, StateInUse) as error:
        sys.exit(_told(error, 1))
    except OSError as error:
        sys.exit(_told(error, 3))


def _told(error: Exception, code: int) -> int:
    print(f"stonechat: {error or 'no answer in time'}", file=sys.stderr)
    return code
