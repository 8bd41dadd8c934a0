"""Accounts and tokens: who a person is, and the devices they are signed in on.

Every sign-in is a device (`did`) of its own, until it is signed out. Its refresh token carries a
generation that each use raises; a token of an older generation was copied, so the whole device is
signed out. A device that was signed out is dead for good: its access tokens, which live on by
themselves for some minutes, are refused everywhere meanwhile, and its sockets close.
"""

import time
from typing import Any

import redis
import structlog
from pydantic import Field, with_config
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from typing_extensions import TypedDict

from shared import events, keys, tokens
from shared.bus import Close, bus
from shared.call import Call
from shared.collections import CREDENTIALS, DEVICES, USERS
from shared.errors import CallError, Reason
from shared.events import Happened
from shared.function import Function
from shared.ids import new_id
from shared.params import NoParams, Params
from shared.settings import settings
from shared.shapes import EXACT, Empty
from shared.stores import database, redis_client

from . import passwords

auth = Function("auth")
logger = structlog.get_logger(__name__)

SIGNED_OUT = 4001  # WebSocket close code


class Register(Params):
    username: str = Field(pattern=r"^[a-z0-9_.-]{3,32}$")
    password: str = Field(min_length=8, max_length=128)
    name: str | None = Field(None, min_length=1, max_length=64)


class Login(Params):
    username: str = Field(max_length=32)
    password: str = Field(max_length=128)


class Refresh(Params):
    refresh_token: str = Field(max_length=2000)


@with_config(EXACT)
class SignedIn(TypedDict):
    """Tokens of a new sign-in. `expires_in` is the seconds that the access token lives."""

    uid: str
    access_token: str
    refresh_token: str
    expires_in: int


@auth.method("auth.register", result=SignedIn, public=True)
def register(call: Call[Register]) -> dict[str, Any]:
    """Makes an account and signs in. Refuses with `username_taken`."""
    params, uid = call.params, new_id()
    if database()[USERS].find_one({"username": params.username}, {"_id": 1}):
        raise CallError(Reason.USERNAME_TAKEN)
    # Credentials first: without a user they are nobody's, and the username decides who is.
    database()[CREDENTIALS].insert_one({"_id": uid, "password": passwords.hashed(params.password)})
    try:
        database()[USERS].insert_one(
            {
                "_id": uid,
                "username": params.username,
                "name": params.name or params.username,
                "created_at": int(time.time() * 1000),
            }
        )
    except DuplicateKeyError:
        database()[CREDENTIALS].delete_one({"_id": uid})
        raise CallError(Reason.USERNAME_TAKEN) from None
    answer = _sign_in(uid)
    try:
        events.emit([Happened("user.registered", {"uid": uid, "username": params.username}, uid)])
    except redis.RedisError as error:
        # The account is there and its owner is told so; a welcome may be lost.
        logger.warning("event_lost", type="user.registered", error=str(error))
    return answer


@auth.method("auth.login", result=SignedIn, public=True)
def login(call: Call[Login]) -> dict[str, Any]:
    """Signs in. Refuses with `bad_credentials`, whichever of the two is wrong, and with
    `too_many_attempts` after repeated failures."""
    params = call.params
    passwords.require_patience(params.username)
    user = database()[USERS].find_one({"username": params.username}, {"_id": 1})
    known = database()[CREDENTIALS].find_one({"_id": user["_id"]}) if user else None
    if not passwords.matches(known["password"] if known else None, params.password) or user is None:
        passwords.count_failure(params.username)
        raise CallError(Reason.BAD_CREDENTIALS)
    passwords.forget_failures(params.username)
    return _sign_in(user["_id"])


@auth.method("auth.refresh", result=SignedIn, public=True)
def refresh(call: Call[Refresh]) -> dict[str, Any]:
    """New tokens for the device. Refuses with `unauthenticated` or `token_expired`; a refresh token
    used a second time signs the whole device out."""
    token = tokens.verifier().refresh(call.params.refresh_token)
    device = database()[DEVICES].find_one_and_update(
        {"_id": token.device, "generation": token.generation, "signed_out": False},
        {"$inc": {"generation": 1}, "$set": {"refreshed_at": int(time.time() * 1000)}},
        return_document=ReturnDocument.AFTER,
    )
    if device is None:
        _sign_out(token.uid, token.device, "refresh token used twice")
        raise CallError(Reason.UNAUTHENTICATED, "the refresh token is spent")
    return _tokens(token.uid, token.device, device["generation"])


@auth.method("auth.logout", result=Empty)
def logout(call: Call[NoParams]) -> dict[str, Any]:
    """Signs the caller's device out: its tokens die and its sockets close with 4001."""
    device = call.caller.device
    if device is None:
        raise CallError(Reason.UNAUTHENTICATED)
    _sign_out(call.uid, device, "signed out")
    return {}


def _sign_in(uid: str) -> dict[str, Any]:
    device, now = new_id(), int(time.time() * 1000)
    database()[DEVICES].insert_one(
        {
            "_id": device,
            "uid": uid,
            "generation": 1,
            "signed_out": False,
            "created_at": now,
            "refreshed_at": now,
        }
    )
    return _tokens(uid, device, 1)


def _sign_out(uid: str, device: str, why: str) -> None:
    # Dead in the record first; then to those who only look at tokens, then to open sockets.
    database()[DEVICES].update_one({"_id": device}, {"$set": {"signed_out": True}})
    redis_client().set(keys.revoked(device), 1, ex=settings().access_token_ttl + 60)
    bus().publish([Close(uid, SIGNED_OUT, why, device)])


def _tokens(uid: str, device: str, generation: int) -> dict[str, Any]:
    config, issuer = settings(), tokens.issuer()
    return {
        "uid": uid,
        "access_token": issuer.access(uid, device, (), config.access_token_ttl),
        "refresh_token": issuer.refresh(uid, device, generation, config.refresh_token_ttl),
        "expires_in": config.access_token_ttl,
    }


handle = auth.handle
ready = auth.ready
