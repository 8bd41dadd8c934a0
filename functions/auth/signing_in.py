"""Signing in with a password, in three steps: what is cheap, the password in its turn, the device.

Names that nobody has are looked up, counted and hashed like all others.
"""

from typing import Any

from shared import addresses, names
from shared.call import Call
from shared.collections import CREDENTIALS, USERS
from shared.errors import CallError, Reason
from shared.stores import database

from . import devices, hashing, homes
from .guessing import Guess
from .params import Login
from .turns import Place


class SigningIn:
    """One call of `auth.login`."""

    def __init__(self, call: Call[Login]) -> None:
        """Raises `too_many_attempts` and `rate_limited` where no password is looked at."""
        name = _form(names.username, call.params.username)
        source = addresses.source(call.caller.ip)
        user = database()[USERS].find_one({"username": name}, {"_id": 1})
        self._uid: str = user["_id"] if user else ""
        self._password = _form(names.password, call.params.password)
        self._guess = Guess(source, name, homes.is_home(self._uid, source))
        self._guess.look()
        known = database()[CREDENTIALS].find_one({"_id": self._uid})
        self._stored: str | None = known["password"] if known and user else None

    @property
    def place(self) -> Place:
        return self._guess.source, self._guess.name

    def hash(self) -> None:
        """Raises `bad_credentials`, and what the constructor does."""
        self._guess.make()
        right = None
        try:
            right = hashing.matches(self._stored, self._password)
        finally:
            if right is not False:
                self._guess.give_back(right=bool(right))
        if not right:
            raise CallError(Reason.BAD_CREDENTIALS)

    def finish(self) -> dict[str, Any]:
        return devices.sign_in(self._uid, self._guess.source)


def _form(rule: Any, typed: str) -> str:
    """What was typed in its one form; as it is where nobody can have it."""
    try:
        return str(rule(typed))
    except ValueError:
        return typed
