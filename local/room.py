"""What becomes of the stores when the disk fills: nothing is written, and all else goes on.

SecantusDB does not survive a write that finds no room: it answers nothing any more until it is
started again, which takes room too. So it is told to refuse writes while there still is some (by
MongoDB's own test command `failCommand`, with the code that MongoDB has for a full disk), and reads
go on; where somebody else took the rest at once and it broke, it ends here and is started again.

Valkey refuses all commands that write, presence among them, while its log of them cannot be
written. What it holds is soft, so it goes on without that log, and writes it anew later.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from local import health
from local.part import Part

MEGABYTES = 256  # below so many that are free, nothing is written
_AGAIN = 1.25  # and above so many times that it is again
_LOOK_SECONDS = 0.5
_ASK_SECONDS = 5.0
_FAILURES = 3  # of the document store in a row
_OUT_OF_DISK_SPACE = 14031
# A server that broke goes on to answer pings, so it is asked for a document of its own.
_LOOK = {"count": "look", "$db": "stonechat_room"}
_MAKE = {"insert": "look", "documents": [{"_id": 1}], "$db": "stonechat_room"}
_WRITES = ["insert", "update", "delete", "findAndModify", "createIndexes", "create"]


class Room:
    """Watches the disk of one folder for the stores that keep their data there."""

    def __init__(
        self,
        folder: Path,
        megabytes: int,
        tell: Callable[[str], None],
        mongo: tuple[Part, int] | None,
        valkey: tuple[Part, int] | None,
    ) -> None:
        """`mongo` and `valkey`: the part and its port, None where it is elsewhere."""
        self._folder = folder
        self._least = megabytes * 1024 * 1024
        self._tell = tell
        self._mongo = mongo
        self._valkey = valkey
        self._done: dict[str, tuple[int, bool]] = {}  # the process that was told what
        self._looked_at = 0  # the document store's process that has the document
        self._failed = 0  # looks at the document store in a row
        self.low = False

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        while True:
            self._look()
            if self._mongo is not None:
                await self._told(*self._mongo, self._refuse_writes)
                await self._end_what_broke(*self._mongo)
            if self._valkey is not None:
                await self._told(*self._valkey, self._keep_no_log)
            await asyncio.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        with suppress(OSError):
            found = os.statvfs(self._folder)
            free = found.f_bavail * found.f_frsize
            low = free < self._least * (_AGAIN if self.low else 1)
            if low != self.low:
                self.low = low
                self._tell(self._news(free))

    def _news(self, free: int) -> str:
        free, least = free // 1024**2, self._least // 1024**2
        if self.low:
            return (
                f"the disk is full: {free} MB are free in {self._folder}, and below {least} MB "
                "nothing is stored; what can be read is read"
            )
        return f"there is room again, {free} MB: all is stored"

    async def _told(self, part: Part, port: int, order: Callable[[int], Awaitable[bool]]) -> None:
        """The part's process is as it has to be now. One that just started keeps and takes all."""
        now = (part.pid, self.low)
        if not part.running or self._done.get(part.name, (part.pid, False)) == now:
            return
        if not self.low and self._done[part.name][0] != part.pid:
            del self._done[part.name]
            return
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(_ASK_SECONDS):
                if await order(port):
                    self._done[part.name] = now

    async def _refuse_writes(self, port: int) -> bool:
        order: dict[str, Any] = {"configureFailPoint": "failCommand", "mode": "off"}
        if self.low:
            refusal = {"failCommands": _WRITES, "errorCode": _OUT_OF_DISK_SPACE}
            order |= {"mode": "alwaysOn", "data": refusal}
        return await health.mongo(port, order | {"$db": "admin"})

    async def _keep_no_log(self, port: int) -> bool:
        keep = "no" if self.low else "yes"
        return await health.redis(port, f"CONFIG SET appendonly {keep}", b"+OK\r\n")

    async def _end_what_broke(self, part: Part, port: int) -> None:
        """Ends a document store that answers nobody's questions any more."""
        if not part.running:
            self._failed = 0
            return
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                if self._looked_at != part.pid and not self.low:
                    await health.mongo(port, _MAKE)
                    self._looked_at = part.pid
                well = await health.mongo(port, _LOOK)
        except (OSError, EOFError, TimeoutError):
            return  # it starts, or has much to do
        self._failed = 0 if well else self._failed + 1
        if self._failed >= _FAILURES and part.running:
            self._failed = 0
            self._tell(f"{part.name} broke and answers nothing but errors: it is ended")
            with suppress(ProcessLookupError):
                part.signal(signal.SIGKILL)
