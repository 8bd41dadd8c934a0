"""The commands: `chat`, `send`, `tail`, `whoami`, `call`, and those of `friends` and `groups`.

They end with 1 where the server refuses something, 2 on wrong usage, 3 where it cannot be reached.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import asdict
from threading import Thread
from typing import Annotated, Any

import orjson
import typer

from stonechat.client import Client
from stonechat.messages import Sent
from stonechat.terminal import groups, people
from stonechat.terminal.chat import Chat, in_group, wait_for_person, with_person
from stonechat.terminal.lines import line
from stonechat.terminal.names import Names, complete_groups, complete_people
from stonechat.terminal.running import URL, Name, Person, State, Url, folder, run, uid_of

app = typer.Typer(no_args_is_help=True, help="Stonechat in a terminal.")
app.add_typer(people.app, name="friends")
app.add_typer(groups.app, name="groups")

_PIPELINED = 1000  # messages that are sent and not acknowledged yet


@app.command()
def chat(
    name: Name,
    with_: Annotated[
        str | None,
        typer.Option("--with", help="a username", autocompletion=complete_people),
    ] = None,
    in_: Annotated[
        str | None,
        typer.Option("--in", help="a group's name or gid", autocompletion=complete_groups),
    ] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Chats with somebody or in a group. Your name is registered on first use."""
    if (with_ is None) == (in_ is None):
        raise typer.BadParameter("give either --with or --in")

    async def work(client: Client) -> None:
        met = Names(folder(state), name)
        if in_ is not None:
            place = await in_group(client, await groups.chosen(client, in_))
            met.add("groups", place.title)
        else:
            place = with_person(client, await wait_for_person(client, with_ or ""))
            met.add("people", place.title)
        await Chat(client, place).run()

    run(name, url, state, work, "chat")


@app.command()
def send(
    name: Name,
    to: Person,
    text: Annotated[str | None, typer.Argument(help="or one message a line of input")] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Sends one message, or every line of standard input, as it comes. Prints the place of each."""

    async def work(client: Client) -> None:
        uid = await uid_of(client, to)
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

    run(name, url, state, work, "send")


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

    async def work(client: Client) -> None:
        peer = await uid_of(client, with_) if with_ else None
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

    run(name, url, state, work, "tail")


@app.command()
def whoami(name: Name, url: Url = URL, state: State = None) -> None:
    """Signs in and prints the uid."""

    async def work(client: Client) -> None:
        print(client.uid)

    run(name, url, state, work, "whoami")


@app.command()
def call(
    name: Name,
    method: Annotated[str, typer.Argument(help="as in poll.create")],
    params: Annotated[str, typer.Argument(help="a JSON object")] = "{}",
    url: Url = URL,
    state: State = None,
) -> None:
    """Calls any method of any function and prints the result as JSON."""
    try:
        given = orjson.loads(params)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"params: {error}") from None
    if not isinstance(given, dict):
        raise typer.BadParameter("params: a JSON object is needed")

    async def work(client: Client) -> None:
        print(orjson.dumps(await client.call(method, given)).decode(), flush=True)

    run(name, url, state, work, "call")


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
