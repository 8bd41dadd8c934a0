"""What a function printed, as OpenFaaS' log API tells it: a JSON object a line."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import orjson
from aiohttp import web

from local.deployment import NAMESPACE

_LOOK_AGAIN = 0.2  # seconds


class QueryError(ValueError):
    """The query makes no sense. One line for people."""


@dataclass(frozen=True)
class Query:
    """Which lines: the last `tail`, those `since`, and where `follow` those to come."""

    name: str
    tail: int | None
    since: datetime | None
    follow: bool

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Self:
        """Raises `QueryError`."""
        try:
            tail = int(given.get("tail") or -1)
            since = datetime.fromisoformat(given["since"]) if given.get("since") else None
        except ValueError as error:
            raise QueryError(str(error)) from None
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        follow = given.get("follow", "").lower() in ("true", "1")
        return cls(given.get("name", ""), tail if tail >= 0 else None, since, follow)


class FunctionLog:
    """Streams logs until it is closed."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()

    async def close(self, app: web.Application) -> None:
        """Ends all streams."""
        self._closing.set()

    async def stream(self, request: web.Request, query: Query, log: Path) -> web.StreamResponse:
        """Answers the request with the lines."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # who read it went away
            await self._tell(request, response, query, log)
            await response.write_eof()
        return response

    async def _tell(
        self, request: web.Request, response: web.StreamResponse, query: Query, log: Path
    ) -> None:
        text, position = _read(log, 0)
        lines = text.splitlines()
        if query.tail is not None:
            lines = lines[max(0, len(lines) - query.tail) :]
        await _write(response, query, lines)
        rest = b""
        while query.follow and not self._closing.is_set():
            text, position = _read(log, position)
            *lines, rest = (rest + text).split(b"\n")
            await _write(response, query, lines)
            transport = request.transport
            if transport is None or transport.is_closing():
                break
            await _pause(self._closing)


async def _write(response: web.StreamResponse, query: Query, lines: list[bytes]) -> None:
    for line in lines:
        found = _message(query.name, line)
        if query.since is None or found[0] >= query.since:
            await response.write(found[1])


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), _LOOK_AGAIN)
    except TimeoutError:
        return


def _read(log: Path, position: int) -> tuple[bytes, int]:
    try:
        with log.open("rb") as file:
            # A shorter file is a new one: the old was set aside.
            file.seek(position if position <= file.seek(0, os.SEEK_END) else 0)
            text = file.read()
            return text, file.tell()
    except FileNotFoundError:
        return b"", 0


def _message(name: str, line: bytes) -> tuple[datetime, bytes]:
    when = datetime.now(UTC)
    if line.startswith(b"{"):
        try:
            when = datetime.fromisoformat(orjson.loads(line)["timestamp"])
        except (ValueError, KeyError, TypeError):
            when = datetime.now(UTC)
    message = {
        "name": name,
        "namespace": NAMESPACE,
        "instance": name,
        "timestamp": when,
        "text": line.decode(errors="replace"),
    }
    return when, orjson.dumps(message) + b"\n"
