"""Devices: each sign-in is one (`did`), until it is signed out or was not used for too long.

Its tokens carry a *generation* that refreshing raises. A refresh token is spent when it is used;
used again it gives tokens of the present generation as long as nobody has used any of those (the
answer was lost), and for `refresh_grace` seconds in any case (two tabs). Later it was copied: the
device is signed out. A generation is used when its refresh token was refreshed with or its access
token shown (`session.check`), which MongoDB knows; when a token was spent, by MongoDB's own clock.

A device that was signed out is dead for good. MongoDB says so first, then Redis, where connectors
look; then its sockets close.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
import structlog
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from shared import clock, keys, tokens
from shared.bus import Close, bus
from shared.call import Call
from shared.collections import DEVICES, Document
from shared.errors import CallError, Reason
from shared.finds import find
from shared.generations import Generation, generations
from shared.ids import new_id
from shared.scripts import Script
from shared.settings import settings
from shared.stores import database, mongo, redis_client

from . import homes
from .params import Check

logger = structlog.get_logger(__name__)

SIGNED_OUT = 4001  # WebSocket close code

_DAY = 86_400
_MARGIN = 60  # seconds that a dead device is known beyond the last of its access tokens
_ROUNDS = 10  # more refreshes at once than a device has tabs
_REMEMBERED = 32  # generations whose spending is remembered

# A device is alive, and this generation of it was used; unless it is known to be dead (0).
_ALIVE = Script("""
local known = redis.call('GET', KEYS[1])
if known == '0' then return 0 end
local used = known and tonumber(string.sub(known, 3)) or 0
redis.call('SET', KEYS[1], '1:' .. string.format('%d', math.max(used, ARGV[1])), 'EX', ARGV[2])
return 1
""")


def sign_in(uid: str, source: str) -> dict[str, Any]:
    """Tokens of a new device, which is in this network."""
    now = clock.now_ms()
    homes.remember(uid, source)
    device = {
        "_id": new_id(),
        "uid": uid,
        "generation": 1,
        "used": 0,
        "signed_out": False,
        "created_at": now,
        "refreshed_at": now,
        "home": source,
        "home_at": now,
    }
    _devices().insert_one(device | {"expires": _forgotten(now, now)})
    return _tokens(device, 1, now)


def refresh(token: tokens.Refresh, source: str) -> dict[str, Any]:
    """New tokens of a device, which is in this network. Raises `token_expired`, and
    `unauthenticated` where the device is signed out, as it is from now on where the token was
    copied."""
    for _ in range(_ROUNDS):
        device = _devices().find_one({"_id": token.device, "uid": token.uid})
        if device is None:
            raise CallError(Reason.UNAUTHENTICATED, "the device is signed out")
        if device["signed_out"] or not _is_allowed(device, token.generation):
            why = "signed out" if device["signed_out"] else "refresh token used twice"
            sign_out(token.uid, token.device, why)
            raise CallError(Reason.UNAUTHENTICATED, f"the device is signed out: {why}")
        now = clock.now_ms()
        if _ends(device["created_at"], device["refreshed_at"]) <= now:
            raise CallError(Reason.TOKEN_EXPIRED, "signed in too long ago")
        generation = max(token.generation + 1, device["generation"])
        if _refreshed(device, generation, now):
            _settle(device, source, now)
            return _tokens(device, generation, now)
    raise CallError(Reason.UNAVAILABLE, "refreshed too often at once", retry_after=1)


def check(calls: Sequence[Call[Check]]) -> list[Any]:
    """Whether the callers' devices are alive, as MongoDB knows; which Redis is told."""
    return generations().within(lambda now: _check(now, calls))


def _check(now: Generation, calls: Sequence[Call[Check]]) -> list[Any]:
    shown: dict[str, int] = {}
    for call in calls:
        did, generation = call.caller.device or "", call.params.generation
        shown[did] = max(generation, shown.get(did, 0))
    found = {each["_id"]: each for each in find(_devices(), shown)}
    alive = {did: each for did, each in found.items() if not each["signed_out"]}
    first = {did: shown[did] for did, each in alive.items() if shown[did] > each["used"]}
    if first:
        _devices().bulk_write(
            [
                UpdateOne({"_id": did, "uid": alive[did]["uid"]}, {"$max": {"used": generation}})
                for did, generation in first.items()
            ],
            ordered=False,
        )
    used = {did: max(each["used"], shown[did]) for did, each in alive.items()}
    dead = _told(now, used, shown.keys() - used.keys())
    return [
        {"alive": did in alive and did not in dead and alive[did]["uid"] == call.caller.uid}
        for call in calls
        for did in [call.caller.device or ""]
    ]


def sign_out(uid: str, did: str, why: str) -> None:
    """The device's tokens die and its sockets close. Safe to repeat, as whoever was told of a store
    that failed should."""
    left = timedelta(seconds=_tokens_outlive())
    _devices().update_one(
        {"_id": did, "uid": uid, "signed_out": False},
        {"$set": {"signed_out": True, "expires": datetime.now(UTC) + left}},
    )
    generations().within(lambda now: _kill(now, did))
    bus().publish([Close(uid, SIGNED_OUT, why, did)])


def _kill(now: Generation, did: str) -> None:
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.set(now.key(keys.device(did)), 0, ex=_tokens_outlive())
        now.execute(pipe)


def _is_allowed(device: Document, generation: int) -> bool:
    """Whether this generation's refresh token is taken, once more where it was spent."""
    present = device["generation"]
    if generation >= present or (generation == present - 1 and device["used"] < present):
        return True
    spent = device.get("spent", {}).get(str(generation))
    if spent is None:
        return False
    dated = _devices().codec_options
    now: datetime = mongo().admin.command("hello", codec_options=dated)["localTime"]
    return bool(now - spent <= timedelta(seconds=settings().refresh_grace))


def _refreshed(device: Document, generation: int, now: int) -> bool:
    """Whether this generation is the device's now; False where somebody else was faster."""
    same = {
        "_id": device["_id"],
        "uid": device["uid"],
        "generation": device["generation"],
        "signed_out": False,
    }
    change: Document = {
        "$set": {
            "generation": generation,
            "refreshed_at": now,
            "expires": _forgotten(device["created_at"], now),
        }
    }
    if generation > device["generation"]:
        spent = generation - 1
        change["$max"] = {"used": spent}
        change["$currentDate"] = {f"spent.{spent}": True}
        change["$unset"] = {f"spent.{spent - _REMEMBERED}": ""}
    return _devices().update_one(same, change).matched_count > 0


def _settle(device: Document, source: str, now: int) -> None:
    """Remembers where the person is at home, once a day while they stay."""
    if device["home"] == source and now - device["home_at"] < _DAY * 1000:
        return
    homes.remember(device["uid"], source)
    here = {"home": source, "home_at": now}
    _devices().update_one({"_id": device["_id"], "uid": device["uid"]}, {"$set": here})


def _tokens(device: Mapping[str, Any], generation: int, now: int) -> dict[str, Any]:
    uid, did, lifetime = device["uid"], device["_id"], settings().access_token_ttl
    left = (_ends(device["created_at"], now) - now) // 1000
    issuer = tokens.issuer()
    return {
        "uid": uid,
        "access_token": issuer.access(uid, did, generation, (), lifetime),
        "refresh_token": issuer.refresh(uid, did, generation, left),
        "expires_in": lifetime,
    }


def _ends(created_at: int, refreshed_at: int) -> int:
    """When the device has to sign in again (ms)."""
    config = settings()
    idle = refreshed_at + config.session_days_idle * _DAY * 1000
    return min(idle, created_at + config.session_days_absolute * _DAY * 1000)


def _forgotten(created_at: int, refreshed_at: int) -> datetime:
    """When nothing of the device is needed any more."""
    seconds = _ends(created_at, refreshed_at) // 1000 + _tokens_outlive()
    return datetime.fromtimestamp(seconds, UTC)


def _tokens_outlive() -> int:
    """Seconds after which no access token that was issued until now is taken."""
    return settings().access_token_ttl + clock.LEEWAY + _MARGIN


def _told(now: Generation, used: Mapping[str, int], dead: set[str]) -> set[str]:
    """Tells Redis, and returns who is dead there: signed out since MongoDB was read."""
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for did in dead:
                pipe.set(now.key(keys.device(did)), 0, ex=_tokens_outlive())
            for did, generation in used.items():
                key = now.key(keys.device(did))
                _ALIVE.add(pipe, key, generation, settings().access_token_ttl)
            answers = now.execute(pipe)[len(dead) :]
    except redis.RedisError as error:
        # Nobody is let in by what Redis does not say: they ask again.
        logger.warning("device_not_told", devices=len(used) + len(dead), error=error)
        return set()
    return {did for did, answer in zip(used, answers, strict=True) if not answer}


def _devices() -> Collection[Document]:
    return database()[DEVICES].with_options(read_concern=ReadConcern("majority"))
