"""Whether the devices behind tokens are still signed in.

Redis knows it of those who came lately: `0` of a dead device, `1:GENERATION` of a living one and
the generation of its tokens that was used. That is believed in the generation of Redis' own state
in which it was said. Where Redis says anything else, or nothing, the function that has
`session.check` looks into the record: silence never means that somebody may.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from connector import answers
from connector.answers import Answer
from connector.lanes import Forward, Pending
from connector.origin import number
from connector.routes import CHECK, Routes
from connector.session import Session
from shared import keys
from shared.errors import CallError, Reason
from shared.subjects import about
from shared.tokens import Access

_ROUNDS = 2  # the second where the generation is another than was known


class Shown(NamedTuple):
    """A token and the session that shows it, which says who calls."""

    session: Session
    access: Access


class Devices:
    def __init__(self, client: Redis, forward: Forward, routes: Callable[[], Routes]) -> None:
        self._redis = client
        self._forward = forward
        self._routes = routes
        self._mark: bytes | None = None  # of the present generation, as last seen

    async def refusals(self, shown: Sequence[Shown], seconds: float) -> list[CallError | None]:
        """For each token why its device may not go on, None where it may. Raises `RedisError`,
        `OSError`, and `TimeoutError` after so many seconds."""
        if not shown:
            return []
        async with asyncio.timeout(seconds):
            known = await self._said([each.access.device for each in shown])
            found = [_known(each.access, said) for each, said in zip(shown, known, strict=True)]
            open_ = [index for index, alive in enumerate(found) if alive is None]
            asked = await self._ask([shown[index] for index in open_])
        refusals = [None if alive else _dead() for alive in found]
        for index, refusal in zip(open_, asked, strict=True):
            refusals[index] = refusal
        return refusals

    async def _said(self, devices: Sequence[str]) -> Sequence[bytes | None]:
        """What the present generation says of each; nothing where there is none."""
        for _ in range(_ROUNDS):
            mark = self._mark
            async with self._redis.pipeline(transaction=False) as pipe:
                if mark is not None:
                    generation = number(mark)
                    pipe.mget([keys.of(generation, keys.device(did)) for did in devices])
                pipe.get(keys.GENERATION)
                *found, self._mark = await pipe.execute()
            if found and self._mark == mark:
                said: Sequence[bytes | None] = found[0]
                return said
            if self._mark is None:
                break
        return [None] * len(devices)

    async def _ask(self, shown: Sequence[Shown]) -> list[CallError | None]:
        function = self._routes().checker
        if not shown or function is None:
            return [_unknown()] * len(shown)
        calls = [
            Pending(
                CHECK,
                {"generation": each.access.generation, "issued": each.access.issued},
                0,
                each.session,
                _ignore,
                request_id=each.session.request_id,
            )
            for each in shown
        ]
        with about(calls):
            return list(map(_judged, await self._forward(function, calls)))


def _known(access: Access, said: Any) -> bool | None:
    """What Redis knows of a device; None where that is not enough."""
    if said == b"0":
        return False
    mark, _, generation = (said or b"").partition(b":")
    if mark == b"1" and generation.isdigit() and int(generation) >= access.generation:
        return True
    return None


def _judged(answer: Answer) -> CallError | None:
    result: Any = answers.result(answer)
    alive = result.get("alive") if isinstance(result, dict) else None
    if alive is True:
        return None
    return _dead() if alive is False else _unknown()


def _dead() -> CallError:
    return CallError(Reason.UNAUTHENTICATED, "the device is signed out")


def _unknown() -> CallError:
    return CallError(Reason.UNAVAILABLE, retry_after=1)


def _ignore(answer: Answer) -> None:
    pass
