"""Reading Redis streams."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

Entry = tuple[bytes, dict[bytes, bytes]]


async def read_beside(
    client: Redis, key: str, after: bytes, count: int, block: int, others: Sequence[str]
) -> tuple[list[Entry], list[bytes | None]]:
    """The entries of a stream after an id, at most `count`, waited for at most `block` ms; and what
    the `others`, strings, hold after that. Raises `RedisError` and `OSError`.

    It is a pipeline, and done by hand, since it is done for every message: the client's costs more
    time than all else about a delivery."""
    pool = client.connection_pool
    connection = await pool.get_connection()
    try:
        read = ("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", key, after)
        commands = [read, *(("GET", other) for other in others)]
        await connection.send_packed_command(connection.pack_commands(commands))
        found, *values = [await connection.read_response() for _ in commands]
    except BaseException:  # what was asked may be answered later
        await connection.disconnect()
        raise
    finally:
        await pool.release(connection)
    return _parsed(found), values


def entries(found: Any) -> list[Entry]:
    """The entries of the one stream that was read."""
    if not found:
        return []
    # RESP2 gives a list of (stream, entries), RESP3 a map of stream to [entries].
    read: list[Entry] = found[0][1] if isinstance(found, list) else next(iter(found.values()))[0]
    return read


def place(entry_id: bytes | str) -> tuple[int, int]:
    """An id as something that compares."""
    milliseconds, number = (entry_id.decode() if isinstance(entry_id, bytes) else entry_id).split(
        "-"
    )
    return int(milliseconds), int(number)


def _parsed(found: Any) -> list[Entry]:
    """What the server answers, of which the client makes what `entries` gets."""
    if not found:
        return []
    read = found[0][1] if isinstance(found, list) else next(iter(found.values()))
    return [(id_, dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in read]
