"""Accounts and tokens: who a person is, and the devices they are signed in on."""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from shared import addresses, guarding, tokens
from shared.call import Call
from shared.errors import CallError, Reason
from shared.function import Function
from shared.params import NoParams
from shared.secretfiles import SIGNING_KEY, SIGNING_PUBLIC
from shared.settings import settings
from shared.shapes import Empty
from shared.subjects import about

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


class _Work:
    """The steps of one call, as far as they have come, or its refusal."""

    def __init__(self, call: Call[Any], step: _Steps | CallError) -> None:
        self.request_id = call.request_id
        self.step = step
        self._hash: Future[Any] | None = None

    def begin(self) -> None:
        """Has the password hashed, when its turn comes."""
        if not isinstance(self.step, CallError):
            with about((self,)):
                self._hash = turns().ask(self.step.place, self.step.hash)

    def wait(self) -> _Steps:
        """The steps, when it is hashed."""
        if self._hash is not None:
            self._hash.result()
        return self._alive

    def name(self) -> Hashable:
        """Those at one name are ended in their order."""
        return id(self) if isinstance(self.step, CallError) else self.step.place[1]

    def finish(self) -> dict[str, Any]:
        return self._alive.finish()

    @property
    def _alive(self) -> _Steps:
        if isinstance(self.step, CallError):
            raise self.step
        return self.step


def _in_turns(
    calls: Sequence[Call[Any]], steps: Callable[[Call[Any]], _Steps], where: str
) -> list[Any]:
    """The answers to calls that hash, each guarded by itself (see `turns`)."""

    begun = guarding.side_by_side(calls, lambda call: call.caller.session or id(call), steps, where)
    works = [_Work(call, step) for call, step in zip(calls, begun, strict=True)]
    for work in works:
        work.begin()
    for work, outcome in zip(works, guarding.each(works, _Work.wait, where), strict=True):
        work.step = outcome
    return list(guarding.side_by_side(works, _Work.name, _Work.finish, where))


start = auth.start
handle = auth.handle
ready = auth.ready
