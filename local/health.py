"""Health checks over loopback: whether a part answers as it would answer those who need it.

Each returns True, or False, or raises `OSError` or `EOFError` where nobody is there, or
`LackingError` where somebody is who says what is missing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import bson

from local import ports

Check = Callable[[], Awaitable[bool]]

_OP_MSG = 2013  # of MongoDB's wire protocol
_PING: Mapping[str, Any] = {"ping": 1, "$db": "admin"}


class LackingError(Exception):
    """What is missing, in one line."""


@asynccontextmanager
async def _connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(ports.LOOPBACK, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def http(port: int, path: str, says: bytes = b"") -> bool:
    """A GET of the path is answered 200, with this in the body."""
    ok, body = await _get(port, path)
    return ok and says in body


async def ready(port: int) -> bool:
    """`/readyz` is answered 200; what else it is answered says what is missing."""
    ok, body = await _get(port, "/readyz")
    if not ok and body.strip():
        raise LackingError("; ".join(body.decode(errors="replace").split("\n")).strip("; "))
    return ok


async def _get(port: int, path: str) -> tuple[bool, bytes]:
    """Whether it is answered 200, and with which body."""
    async with _connection(port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return head.split(b" ", 2)[1:2] == [b"200"], body


async def redis(port: int, command: str = "PING", says: bytes = b"+PONG\r\n") -> bool:
    """The command has this answer; with PING it says that the data are loaded."""
    async with _connection(port) as (reader, writer):
        writer.write(command.encode() + b"\r\n")
        return await reader.readline() == says


async def mongo(port: int, command: Mapping[str, Any] = _PING) -> bool:
    """The command, which names its `$db`, is answered with ok."""
    body = bytes(5) + bson.encode(command)
    numbers = (16 + len(body), 1, 0, _OP_MSG)
    async with _connection(port) as (reader, writer):
        writer.write(b"".join(number.to_bytes(4, "little") for number in numbers) + body)
        length = int.from_bytes(await reader.readexactly(4), "little")
        answer = await reader.readexactly(length - 4)
        return bool(bson.decode(answer[17:]).get("ok"))
