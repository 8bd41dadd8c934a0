"""Password hashes: argon2id (RFC 9106) with the parameters OWASP's cheat sheet names first."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from shared.settings import settings


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
    nobody = _nobody()
    try:
        _hasher().verify(stored or nobody, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
    return stored is not None
