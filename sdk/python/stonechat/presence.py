"""Presence: who is there, as far as one may see it."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

from stonechat import shape
from stonechat.errors import StonechatError
from stonechat.params import Call, given

Status = Literal["online", "away", "busy", "invisible", "offline"]

logger = logging.getLogger("stonechat")


@dataclass(frozen=True, slots=True)
class Presence:
    """`last_seen` is UTC milliseconds, None where one may not see it. Also a signal: of friends,
    and of the members of groups that are being watched."""

    uid: str
    status: Status
    last_seen: int | None = None
    text: str | None = None

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Presences:
    """`client.presence`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._watched: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, uids: Iterable[str]) -> dict[str, Presence]:
        """The presence of each. Whoever one may not see is `offline`."""
        found = await self._call("presence.get", {"uids": list(uids)})
        listed = shape.read_all(Presence.parse, found, "presence")
        return {each.uid: each for each in listed}

    async def set(
        self,
        status: Literal["online", "away", "busy", "invisible"],
        *,
        text: str | None = None,
    ) -> None:
        """What others see of oneself while one is connected."""
        await self._call("presence.set", given(status=status, text=text))

    async def watch(self, conv: str) -> None:
        """Signals tell the presence of this group's members from now on, and after lost connections
        again, until `unwatch`. Raises `Forbidden` where one is no member."""
        await self._call("presence.watch", {"conv": conv})
        self._watched.add(conv)

    async def unwatch(self, conv: str) -> None:
        self._watched.discard(conv)
        await self._call("presence.unwatch", {"conv": conv})

    def opened(self) -> None:
        """There is another session: what was watched is watched again."""
        for conv in self._watched:
            task = asyncio.create_task(self._watch_again(conv))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _watch_again(self, conv: str) -> None:
        try:
            await self._call("presence.watch", {"conv": conv})
        except (StonechatError, OSError) as error:
            logger.warning("presence of %s is no longer watched: %s", conv, error)
