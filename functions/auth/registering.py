"""Making an account: who may, how many, and the account itself."""

from functools import cached_property
from typing import Any

import redis
import structlog
from pymongo.errors import DuplicateKeyError

from shared import addresses, events, invites, keys
from shared.call import Call
from shared.clock import now_ms
from shared.collections import CREDENTIALS, USERS
from shared.errors import CallError, Reason, invalid_params
from shared.events import Happened
from shared.ids import new_id
from shared.scripts import Script, execute
from shared.settings import settings
from shared.stores import database, redis_client

from . import devices, hashing
from .params import Register
from .turns import Place

logger = structlog.get_logger(__name__)

_HOUR = 3600

# Counts one more, unless there are ARGV[1]: then the seconds to wait, else 0.
_ONE_MORE = Script("""
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then
  return math.max(1, redis.call('TTL', KEYS[1]))
end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 0
""")


class Registering:
    """One call of `auth.register`."""

    def __init__(self, call: Call[Register]) -> None:
        """Raises `forbidden`, `rate_limited`, `username_taken` and `invalid_params`."""
        self._params = call.params
        self._source = addresses.source(call.caller.ip)
        self._uid = new_id()
        self._require_leave()
        if len(self._params.password) < settings().password_min:
            raise invalid_params(["password"], f"at least {settings().password_min} characters")
        _count(self._source)
        if database()[USERS].find_one({"username": self._params.username}, {"_id": 1}):
            raise CallError(Reason.USERNAME_TAKEN)

    @property
    def place(self) -> Place:
        return self._source, self._params.username

    def hash(self) -> None:
        self._hash = hashing.hashed(self._params.password)

    def finish(self) -> dict[str, Any]:
        """Raises `forbidden`, where the invitation was used up meanwhile, and `username_taken`."""
        code = self._invite
        if code is not None and not invites.spend(code):
            raise CallError(Reason.FORBIDDEN, "by invitation only")
        try:
            self._make()
        except Exception:
            if code is not None:
                invites.give_back(code)
            raise
        answer = devices.sign_in(self._uid, self._source)
        self._tell()
        return answer

    @cached_property
    def _invite(self) -> str | None:
        """The code that registering costs, None where it costs none."""
        return (self._params.invite or "") if settings().registration == "invite" else None

    def _require_leave(self) -> None:
        if settings().registration == "closed":
            raise CallError(Reason.FORBIDDEN, "registration is closed")
        if self._invite is not None and not invites.is_good(self._invite):
            raise CallError(Reason.FORBIDDEN, "by invitation only")

    def _make(self) -> None:
        # Credentials first: without a user they are nobody's, and the username decides who is.
        database()[CREDENTIALS].insert_one({"_id": self._uid, "password": self._hash})
        user = {
            "_id": self._uid,
            "username": self._params.username,
            "name": self._params.name or self._params.username,
            "created_at": now_ms(),
        }
        try:
            database()[USERS].insert_one(user)
        except DuplicateKeyError:
            database()[CREDENTIALS].delete_one({"_id": self._uid})
            raise CallError(Reason.USERNAME_TAKEN) from None

    def _tell(self) -> None:
        about = {"uid": self._uid, "username": self._params.username}
        try:
            events.emit([Happened("user.registered", about, self._uid)])
        except redis.RedisError as error:
            # The account is there and its owner is told so; a welcome may be lost.
            logger.warning("event_lost", type="user.registered", error=error)


def _count(source: str) -> None:
    """Counts a try to register, whatever becomes of it: whether a name is taken is worth one too.
    Raises `rate_limited`."""
    with redis_client().pipeline(transaction=False) as pipe:
        limit = settings().registrations_per_hour
        _ONE_MORE.add(pipe, keys.registrations(source), limit, _HOUR)
        wait = execute(pipe)[0]
    if wait:
        raise CallError(Reason.RATE_LIMITED, retry_after=wait)
