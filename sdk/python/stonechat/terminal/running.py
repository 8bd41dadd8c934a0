"""What every command does: takes who one is and where, signs in, works, and ends with a line where
that fails. The exit code is 1 where the server refuses something, 3 where it cannot be reached."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from stonechat.client import Client
from stonechat.errors import InvalidParams, NotFound, SignedOut, StateInUse, StonechatError
from stonechat.terminal import account, names

Url = Annotated[str, typer.Option(envvar="STONECHAT_URL", help="a connector")]
State = Annotated[Path | None, typer.Option(help="where sign-ins are kept")]
Name = Annotated[str, typer.Argument(help="your username")]
Person = Annotated[
    str, typer.Option(help="the other's username", autocompletion=names.complete_people)
]
URL = "ws://127.0.0.1:8001/v1"

Work = Callable[[Client], Awaitable[None]]


def run(name: str, url: str, state: Path | None, work: Work, command: str) -> None:
    """Signs in, does the work, and ends the process with a line where that fails."""
    accounts = folder(state)
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


def folder(state: Path | None) -> Path:
    return state or account.folder()


async def uid_of(client: Client, username: str) -> str:
    """Raises `NotFound`."""
    found = await client.find(username)
    if found is None:
        raise NotFound(-32003, f"nobody is called {username}", {"reason": "not_found"})
    return found.uid


def _told(error: Exception, code: int) -> int:
    wrong = [
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}"
        for each in (error.data.get("errors", []) if isinstance(error, InvalidParams) else [])
    ]
    print(": ".join([f"stonechat: {error or 'no answer in time'}", *wrong[:1]]), file=sys.stderr)
    return code
