"""A TCP proxy that breaks connections in the ways that networks do."""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 64 * 1024


class Proxy:
    """Between clients and one server. `delay` (seconds) and `piece` (bytes) may be set at any time:
    what passes is held back so long, and cut into pieces of that size."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._server: asyncio.Server
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.delay = 0.0
        self.piece = _CHUNK
        self.refusing = False
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._target._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Resets all connections."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()

    def half_close(self) -> None:
        """Nothing more comes from the server; what clients send still arrives."""
        for client, _ in list(self._pairs):
            with suppress(OSError, RuntimeError):
                client.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, upstream[1])
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, upstream[1]), self._pump(upstream[0], writer))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError):
            while data := await reader.read(_CHUNK):
                size = self.piece
                for start in range(0, len(data), size):
                    if self.delay:
                        await asyncio.sleep(self.delay)
                    writer.write(data[start : start + size])
                    await writer.drain()
            writer.write_eof()
