"""Accounts and tokens: who a person is, and the devices they are signed in on."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from shared import addresses, guarding, tokens
from shared.call import Call
from shared.errors import CallError, Reason
from shared.function import Function
from shared.params import NoParams
from shared.secretfiles import SIGNING_KEY, SIGNING_PUBLIC
from shared.settings import settings
from shared.shapes import Empty

from . import devices
from .params import Check, Login, Refresh, Register
from .registering import Registering
from .results import Alive, Config, SignedIn
from .signing_in import SigningIn
from .turns import Place, turns

auth = Function("auth", secrets=[SIGNING_KEY, SIGNING_PUBLIC])


@auth.method("auth.config", result=Config, public=True, reads=True)
def config(call: Call[NoParams]) -> dict[str, Any]:
    """How one may register and sign in here."""
    return {
        "registration": settings().registration,
        "sign_in": ["password"],
        "providers": [],
        "password_min": settings().password_min,
    }


@auth.batch("auth.register", result=SignedIn, public=True)
def register(calls: Sequence[Call[Register]]) -> list[Any]:
    """Makes an account and signs in. The username's capitals and surrounding space do not count.
    Refuses with `username_taken`, `forbidden` where the house is closed or wants a good `invite`,
    and `rate_limited` where many came from the caller's network of late."""
    return _in_turns(calls, Registering, "auth.register")


@auth.batch("auth.login", result=SignedIn, public=True)
def login(calls: Sequence[Call[Login]]) -> list[Any]:
    """Signs in. Refuses with `bad_credentials`, whichever of the two is wrong; after repeated
    failures from the caller's network with `too_many_attempts`, for this name, or `rate_limited`,
    for all that never signed in from there."""
    return _in_turns(calls, SigningIn, "auth.login")


@auth.method("auth.refresh", result=SignedIn, public=True)
def refresh(call: Call[Refresh]) -> dict[str, Any]:
    """New tokens for the device; the refresh token is spent. Using it again gives tokens as well
    while nobody has used the new ones, and for 10 s in any case; later it signs the whole device
    out. Refuses with `unauthenticated`, or `token_expired` where one has to sign in again."""
    token = tokens.verifier().refresh(call.params.refresh_token)
    return devices.refresh(token, addresses.source(call.caller.ip))


@auth.method("auth.logout", result=Empty)
def logout(call: Call[NoParams]) -> dict[str, Any]:
    """Signs the caller's device out: its tokens die and its sockets close with 4001."""
    device = call.caller.device
    if device is None:
        raise CallError(Reason.UNAUTHENTICATED)
    devices.sign_out(call.uid, device, "signed out")
    return {}


@auth.batch("session.check", result=Alive)
def check(calls: Sequence[Call[Check]]) -> list[Any]:
    """Whether the caller's device is signed in, for connectors that do not know; it counts as the
    use of its access token. Safe to repeat."""
    return devices.check(calls)


class _Steps(Protocol):
    """A call that hashes a password: made from the call, by what is cheap, and answered last."""

    @property
    def place(self) -> Place: ...

    def hash(self) -> None: ...

    def finish(self) -> dict[str, Any]: ...


def _in_turns(
    calls: Sequence[Call[Any]], steps: Callable[[Call[Any]], _Steps], where: str
) -> list[Any]:
    """The answers to calls that hash, each guarded by itself (see `turns`)."""

    def hashed(index: int) -> _Steps:
        step = begun[index]
        if isinstance(step, CallError):
            raise step
        asked[index].result()
        return step

    def name(index: int) -> Hashable:
        """Those at one name are ended in their order."""
        step = begun[index]
        return index if isinstance(step, CallError) else step.place[1]

    every = range(len(calls))
    begun = guarding.side_by_side(
        every,
        lambda index: calls[index].caller.session or index,
        lambda index: steps(calls[index]),
        where,
    )
    asked = {
        index: turns().ask(step.place, step.hash)
        for index, step in enumerate(begun)
        if not isinstance(step, CallError)
    }
    done = guarding.each(every, hashed, where)

    def finished(index: int) -> dict[str, Any]:
        step = done[index]
        if isinstance(step, CallError):
            raise step
        return step.finish()

    return list(guarding.side_by_side(every, name, finished, where))


start = auth.start
handle = auth.handle
ready = auth.ready
