"""Sequence numbers of logs: a soft counter in Redis, in CORFU's sense (Balakrishnan et al., NSDI
2012).

The counter only proposes. It may vanish or go back at any time; the log's write-once insert
decides, and a collision or a missing counter makes it start again from what is stored. Numbers
that were taken and not used are given back where nobody took a later one, so that a repeated
command leaves no hole.
"""

import itertools
from collections.abc import Callable, Mapping

import redis

from shared import keys
from shared.errors import CallError, Reason
from shared.scripts import Script, batched, execute

# Takes as many numbers of each counter as the arguments from the second on say, and returns the
# last of each run, nil where there is no counter. One command for a batch: each costs us more than
# it costs Redis.
_TAKE = Script("""
local taken = {}
for index, counter in ipairs(KEYS) do
  taken[index] = false
  if redis.call('EXPIRE', counter, ARGV[1]) == 1 then
    taken[index] = redis.call('INCRBY', counter, ARGV[index + 1])
  end
end
return taken
""")

# Raises the counter to at least ARGV[1].
_RAISE = Script("""
local now = tonumber(redis.call('GET', KEYS[1]) or '-1')
if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return 1
""")

# Lowers the counter from ARGV[1] to ARGV[2], unless somebody moved it.
_GIVE_BACK = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  return 1
end
return 0
""")


_ROUNDS = 10  # more than a counter can be lost in between by anything but malice


class Sequencer:
    """Counters of all logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        highest: Callable[[str], int],
        lifetime: int,
    ) -> None:
        """`highest(conv)` reads the highest stored number of a log, 0 where it is empty;
        `lifetime` is the seconds an idle counter is kept."""
        self._redis = client
        self._highest = highest
        self._lifetime = lifetime

    def take(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Takes a run of numbers in each log, and returns the last of each run. Raises
        `unavailable` where counters vanish as fast as they are made."""
        taken: dict[str, int] = {}
        wanted = dict(counts)
        if not wanted:
            return taken
        for _ in range(_ROUNDS):
            with self._redis.pipeline(transaction=False) as pipe:
                for part in batched(wanted):
                    counters = tuple(map(keys.sequence, part))
                    _TAKE.add(pipe, counters, self._lifetime, *(wanted[conv] for conv in part))
                lasts = itertools.chain.from_iterable(execute(pipe))
                answers = dict(zip(wanted, lasts, strict=True))
            taken |= {conv: int(last) for conv, last in answers.items() if last is not None}
            wanted = {conv: wanted[conv] for conv, last in answers.items() if last is None}
            if not wanted:
                return taken
            self.raise_to({conv: self._highest(conv) for conv in wanted})
        raise CallError(Reason.UNAVAILABLE, retry_after=1)

    def raise_to(self, floors: Mapping[str, int]) -> None:
        """Lets no counter stand below what is known to be stored."""
        with self._redis.pipeline(transaction=False) as pipe:
            for conv, floor in floors.items():
                _RAISE.add(pipe, keys.sequence(conv), floor, self._lifetime)
            execute(pipe)

    def give_back(self, conv: str, last: int, used: int) -> bool:
        """Returns the numbers above `used` up to `last`, of which `last` was the end of a run.
        False where the counter moved meanwhile: then they are holes to be filled."""
        with self._redis.pipeline(transaction=False) as pipe:
            _GIVE_BACK.add(pipe, keys.sequence(conv), last, used, self._lifetime)
            return bool(execute(pipe)[0])
