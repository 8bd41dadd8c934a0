"""What was last told of each person, in Redis: soft, of a generation, and changed atomically.

Telling a change has two steps. A `claim` looks whether the person is connected, compares what is to
be shown with what was told, and notes the new one under a number. When it is published, a `confirm`
with that number closes it. Where somebody else has claimed meanwhile, or a reader was shown what
was not told (`look`), the person is in doubt: the next claim tells again, whatever was told. So the
last thing told is the state, though claims and publications overtake each other.

A claim that is not confirmed is somebody's who is about to tell, or who died: after a while it is
open to the next.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.client import Pipeline

from shared import channels, keys
from shared.generations import Generation, generations
from shared.scripts import Script
from shared.settings import settings
from shared.stores import redis_client

LEASE = 2.0  # seconds for a claim to be confirmed

_CLAIM = Script("""
local told, channel = KEYS[1], KEYS[2]
local rev, status, text, gone, quiet = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local old = redis.call('HMGET', told, 'rev', 'status', 'text', 'claimed', 'doubt')
if old[1] and tonumber(old[1]) > tonumber(rev) then return {'stale'} end
if redis.call('EXISTS', channel) == 0 then
    if gone == '0' then return {'away'} end
    status, text = 'offline', ''
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if status == old[2] and text == old[3] and not old[5] then
    redis.call('HSET', told, 'rev', rev)
    if old[4] == '0' then return {'same'} end
    if now - tonumber(old[4]) < tonumber(ARGV[6]) then return {'claimed'} end
end
local number = redis.call('HINCRBY', told, 'number', 1)
local silent = quiet == '1' and not old[2]
redis.call('HSET', told, 'rev', rev, 'status', status, 'text', text,
    'claimed', silent and '0' or string.format('%.0f', now))
redis.call('HDEL', told, 'doubt')
redis.call('EXPIRE', told, ARGV[7])
if silent then return {'same'} end
return {'tell', status, number}
""")

_CONFIRM = Script("""
if redis.call('HGET', KEYS[1], 'number') == ARGV[1] then
    redis.call('HSET', KEYS[1], 'claimed', '0')
    return 1
end
redis.call('HSET', KEYS[1], 'doubt', '1')
return 0
""")

_LOOK = Script("""
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= 'offline' then redis.call('HSET', KEYS[1], 'doubt', '1') end
return 0
""")


class Wanted(NamedTuple):
    """What is to be shown of a connected person, by the revision `rev` of what it chose. `gone`:
    offline is to be told of one who is not connected. `quiet`: where nothing is known to have been
    told, nothing is."""

    uid: str
    rev: int
    status: str
    text: str
    gone: bool
    quiet: bool


class Claim(NamedTuple):
    """`tell`: this `status`, and confirm the `number`. `same`: that was told. `claimed`: somebody
    else is about to tell it. `away`: not connected, and not to be told so. `stale`: the person has
    chosen anew."""

    outcome: str
    status: str = ""
    number: int = 0


def claim(wanted: Sequence[Wanted]) -> list[Claim]:
    """One round trip for all."""
    return generations().within(lambda now: _claim_in(now, wanted))


def _claim_in(now: Generation, wanted: Sequence[Wanted]) -> list[Claim]:
    lifetime, lease = settings().soft_state_ttl, int(LEASE * 1000)
    with redis_client().pipeline(transaction=False) as pipe:
        for uid, rev, status, text, gone, quiet in wanted:
            chosen = (rev, status, text, int(gone), int(quiet))
            _CLAIM.add(pipe, _keys(now, uid), *chosen, lease, lifetime)
        return [_claim(*answer) for answer in now.execute(pipe)]


def confirm(now: Generation, pipe: Pipeline, uid: str, number: int) -> None:
    """Adds to a pipeline (run by `scripts.execute`), behind the publication. It answers 0 where
    somebody else has claimed meanwhile: then claim again."""
    _CONFIRM.add(pipe, now.key(keys.presence(uid)), number)


def look(uids: Sequence[str]) -> set[str]:
    """Those who are connected. That the others are not is now known to somebody."""
    return generations().within(lambda now: _look_in(now, uids))


def _look_in(now: Generation, uids: Sequence[str]) -> set[str]:
    with redis_client().pipeline(transaction=False) as pipe:
        for uid in uids:
            _LOOK.add(pipe, _keys(now, uid))
        connected = now.execute(pipe)
    return {uid for uid, is_here in zip(uids, connected, strict=True) if is_here}


def _keys(now: Generation, uid: str) -> tuple[str, str]:
    return now.key(keys.presence(uid)), keys.channel(channels.user(uid))


def _claim(outcome: bytes, status: bytes = b"", number: Any = 0) -> Claim:
    return Claim(outcome.decode(), status.decode(), number)
