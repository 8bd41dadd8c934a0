"""Who one is at this terminal: an account for each name and server, kept in a file."""

import getpass
import hashlib
import os
import secrets
import sys
from pathlib import Path

from stonechat.client import Client
from stonechat.errors import Conflict, Unauthenticated
from stonechat.state import SqliteState

PASSWORD_VARIABLE = "STONECHAT_PASSWORD"  # noqa: S105 (a variable's name)


def folder() -> Path:
    """`$STONECHAT_STATE`, or the user's own data folder."""
    given = os.environ.get("STONECHAT_STATE")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(given) if given else Path(data) / "stonechat"


def client(url: str, username: str, state: Path, *, lasting: bool) -> Client:
    """A client for this name. A `lasting` one remembers what it has seen; the others only the
    sign-in."""
    server = hashlib.sha256(url.encode()).hexdigest()[:8]
    suffix = "" if lasting else "-command"
    kept = SqliteState(state / f"{username}-{server}{suffix}.sqlite")
    return Client(url, state=kept)


async def sign_in(made: Client, username: str, accounts: Path) -> str:
    """Signs in with what is remembered, or logs in, or registers the name on first use. Returns a
    line about it for people, empty where there is nothing to tell. Raises `Unauthenticated`."""
    if await made.resume():
        return ""
    known = _password(username, accounts)
    fresh = known or secrets.token_urlsafe(12)
    try:
        await made.register(username, fresh)
    except Conflict:
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
            f"{username} exists already: set {PASSWORD_VARIABLE}",
            {"reason": "bad_credentials"},
        )
    return getpass.getpass(f"Password of {username}: ")


def _keep(username: str, accounts: Path, password: str) -> None:
    file = accounts / f"{username}.password"
    file.touch(mode=0o600)
    file.write_text(password + "\n")
