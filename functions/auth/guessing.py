"""How often a password may be guessed, without anybody being locked out by others.

Everything is counted for a *source* (see `addresses`), so guesses from elsewhere are nobody's
concern. A source has `guess_free` failures at one name; then it waits for that name, twice as long
each time, up to `guess_wait`. A source with too many failures, or failures at too many names, is
refused altogether for a while, but at names that are at home there (see `homes`): those have a
budget of their own, `home_failures` for each, which no guess at another name touches.

A guess is counted before the password is looked at and given back where it was right, in one script
each, so that guesses at once are no more than guesses in turn. A guess that is refused counts for
nothing. Time is Redis' own. Without Redis nobody guesses: its errors are the caller's.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog

from shared import keys
from shared.errors import CallError, Reason
from shared.ids import new_id
from shared.scripts import Script, execute
from shared.settings import settings
from shared.stores import redis_client

logger = structlog.get_logger(__name__)

# Milliseconds until this guess may be made, 0 for now, and whether the whole source has to wait.
# Where it may and has an id (ARGV[1]), it is counted as a failure.
_GUESS = Script("""
local id, name, home = ARGV[1], ARGV[2], ARGV[3] == '1'
local free, longest, memory = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function remembered(key, window)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  return redis.call('ZCARD', key)
end

local function until_below(key, limit, window)
  local count = remembered(key, window)
  if count < limit then return 0 end
  local last = redis.call('ZRANGE', key, count - limit, count - limit, 'WITHSCORES')
  return math.max(1, last[2] + window - now)
end

if not home then
  local failures = until_below(KEYS[2], tonumber(ARGV[8]), tonumber(ARGV[9]))
  local names = until_below(KEYS[3], tonumber(ARGV[10]), tonumber(ARGV[11]))
  local wait = math.max(failures, names)
  if wait > 0 then return {wait, 1} end
end

local wait = 0
local count = remembered(KEYS[1], memory)
if count >= free then
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  wait = last[2] + math.min(1000 * 2 ^ (count - free), longest) - now
end
if home then wait = math.max(wait, until_below(KEYS[1], tonumber(ARGV[7]), memory)) end
if wait > 0 then return {wait, 0} end

if id ~= '' then
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('PEXPIRE', KEYS[1], memory)
  if not home then
    redis.call('ZADD', KEYS[2], now, id)
    redis.call('PEXPIRE', KEYS[2], ARGV[9])
    redis.call('ZADD', KEYS[3], now, name)
    redis.call('PEXPIRE', KEYS[3], ARGV[11])
  end
end
return {0, 0}
""")

# Takes a guess back. One that was right (ARGV[3]) takes those before it at its name along.
_GIVE_BACK = Script("""
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] == '1' then redis.call('DEL', KEYS[1]) end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[3], ARGV[2]) end
return 1
""")


@dataclass(frozen=True, slots=True)
class Guess:
    """One try of a source at a name, in the one form that names have."""

    source: str
    name: str
    home: bool
    id: str = field(default_factory=new_id)

    def look(self) -> None:
        """Raises `too_many_attempts` or `rate_limited` where the guess could not be made now."""
        self._run("")

    def make(self) -> None:
        """Counts the guess, as a failure until it is given back. Raises as `look` does."""
        self._run(self.id)

    def give_back(self, *, right: bool) -> None:
        """It was the right password, or was not looked at after all."""
        try:
            args = (self.id, keys.hashed(self.name), "1" if right else "0")
            _execute(_GIVE_BACK, self._keys, *args)
        except redis.RedisError as error:
            logger.warning("guess_not_given_back", error=error)

    @property
    def _keys(self) -> tuple[str, str, str]:
        return (
            keys.guesses_at(self.source, self.name),
            keys.guesses(self.source),
            keys.guessed_names(self.source),
        )

    def _run(self, id_: str) -> None:
        config = settings()
        wait, whole_source = _execute(
            _GUESS,
            self._keys,
            id_,
            keys.hashed(self.name),
            "1" if self.home else "0",
            config.guess_free,
            int(config.guess_wait * 1000),
            config.guess_memory * 1000,
            config.home_failures,
            config.source_failures,
            config.source_failures_window * 1000,
            config.source_names,
            config.source_names_window * 1000,
        )
        if wait > 0:
            reason = Reason.RATE_LIMITED if whole_source else Reason.TOO_MANY_ATTEMPTS
            raise CallError(reason, retry_after=math.ceil(wait / 1000))


def _execute(script: Script, names: tuple[str, ...], *args: Any) -> Any:
    with redis_client().pipeline(transaction=False) as pipe:
        script.add(pipe, names, *args)
        return execute(pipe)[0]
