"""Sequence numbers of logs: a soft counter in Redis, in CORFU's sense (Balakrishnan et al., NSDI
2012).

The counter only proposes. It may vanish or go back at any time; the log's write-once insert
decides. A missing counter starts again from what is stored, and one that went back is found by a
collision, after which all soft state begins anew (`generations`). Numbers that were taken and not
used are given back where nobody took a later one, so that a repeated command leaves no hole.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import redis

from shared import keys
from shared.errors import CallError, Reason
from shared.generations import Generation, Generations
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


class Taken(NamedTuple):
    """Numbers of one generation: by conversation the last of each run."""

    generation: Generation
    lasts: dict[str, int]


class Sequencer:
    """Counters of all logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        generations: Generations,
        highest: Callable[[Sequence[str]], dict[str, int]],
        lifetime: int,
    ) -> None:
        """`highest(convs)` reads the highest stored number of each log, 0 where it is empty;
        `lifetime` is the seconds an idle counter is kept."""
        self._redis = client
        self._generations = generations
        self._highest = highest
        self._lifetime = lifetime

    def take(self, counts: Mapping[str, int]) -> Taken:
        """Takes a run of numbers in each log. Raises `unavailable` where counters vanish as fast
        as they are made."""
        return self._generations.within(lambda now: Taken(now, self._take(now, counts)))

    def _take(self, now: Generation, counts: Mapping[str, int]) -> dict[str, int]:
        taken: dict[str, int] = {}
        wanted = dict(counts)
        if not wanted:
            return taken
        for _ in range(_ROUNDS):
            with self._redis.pipeline(transaction=False) as pipe:
                for part in batched(wanted):
                    counters = tuple(now.key(keys.sequence(conv)) for conv in part)
                    _TAKE.add(pipe, counters, self._lifetime, *(wanted[conv] for conv in part))
                lasts = itertools.chain.from_iterable(now.execute(pipe))
                answers = dict(zip(wanted, lasts, strict=True))
            taken |= {conv: int(last) for conv, last in answers.items() if last is not None}
            wanted = {conv: wanted[conv] for conv, last in answers.items() if last is None}
            if not wanted:
                return taken
            self._begin(now, self._highest(list(wanted)))
        raise CallError(Reason.UNAVAILABLE, retry_after=1)

    def _begin(self, now: Generation, floors: Mapping[str, int]) -> None:
        """Lets no counter stand below what is stored."""
        with self._redis.pipeline(transaction=False) as pipe:
            for conv, floor in floors.items():
                _RAISE.add(pipe, now.key(keys.sequence(conv)), floor, self._lifetime)
            now.execute(pipe)

    def raise_to(self, taken_in: Generation, floors: Mapping[str, int]) -> None:
        """The same, in the generation of the numbers that are held; in vain where it is over."""
        with self._redis.pipeline(transaction=False) as pipe:
            for conv, floor in floors.items():
                _RAISE.add(pipe, taken_in.key(keys.sequence(conv)), floor, self._lifetime)
            execute(pipe)

    def give_back(self, taken_in: Generation, conv: str, last: int, used: int) -> bool:
        """Returns the numbers above `used` up to `last`, of which `last` was the end of a run.
        False where the counter moved meanwhile: then they are holes to be filled. Those of an
        earlier generation are none: counters began anew from what was stored."""
        if taken_in != self._generations.present():
            return True
        with self._redis.pipeline(transaction=False) as pipe:
            key = taken_in.key(keys.sequence(conv))
            _GIVE_BACK.add(pipe, key, last, used, self._lifetime)
            return bool(execute(pipe)[0])
