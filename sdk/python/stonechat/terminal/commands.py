"""The commands: `chat`, `send`, `tail`, `whoami`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from stonechat.client import Client
from stonechat.errors import NotFound, StonechatError
from stonechat.terminal import account
from stonechat.terminal.chat import Chat, wait_for_person
from stonechat.terminal.lines import line

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Stonechat in a terminal.")

Url = Annotated[str, typer.Option(envvar="STONECHAT_URL", help="a connector")]
State = Annotated[Path | None, typer.Option(help="where sign-ins are kept")]
Name = Annotated[str, typer.Argument(help="your username")]
Person = Annotated[str, typer.Option(help="the other's username")]
URL = "ws://127.0.0.1:8001/v1"


@app.command()
def chat(
    name: Name, with_: Annotated[str, typer.Option("--with")], url: Url = URL, state: State = None
) -> None:
    """Chats with somebody. Your name is registered on first use."""

    async def run(client: Client) -> None:
        peer = await wait_for_person(client, with_)
        await Chat(client, peer).run()

    _run(name, url, state, run, lasting=True)


@app.command()
def send(
    name: Name,
    to: Person,
    text: Annotated[str | None, typer.Argument(help="or one message a line of input")] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Sends one message, or every line of standard input."""

    async def run(client: Client) -> None:
        uid = await _uid(client, to)
        lines = [text] if text is not None else [each.rstrip("\n") for each in sys.stdin]
        sends = [client.send(to=uid, text=each) for each in lines if each]
        for sent in await asyncio.gather(*sends):
            print(f"{sent.conv} {sent.seq}")

    _run(name, url, state, run, lasting=False)


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

    _run(name, url, state, run, lasting=True)


@app.command()
def whoami(name: Name, url: Url = URL, state: State = None) -> None:
    """Signs in and prints the uid."""

    async def run(client: Client) -> None:
        print(client.uid)

    _run(name, url, state, run, lasting=False)


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
    *,
    lasting: bool,
) -> None:
    """Signs in, does the work, and ends the process with a line where that fails."""
    accounts = state or account.folder()
    accounts.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def signed_in() -> None:
        async with account.client(url, name, accounts, lasting=lasting) as client:
            told = await account.sign_in(client, name, accounts)
            if told:
                print(told, file=sys.stderr)
            await work(client)

    try:
        asyncio.run(signed_in())
    except KeyboardInterrupt:
        return
    except (StonechatError, OSError) as error:
        print(f"stonechat: {error}", file=sys.stderr)
        sys.exit(1)
