"""`stonechat friends …`: the people one has to do with."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from stonechat.client import Client
from stonechat.friends import FriendState
from stonechat.terminal import screen
from stonechat.terminal.names import Names, complete_people
from stonechat.terminal.running import URL, Name, State, Url, folder, run, uid_of

app = typer.Typer(no_args_is_help=True, help="Friends: ask, answer, block, list.")

Other = Annotated[str, typer.Argument(help="the other's username", autocompletion=complete_people)]
Act = Callable[[Client, str], Awaitable[FriendState]]


@app.command("list")
def list_(
    name: Name,
    only: Annotated[str | None, typer.Option(help="friend, incoming, outgoing or blocked")] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    url: Url = URL,
    state: State = None,
) -> None:
    """Everyone one has to do with: state, username, alias, tags, presence of friends."""

    async def work(client: Client) -> None:
        friends = [each for each in await client.friends.list() if only in (None, each.state)]
        users = await client.users.get(each.uid for each in friends)
        called = {uid: user.username for uid, user in users.items()}
        met = Names(folder(state), name)
        met.put("people", [*met.get("people"), *called.values()])
        for each in friends:
            username = called.get(each.uid, each.uid)
            if json:
                fields = {"uid": each.uid, "username": username, "state": each.state}
                notes = {"alias": each.alias, "tags": each.tags, "note": each.note}
                screen.dump(fields | {k: v for k, v in notes.items() if v})
            else:
                notes_ = [each.alias or "", " ".join(f"#{tag}" for tag in each.tags)]
                notes_.append(f"“{each.note}”" if each.note else "")
                screen.say(each.state, username, *notes_, columns=9)

    run(name, url, state, work)


@app.command()
def request(
    name: Name,
    other: Other,
    note: Annotated[str | None, typer.Option(help="what they read with it")] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Asks somebody to be friends; crossing requests befriend."""
    _act(name, other, url, state, lambda client, uid: client.friends.request(uid, note=note))


@app.command()
def accept(name: Name, other: Other, url: Url = URL, state: State = None) -> None:
    """Takes a request."""
    _act(name, other, url, state, lambda client, uid: client.friends.accept(uid))


@app.command()
def decline(name: Name, other: Other, url: Url = URL, state: State = None) -> None:
    """Turns a request down."""
    _act(name, other, url, state, lambda client, uid: client.friends.decline(uid))


@app.command()
def remove(name: Name, other: Other, url: Url = URL, state: State = None) -> None:
    """Ends a friendship, or withdraws one's own request."""
    _act(name, other, url, state, lambda client, uid: client.friends.remove(uid))


@app.command()
def block(name: Name, other: Other, url: Url = URL, state: State = None) -> None:
    """They can no longer write or ask."""
    _act(name, other, url, state, lambda client, uid: client.friends.block(uid))


@app.command()
def unblock(name: Name, other: Other, url: Url = URL, state: State = None) -> None:
    """Ends a block."""
    _act(name, other, url, state, lambda client, uid: client.friends.unblock(uid))


@app.command()
def note(
    name: Name,
    other: Other,
    alias: Annotated[str | None, typer.Option(help="what one calls them; empty: nothing")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="as often as there are tags")] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Notes an alias and tags of a friend, for oneself."""

    async def update(client: Client, uid: str) -> FriendState:
        return (await client.friends.update(uid, alias=alias, tags=tag)).state

    _act(name, other, url, state, update)


def _act(name: str, other: str, url: str, state: State, act: Act) -> None:
    """Prints the state that an action leads to."""

    async def work(client: Client) -> None:
        uid = await uid_of(client, other)
        screen.say(await act(client, uid))
        Names(folder(state), name).add("people", other)

    run(name, url, state, work)
