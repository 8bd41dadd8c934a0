"""Who one is at this terminal: an account for each name and server, kept in a file."""

import getpass
import hashlib
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from stonechat.client import Client
from stonechat.errors import Conflict, Forbidden, SignedOut, TooFast, Unauthenticated
from stonechat.state import SqliteState

PASSWORD_VARIABLE = "STONECHAT_PASSWORD"  # noqa: S105 (a variable's name)
INVITE_VARIABLE = "STONECHAT_INVITE"
_PATIENCE_SECONDS = 10.0


def folder() -> Path:
    """`$STONECHAT_STATE`, or the user's own data folder."""
    given = os.environ.get("STONECHAT_STATE")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(given) if given else Path(data) / "stonechat"


def client(url: str, username: str, state: Path, command: str) -> Client:
    """A client for this name. Each command is a device of its own, so that one may send while
    another chats. Raises `StateInUse` where the same one runs already."""
    server = hashlib.sha256(url.encode()).hexdigest()[:8]
    file = state / f"{username}-{server}-{command}.sqlite"
    return Client(url, state=SqliteState(file, patience=_PATIENCE_SECONDS))


async def sign_in(made: Client, username: str, accounts: Path) -> str:
    """Signs in with what is remembered, or logs in, or registers the name on first use, with the
    invitation in `STONECHAT_INVITE` if there is one. Returns a line about it for people, empty
    where there is nothing to tell. Raises `Unauthenticated`."""
    with suppress(SignedOut):  # then with the password, below
        if await made.resume(seconds=_PATIENCE_SECONDS):
            return ""
    known = _password(username, accounts)
    fresh = known or secrets.token_urlsafe(12)
    try:
        await made.register(username, fresh, invite=os.environ.get(INVITE_VARIABLE))
    except (Conflict, Forbidden, TooFast):  # taken, or no more are let in: it may be there already
        await made.login(username, known or _asked(username))
        return ""
    _keep(username, accounts, fresh)
    return f"registered {username}; the password is kept in {accounts}"


def _password(username: str, accounts: Path) -> str | None:
    file = accounts / f"{username}.password"
    return file.read_text().strip() if file.exists() else os.environ.get(PASSWORD_VARIABLE)


def _asked(username: str) -> str:
    if not sys.stdin.isatty():
        raise Unauthenticated(
            -32001,
            f"{username} exists already, or nobody new is let in: set {PASSWORD_VARIABLE}",
            {"reason": "bad_credentials"},
        )
    return getpass.getpass(f"Password of {username}: ")


def _keep(username: str, accounts: Path, password: str) -> None:
    file = accounts / f"{username}.password"
    file.touch(mode=0o600)
    file.write_text(password + "\n")
