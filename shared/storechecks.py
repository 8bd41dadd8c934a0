"""The stores and the gateway looked at from here: whether they answer, what they are, whether they
are fit for us, and what their clocks say. Each call has a time limit, and nothing is written."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pymongo
import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from shared import secretfiles
from shared.findings import Finding, error, info, warning
from shared.settings import Settings

REDIS_VERSION = (7, 0)  # counts what was ever added to a stream; Valkey says 7.2 and more
MONGO_WIRE = 13  # of the protocol: MongoDB 5.0
CLOCK = 1.0  # seconds that clocks may differ

_REDIS = "STONECHAT_REDIS_URL"
_MONGO = "STONECHAT_MONGO_URL"
_S3 = "STONECHAT_S3_URL"
_GATEWAY = "STONECHAT_GATEWAY_URL"
_STAND_IN = "secantusVersion"  # says a server for one machine, which has nobody to replicate to

Check = Callable[[Settings, float], list[Finding]]


def redis_store(config: Settings, timeout: float) -> list[Finding]:
    """Redis or Valkey."""
    client = redis.Redis.from_url(
        config.redis_url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            before = time.time()
            seconds, micros = client.time()
            after = time.time()
            found = _clock(_REDIS, "Redis", seconds + micros / 1e6, before, after)
            return found + _redis_facts(client)
    except AuthenticationError:
        return [error(_REDIS, "Redis refuses the password; expected one that it takes")]
    except (RedisError, OSError) as failure:
        return [error(_REDIS, f"Redis does not answer ({type(failure).__name__})")]


def _redis_facts(client: redis.Redis) -> list[Finding]:
    try:
        facts: dict[str, Any] = client.info()
    except NoPermissionError:
        return [info(_REDIS, "Redis does not tell us about itself: INFO is not permitted")]
    found = []
    version = str(facts.get("redis_version", "0"))
    if _numbers(version) < REDIS_VERSION:
        least = ".".join(map(str, REDIS_VERSION))
        found.append(error(_REDIS, f"Redis is {version}; expected {least} or newer, or Valkey"))
    if facts.get("cluster_enabled"):
        found.append(error(_REDIS, "Redis is a cluster; expected a single primary"))
    if facts.get("role") not in (None, "master"):
        found.append(error(_REDIS, "Redis is a replica; expected the primary"))
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(info(_REDIS, f"maxmemory-policy is {policy}; expected noeviction"))
    if facts.get("evicted_keys"):
        found.append(warning(_REDIS, "Redis has evicted keys; expected memory for all of them"))
    if not facts.get("aof_enabled"):
        found.append(info(_REDIS, "appendonly is no: a restart forgets events and sign-outs"))
    elif facts.get("aof_last_write_status") == "err":
        found.append(error(_REDIS, "Redis cannot write to its disk"))
    return found


def mongo_store(config: Settings, timeout: float) -> list[Finding]:
    """MongoDB, or what speaks its protocol."""
    milliseconds = int(timeout * 1000)
    client: MongoClient[dict[str, Any]] = MongoClient(
        config.mongo_url,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        tz_aware=True,
    )
    try:
        with client, pymongo.timeout(timeout):
            client.admin.command("ping")  # connects, so that the time below is a clock's
            before = time.time()
            hello = client.admin.command("hello")
            after = time.time()
            found = mongo_facts(hello, client.server_info())
            if "localTime" in hello:
                told = hello["localTime"].timestamp()
                found += _clock(_MONGO, "MongoDB", told, before, after)
            client.get_database(config.mongo_database).list_collection_names()
            return found
    except OperationFailure as failure:
        return [error(_MONGO, f"MongoDB refuses us ({failure.code}); expected rights to read")]
    except (PyMongoError, OSError) as failure:
        return [error(_MONGO, f"MongoDB does not answer ({type(failure).__name__})")]


def mongo_facts(hello: Mapping[str, Any], build: Mapping[str, Any]) -> list[Finding]:
    """What a server's answers to `hello` and `buildInfo` say."""
    found = []
    if hello.get("maxWireVersion", 0) < MONGO_WIRE:
        version = build.get("version", "older")
        found.append(error(_MONGO, f"MongoDB is {version}; expected 5.0 or newer"))
    if hello.get("readOnly"):
        found.append(error(_MONGO, "MongoDB takes no writes; expected that it does"))
    engine = build.get("storageEngines", [])
    if engine and set(engine) <= {"ephemeralForTest", "inMemory"}:
        found.append(error(_MONGO, "MongoDB keeps nothing on disk; expected journaling"))
    if hello.get("msg") == "isdbgrid" or _STAND_IN in build:
        return found
    hosts = hello.get("hosts", [])
    if not hello.get("setName"):
        found.append(
            error(_MONGO, "MongoDB is no replica set; expected one, of three: writes are retried")
        )
    elif len(hosts) < 3:
        found.append(info(_MONGO, f"the replica set has {len(hosts)}; expected 3 over as many"))
    return found


def s3_store(config: Settings, timeout: float) -> list[Finding]:
    """The S3 store and the bucket."""
    url = f"{config.s3_url.rstrip('/')}/{config.s3_bucket}"
    try:
        answer = httpx.head(url, timeout=timeout, trust_env=False)
    except (httpx.HTTPError, OSError) as failure:
        return [error(_S3, f"the S3 store does not answer ({type(failure).__name__})")]
    if answer.status_code >= 500:
        return [error(_S3, f"the S3 store answers {answer.status_code}")]
    if answer.status_code == 404:
        bucket = config.s3_bucket
        return [info("STONECHAT_S3_BUCKET", f"there is no bucket {bucket} yet; nothing needs it")]
    return []


def gateway(config: Settings, timeout: float) -> list[Finding]:
    """The list of functions that connectors ask for, where the gateway's password is there."""
    names = (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
    if config.routes_file is not None:
        return []
    try:
        user, password = (secretfiles.read(config.secrets_dir, name) for name in names)
    except secretfiles.SecretMissingError:
        return []  # a function's, which has nothing to ask there
    url = f"{config.gateway_url.rstrip('/')}/system/functions"
    try:
        answer = httpx.get(url, auth=(user, password), timeout=timeout, trust_env=False)
    except (httpx.HTTPError, OSError) as failure:
        return [error(_GATEWAY, f"the gateway does not answer ({type(failure).__name__})")]
    if answer.status_code in (401, 403):
        return [error(names[1], "the gateway refuses it; expected the gateway's own")]
    if answer.status_code != 200:
        return [error(_GATEWAY, f"the gateway answers {answer.status_code} to /system/functions")]
    return []


def _clock(subject: str, name: str, told: float, before: float, after: float) -> list[Finding]:
    """How far a clock is from ours, less what the question took."""
    apart = told - (before + after) / 2
    if abs(apart) <= CLOCK + (after - before) / 2:
        return []
    where = "ahead of" if apart > 0 else "behind"
    text = f"{name}'s clock is {abs(apart):.1f} s {where} ours; expected {CLOCK:g} s at most"
    return [warning(subject, text)]


def _numbers(version: str) -> tuple[int, ...]:
    """`7.2.4` as (7, 2, 4); what is no number counts as 0."""
    return tuple(int(each) if each.isdigit() else 0 for each in version.split(".")[:3])
