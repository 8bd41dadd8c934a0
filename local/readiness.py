"""Whether functions have what they need: each is asked as a probe asks it."""

import asyncio
from collections.abc import Sequence

import httpx

from local.part import PartFailedError

_SECONDS = 30.0
_APART = 0.2  # seconds between two looks


async def until_ready(gateway: httpx.AsyncClient, names: Sequence[str]) -> None:
    """Returns when all of these functions are ready. Raises `PartFailedError`, which says what one
    lacks, where that takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SECONDS
    while True:
        answers = await asyncio.gather(*(_lacks(gateway, name) for name in names))
        lacking = {name: told for name, told in zip(names, answers, strict=True) if told}
        if not lacking:
            return
        if loop.time() > deadline:
            name, told = next(iter(lacking.items()))
            raise PartFailedError(f"function {name}: {told}")
        names = list(lacking)
        await asyncio.sleep(_APART)


async def _lacks(gateway: httpx.AsyncClient, name: str) -> str:
    """What a function lacks, nothing where it is ready."""
    try:
        answer = await gateway.get(f"/function/{name}/_/ready")
    except httpx.HTTPError as error:  # the gateway is being started again
        return str(error) or type(error).__name__
    return "" if answer.status_code == 200 else answer.text.strip() or str(answer.status_code)
