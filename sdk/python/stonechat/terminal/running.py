"""What every command does: takes who one is and where, signs in, works, and ends with a line where
that fails. It ends with 1 where the server refuses something or a file fails, 2 on wrong usage, 3
where the server cannot be reached, and 128 + the signal's number where a signal ends it."""

import asyncio
import re
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from stonechat.client import Client
from stonechat.errors import (
    NotFound,
    OutboxFull,
    SignedOut,
    StateInUse,
    StonechatError,
    UnusableState,
)
from stonechat.state import State as Kept
from stonechat.terminal import account, files, names, screen
from stonechat.terminal.files import Account
from stonechat.users import User

Work = Callable[[Client], Awaitable[None]]
REFUSED, MISUSED, UNREACHABLE = 1, 2, 3


def _username(typed: str) -> str:
    try:
        return files.username(typed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Url = Annotated[str, typer.Option(envvar="STONECHAT_URL", help="a connector")]
State = Annotated[Path | None, typer.Option(help="where sign-ins are kept")]
Name = Annotated[str, typer.Argument(help="your username", callback=_username)]
Person = Annotated[
    str, typer.Option(help="the other's username", autocompletion=names.complete_people)
]
URL = "ws://127.0.0.1:8001/v1"


def run(name: str, url: str, state: Path | None, work: Work, kind: str = "once") -> None:
    """Signs in as a device of this kind, does the work, and ends the process with a line where that
    fails."""
    run_with_state(name, url, state, lambda client, *_: work(client), kind)


def run_with_state(
    name: str,
    url: str,
    state: Path | None,
    work: Callable[[Client, Kept, bool], Awaitable[None]],
    kind: str,
) -> None:
    """The same for work that keeps something in the device's state, and is told whether that has a
    past."""
    _require_address(url)

    async def signed_in() -> None:
        who = Account(folder(state), name, url)
        files.make(who.folder)
        kept = account.seat(who, kind)
        past = bool(kept.get("begun"))
        async with Client(url, state=kept) as client:
            told = await account.sign_in(client, who)
            if told:
                screen.tell(told)
            await work(client, kept, past)

    code = _ended(signed_in, url)
    if code:
        sys.exit(code)


def _require_address(url: str) -> None:
    """Raises `BadParameter`."""
    try:
        found = urlsplit(url)
        good = found.scheme in ("ws", "wss") and bool(found.hostname) and found.port != 0
    except ValueError:
        good = False
    if not good or not re.fullmatch("[!-~]+", url):
        raise typer.BadParameter("--url: a connector is named as in ws://127.0.0.1:8001/v1")


def folder(state: Path | None) -> Path:
    return state or files.default_folder()


async def uid_of(client: Client, username: str) -> str:
    """Raises `NotFound`."""
    return (await person(client, username)).uid


async def person(client: Client, username: str) -> User:
    """Raises `NotFound`."""
    found = None
    with suppress(ValueError):
        found = await client.find(files.username(username))
    if found is None:
        raise NotFound(-32003, f"nobody is called {username}", {"reason": "not_found"})
    return found


def reason(error: Exception) -> str:
    """An error in one line: what is wrong, and where in what was given."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or "no answer in time"


def _ended(work: Callable[[], Coroutine[Any, Any, None]], url: str) -> int:
    """Does the work, and returns the exit code after it. An unforeseen error is the caller's."""
    try:
        stopped = asyncio.run(_until_signal(work))
    except screen.Closed:
        screen.abandon()
        return 128 + signal.SIGPIPE
    except (StonechatError, SignedOut, StateInUse, OutboxFull) as error:
        return _told(reason(error), REFUSED)
    except (screen.Unwritable, UnusableState, sqlite3.Error) as error:
        return _told(str(error), REFUSED)
    except OSError as error:
        if error.filename is not None:  # a file's; others are the network's
            return _told(reason(error), REFUSED)
        return _told(f"{url}: {reason(error)}", UNREACHABLE)
    except KeyboardInterrupt:  # while a password is asked for
        return 128 + signal.SIGINT
    if stopped == signal.SIGHUP:
        screen.abandon()
    return 128 + stopped if stopped else 0


async def _until_signal(work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Does the work until it is done, or one of these signals comes: returns that, or 0."""
    stopped = 0
    task = asyncio.create_task(work())

    def stop(number: int) -> None:
        nonlocal stopped
        stopped = stopped or number
        task.cancel()

    loop = asyncio.get_running_loop()
    for each in screen.ENDING:
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(each, stop, each)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    return stopped


def _told(message: str, code: int) -> int:
    with suppress(screen.Closed, screen.Unwritable):
        screen.tell(message)
    return code
