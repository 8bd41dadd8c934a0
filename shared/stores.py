"""Connections to the stores: opened once a process, shared by its threads.

Each client is thread-safe, connects when first used, and has a time limit on every call. After a
fork nothing is inherited: a process opens its own.
"""

from functools import cache

import redis
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.write_concern import WriteConcern
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from shared import keys
from shared.collections import Document, create_indexes
from shared.scripts import MEET
from shared.settings import settings

RedisClient = redis.Redis


@cache
def mongo() -> MongoClient[Document]:
    """The document store. Writes are acknowledged by a majority and journaled."""
    config = settings()
    milliseconds = int(config.store_timeout * 1000)
    return MongoClient(
        config.mongo_url,
        w="majority",
        journal=True,
        retryWrites=True,
        timeoutMS=milliseconds,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=2000,
        maxPoolSize=64,
        tz_aware=True,
    )


@cache
def database() -> Database[Document]:
    """Stonechat's database, its indexes made."""
    config = settings()
    made = mongo().get_database(
        config.mongo_database, write_concern=WriteConcern(w="majority", j=True)
    )
    create_indexes(made)
    return made


@cache
def redis_client() -> redis.Redis:
    """The Redis of this process's settings."""
    return connected(settings().redis_url)


def connected(url: str) -> redis.Redis:
    """A Redis, answering bytes. No command is sent twice: where a connection is lost, whoever
    uses it knows whether it may repeat (as `Generations.within` does). Every new connection looks
    first which Redis it met."""
    return redis.Redis.from_url(
        url,
        socket_timeout=settings().store_timeout,
        socket_connect_timeout=2.0,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        max_connections=128,
        redis_connect_func=_meet,
    )


def _meet(connection: Connection) -> None:
    connection.on_connect()
    connection.send_command("EVAL", MEET, 1, keys.GENERATION)
    connection.read_response()
