"""`stonechat groups …`: making groups, and who is in them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from stonechat.client import Client
from stonechat.errors import Conflict, NotFound
from stonechat.groups import Group
from stonechat.terminal import screen
from stonechat.terminal.names import Names, complete_groups, complete_people
from stonechat.terminal.running import URL, Name, State, Url, folder, run, uid_of

app = typer.Typer(no_args_is_help=True, help="Groups: make, invite, join, leave, list.")

Which = Annotated[
    str, typer.Argument(help="its name or gid", autocompletion=complete_groups, metavar="GROUP")
]
People = Annotated[list[str], typer.Argument(help="usernames", autocompletion=complete_people)]


@app.command("list")
def list_(name: Name, url: Url = URL, state: State = None) -> None:
    """One's groups: gid, role, size, name."""

    async def work(client: Client) -> None:
        groups = await client.groups.list()
        Names(folder(state), name).put("groups", [each.name for each in groups])
        for each in groups:
            screen.say(each.gid, each.role, each.size, each.name)

    run(name, url, state, work)


@app.command()
def create(
    name: Name,
    group: Annotated[str, typer.Argument(help="its name", metavar="GROUP")],
    members: Annotated[
        list[str] | None, typer.Argument(help="usernames", autocompletion=complete_people)
    ] = None,
    url: Url = URL,
    state: State = None,
) -> None:
    """Makes a group, and prints its gid."""

    async def work(client: Client) -> None:
        uids = [await uid_of(client, each) for each in members or ()]
        screen.say((await client.groups.create(group, uids)).gid)
        Names(folder(state), name).add("groups", group)

    run(name, url, state, work)


@app.command()
def members(name: Name, group: Which, url: Url = URL, state: State = None) -> None:
    """Who is in a group: role, username, nickname."""

    async def work(client: Client) -> None:
        found = await client.groups.members((await chosen(client, group)).gid)
        users = await client.users.get(each.uid for each in found)
        for each in found:
            username = users[each.uid].username if each.uid in users else each.uid
            screen.say(each.role, username, each.nickname or "", columns=6)

    run(name, url, state, work)


@app.command()
def invite(name: Name, group: Which, people: People, url: Url = URL, state: State = None) -> None:
    """Invites people, and prints what became of each."""
    _each(name, group, people, url, state, lambda client, *to: client.groups.invite(*to))


@app.command()
def remove(name: Name, group: Which, people: People, url: Url = URL, state: State = None) -> None:
    """Removes people, and prints what became of each."""
    _each(name, group, people, url, state, lambda client, *to: client.groups.remove(*to))


@app.command()
def join(
    name: Name,
    gid: Annotated[str, typer.Argument(help="as `groups find` shows it")],
    url: Url = URL,
    state: State = None,
) -> None:
    """Joins a group, or asks to."""

    async def work(client: Client) -> None:
        screen.say(await client.groups.join(gid))

    run(name, url, state, work)


@app.command()
def leave(name: Name, group: Which, url: Url = URL, state: State = None) -> None:
    """Leaves a group."""

    async def work(client: Client) -> None:
        screen.say(await client.groups.leave((await chosen(client, group)).gid))

    run(name, url, state, work)


@app.command()
def find(
    name: Name,
    q: Annotated[str, typer.Argument(help="how its name begins")],
    url: Url = URL,
    state: State = None,
) -> None:
    """Groups that let themselves be found: gid and name."""

    async def work(client: Client) -> None:
        for each in await client.groups.search(q):
            screen.say(each.gid, each.name)

    run(name, url, state, work)


async def chosen(client: Client, group: str) -> Group:
    """One's group of that gid or name. Raises `NotFound`, and `Conflict` where several have it."""
    mine = await client.groups.list()
    found = [each for each in mine if group in (each.gid, each.conv)]
    found = found or [each for each in mine if each.name == group]
    if not found:
        raise NotFound(-32003, f"none of your groups is called {group}", {"reason": "not_found"})
    if len(found) > 1:
        gids = ", ".join(each.gid for each in found)
        raise Conflict(-32004, f"several are called {group}: {gids}", {"reason": "conflict"})
    return found[0]


def _each(
    name: str,
    group: str,
    people: Sequence[str],
    url: str,
    state: State,
    act: Callable[[Client, str, Sequence[str]], Awaitable[dict[str, str]]],
) -> None:
    async def work(client: Client) -> None:
        gid = (await chosen(client, group)).gid
        called = {await uid_of(client, each): each for each in people}
        for uid, became in (await act(client, gid, list(called))).items():
            screen.say(became, called.get(uid, uid))

    run(name, url, state, work)
