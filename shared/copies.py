"""Soft copies of stored facts in Redis, so that hot paths read many in one pipeline.

A copy is `REV:TEXT`, put by whoever changes the record or reads it, in any order: the higher
revision stays. Its key is of a generation (see `generations`). It lives for a limited time from the
last put on: long enough for who read the record before a change to find the later revision there.
"""

from typing import Any

from redis.client import Pipeline

from shared.scripts import Script

_SET = Script("""
local kept = redis.call('GET', KEYS[1])
if kept and tonumber(string.match(kept, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. ARGV[2], 'EX', ARGV[3])
return 1
""")

_SET_FIELD = Script("""
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept and tonumber(string.match(kept, '^%d+')) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
""")


def put(pipe: Pipeline, key: str, rev: int, text: str, lifetime: int) -> None:
    """Adds to a pipeline (run by `scripts.execute`): a copy in a string, `lifetime` in seconds."""
    _SET.add(pipe, key, rev, text, lifetime)


def put_field(pipe: Pipeline, key: str, name: str, rev: int, text: str, lifetime: int) -> None:
    """The same in a hash's field. The hash as a whole lives `lifetime` seconds from its last copy
    on."""
    _SET_FIELD.add(pipe, key, name, rev, text, lifetime)


def text(copy: Any) -> str:
    """What a copy says, without its revision."""
    found: str = copy.decode().split(":", 1)[1]
    return found
