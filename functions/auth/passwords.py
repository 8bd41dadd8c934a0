"""Passwords: argon2id (RFC 9106) with the parameters OWASP's cheat sheet names first, and a
slow-down for those who guess.

Failures of the last `login_lock_seconds` are counted for each username, whether it exists or not.
After `login_free_attempts` of them each further try must wait, twice as long each time; after
`login_lock_attempts` none is taken until the count expires. A success clears the count.
"""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from shared import keys
from shared.errors import CallError, Reason
from shared.settings import settings
from shared.stores import redis_client


@cache
def _hasher() -> PasswordHasher:
    config = settings()
    return PasswordHasher(
        time_cost=config.argon2_time_cost, memory_cost=config.argon2_memory_kib, parallelism=1
    )


@cache
def _nobody() -> str:
    """A hash to check against where there is no account, so that both take the same time."""
    return _hasher().hash("nobody has this password")


def hashed(password: str) -> str:
    return _hasher().hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether the password belongs to the stored hash; False, as slowly, where there is none."""
    try:
        _hasher().verify(stored or _nobody(), password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return stored is not None


def require_patience(username: str) -> None:
    """Raises `too_many_attempts` while this username has to wait."""
    config = settings()
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.get(keys.attempts(username))
        pipe.ttl(keys.attempts(username))
        pipe.ttl(keys.attempts_pause(username))
        count, lock, pause = pipe.execute()
    if int(count or 0) >= config.login_lock_attempts:
        raise CallError(Reason.TOO_MANY_ATTEMPTS, retry_after=max(1, lock))
    if pause > 0:
        raise CallError(Reason.TOO_MANY_ATTEMPTS, retry_after=pause)


def count_failure(username: str) -> None:
    config = settings()
    with redis_client().pipeline() as pipe:
        pipe.incr(keys.attempts(username))
        pipe.expire(keys.attempts(username), config.login_lock_seconds)
        count = pipe.execute()[0]
    if count >= config.login_free_attempts:
        pause = min(2 ** (count - config.login_free_attempts), config.login_lock_seconds)
        redis_client().set(keys.attempts_pause(username), 1, ex=pause)


def forget_failures(username: str) -> None:
    redis_client().delete(keys.attempts(username), keys.attempts_pause(username))
