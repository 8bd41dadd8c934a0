"""The commands: `chat`, `send`, `tail`, `whoami`, `call`, `check`, and those of `friends` and
`groups`.
"""

from contextlib import suppress
from typing import Annotated

import orjson
import typer

from stonechat.client import Client
from stonechat.state import State as Kept
from stonechat.terminal import groups, people, screen
from stonechat.terminal.chat import Chat, in_group, wait_for_person, with_person
from stonechat.terminal.checking import check
from stonechat.terminal.names import Names, complete_groups, complete_people
from stonechat.terminal.running import (
    URL,
    Name,
    Person,
    State,
    Url,
    folder,
    person,
    run,
    run_with_state,
    uid_of,
)
from stonechat.terminal.sending import send_lines, send_one
from stonechat.terminal.tail import LINES, Enough, Tail

app = typer.Typer(no_args_is_help=True, help="Stonechat in a terminal.")
app.add_typer(people.app, name="friends")
app.add_typer(groups.app, name="groups")

With = Annotated[
    str | None, typer.Option("--with", help="a username", autocompletion=complete_people)
]
In = Annotated[
    str | None, typer.Option("--in", help="a group's name or gid", autocompletion=complete_groups)
]


@app.command()
def chat(
    name: Name, with_: With = None, in_: In = None, url: Url = URL, state: State = None
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
    """Sends one message, or every line of standard input, as it comes. Prints the place of each.
    A line that cannot be sent is named by its number, the others are sent, and it ends with 1."""

    async def work(client: Client) -> None:
        uid = await uid_of(client, to)
        if text is not None:
            await send_one(client, uid, text)
        elif not await send_lines(client, uid):
            raise typer.Exit(1)

    run(name, url, state, work, "send")


@app.command()
def tail(
    name: Name,
    with_: With = None,
    in_: In = None,
    lines: Annotated[
        int | None,
        typer.Option(
            min=0, help=f"so many of the last entries first; else {LINES}, later what is new"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option(help="or end after the last entries")] = True,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    count: Annotated[int, typer.Option("-n", min=0, help="end after so many, 0: never")] = 0,
    url: Url = URL,
    state: State = None,
) -> None:
    """Shows the last entries and follows what arrives. Later, it goes on where it ended."""
    if with_ is not None and in_ is not None:
        raise typer.BadParameter("give --with or --in or neither")

    async def work(client: Client, kept: Kept, past: bool) -> None:
        conv = None
        if in_ is not None:
            conv = (await groups.chosen(client, in_)).conv
        elif with_ is not None:
            conv = with_person(client, await person(client, with_)).conv
        shown = Tail(client, kept, conv, json=json, count=count)
        with suppress(Enough):
            if follow:
                await shown.follow(lines, past=past)
            else:
                await shown.last(LINES if lines is None else lines)

    # What is asked for once leaves where the others go on alone.
    kind = "once" if not follow else "tail" if with_ is None and in_ is None else "tail-one"
    run_with_state(name, url, state, work, kind)


@app.command()
def whoami(name: Name, url: Url = URL, state: State = None) -> None:
    """Signs in and prints the uid."""

    async def work(client: Client) -> None:
        screen.say(client.uid)

    run(name, url, state, work)


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
        screen.dump(await client.call(method, given))

    run(name, url, state, work)


app.command()(check)
