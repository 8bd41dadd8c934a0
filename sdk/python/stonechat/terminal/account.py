"""Who one is at this terminal: signing in with what the account's files remember."""

import os
import secrets
import sys
from contextlib import suppress

from stonechat.client import Client
from stonechat.errors import (
    Conflict,
    Forbidden,
    SignedOut,
    StateInUse,
    StonechatError,
    TooFast,
    Unauthenticated,
)
from stonechat.state import SqliteState
from stonechat.terminal import files, screen
from stonechat.terminal.files import Account

PASSWORD_VARIABLE = "STONECHAT_PASSWORD"  # noqa: S105 (a variable's name)
INVITE_VARIABLE = "STONECHAT_INVITE"
SEATS = 8  # commands of one kind at once
_PATIENCE_SECONDS = 10.0


def seat(account: Account, kind: str) -> SqliteState:
    """The first device of this kind that no other process is at the moment, so that commands run
    beside each other, each signed in for itself. What commands that were stopped at other devices
    of the kind have left to send goes over to it. Raises `StateInUse` at once where all are, and
    `UnusableState`."""
    found: SqliteState | None = None
    for number in range(1, SEATS + 1):
        file = account.device(kind, number)
        if found is not None and not file.exists():
            continue
        try:
            state = SqliteState(file, patience=0)
        except StateInUse:
            continue
        if found is None:
            found = state
        else:
            _take_over(found, state)
            state.close()
    if found is None:
        raise StateInUse(f"{SEATS} of these run for {account.username} already: end one of them")
    return found


async def sign_in(client: Client, account: Account) -> str:
    """Signs in with what is remembered, or logs in, or registers the name on first use, with the
    invitation in `STONECHAT_INVITE` if there is one. Returns a line about it for people, empty
    where there is nothing to tell. Raises `Unauthenticated`."""
    with suppress(SignedOut):  # then with the password, below
        if await client.resume(seconds=_PATIENCE_SECONDS):
            return ""
    kept = _kept(account)
    if kept:
        with suppress(Unauthenticated):  # a house that forgot us; then we register again
            await client.login(account.username, kept)
            return ""
    given = kept or os.environ.get(PASSWORD_VARIABLE)
    password, made = given or secrets.token_urlsafe(12), False
    if not given:
        # Kept before it is used, so that neither a crash nor a command beside this one loses it.
        made = files.write_first(account.password, password + "\n")
        password = _kept(account) or password
    try:
        return await _register(client, account, password)
    except StonechatError as error:
        if made:
            account.password.unlink(missing_ok=True)
        if not isinstance(error, Unauthenticated):
            raise
        asked = _asked(account.username, error.__cause__)
    await client.login(account.username, asked)
    return _keep(account, asked, "signed in as")


async def _register(client: Client, account: Account, password: str) -> str:
    """Registers the name, or logs in where it is there, or nobody new is let in."""
    try:
        await client.register(
            account.username, password, invite=os.environ.get(INVITE_VARIABLE) or None
        )
    except (Conflict, Forbidden, TooFast) as refused:
        try:
            await client.login(account.username, password)
        except Unauthenticated as wrong:
            raise wrong from refused
        return ""
    return _keep(account, password, "registered")


def _keep(account: Account, password: str, told: str) -> str:
    """So that other commands may sign in beside this one."""
    files.write(account.password, password + "\n")
    return f"{told} {account.username}; the password is kept in {account.folder}"


def _take_over(state: SqliteState, other: SqliteState) -> None:
    """Kept here before it is dropped there: what is sent twice counts once, by its cid."""
    uid = other.get("uid")
    left = other.kept()
    if not left or state.get("uid") not in (None, uid):
        return
    state.put("uid", uid)
    state.keep(left)
    for _, params in left:
        other.drop(params["cid"])


def _kept(account: Account) -> str | None:
    try:
        return account.password.read_text().strip() or None
    except FileNotFoundError:
        return None


def _asked(username: str, why: BaseException | None) -> str:
    """Raises `Unauthenticated` where nobody is there to be asked."""
    if sys.stdin is not None and sys.stdin.isatty():
        with suppress(EOFError):
            return screen.ask_password(username)
    raise Unauthenticated(
        -32001,
        f"no password for {username}, and registering it: {why}. Set {PASSWORD_VARIABLE}",
        {"reason": "bad_credentials"},
    )
