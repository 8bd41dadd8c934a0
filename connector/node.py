"""This connector as a node among others: its heartbeat, and sweeping those that died.

A node is its random id; a restarted connector is a new node. Each beat looks at the one before
(`pulse`) and at Redis itself (`origin`): where Redis lost the beat or went back in time, or the
node slept so long that others swept it, everything is told again.

Whoever is swept had people, whose sessions are told to have closed with the last heartbeat that
can have been.

A sweep ends by deleting the dead node's heartbeat, so a node that wakes up in the middle of it
notices at its next beat, even if it had told its channels again before.
"""

import asyncio

import structlog
from redis.exceptions import RedisError

from connector.emitter import Emitter, closed_for
from connector.inbox import Inbox
from connector.origin import Origin
from connector.pulse import Pulse
from shared import channels, keys
from shared.events import now_ms

logger = structlog.get_logger(__name__)

_CHUNK = 2000  # channels in one pipeline
_SWEEP_LEASE = 30  # seconds


class Node:
    def __init__(
        self,
        origin: Origin,
        node: str,
        pulse: Pulse,
        inbox: Inbox,
        emitter: Emitter,
        *,
        ttl: float,
        interval: float,
    ) -> None:
        self._origin = origin
        self._redis = origin.client
        self._node = node
        self._pulse = pulse
        self._inbox = inbox
        self._emitter = emitter
        self._ttl = ttl
        self._interval = interval

    async def run(self) -> None:
        """Beats, trims and sweeps until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._ttl):
                    await self.beat()
                    await self._inbox.check()
                    await self._sweep_dead()
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("heartbeat_failed", error=error)
            except Exception:  # the last resort: the next beat is near
                logger.exception("heartbeat_broke")
            await asyncio.sleep(self._interval)

    async def beat(self) -> None:
        """Says that this node lives, and notices when Redis thinks otherwise."""
        follows = await self._pulse.beat()
        if not follows:
            logger.warning("heartbeat_lost", node=self._node)
            self._inbox.lose()  # at once: the next beat follows upon this one
        if not await self._origin.look():
            self._inbox.lose()

    async def leave(self) -> None:
        """This node ends: nothing of it stays in Redis. Its sessions' closings were noted."""
        await self._leave_channels(self._node, await self._channels(self._node))
        await self._forget(self._node)

    async def _sweep_dead(self) -> None:
        nodes = [_text(node) for node in await self._redis.smembers(keys.NODES)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for node in nodes:
                pipe.exists(keys.node_alive(node))
            alive = await pipe.execute()
        for node, lives in zip(nodes, alive, strict=True):
            if not lives and await self._redis.set(
                keys.node_sweep(node), self._node, nx=True, ex=_SWEEP_LEASE
            ):
                logger.warning("node_swept", node=node)
                await self._sweep(node)

    async def _sweep(self, node: str) -> None:
        """Takes a node out of all channels, tells whose sessions went with it, and forgets it."""
        at = now_ms() - int(self._ttl * 1000)
        names = await self._channels(node)
        await self._leave_channels(node, names)
        people = filter(None, map(channels.uid_of, names))
        await self._emitter.write([closed_for(uid, at) for uid in people])
        await self._forget(node)

    async def _channels(self, node: str) -> list[str]:
        return [_text(name) for name in await self._redis.smembers(keys.node_channels(node))]

    async def _leave_channels(self, node: str, names: list[str]) -> None:
        for start in range(0, len(names), _CHUNK):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in names[start : start + _CHUNK]:
                    pipe.srem(keys.channel(name), node)
                await pipe.execute()

    async def _forget(self, node: str) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(keys.node(node), keys.node_channels(node))
            pipe.srem(keys.NODES, node)
            pipe.delete(keys.node_alive(node), keys.node_sweep(node))
            await pipe.execute()


def _text(member: bytes | str) -> str:
    return member.decode() if isinstance(member, bytes) else member
