"""Reading a long conversation back, page by page. Ours only."""

import asyncio
import time

from benchmarks.figures import Figures, latencies
from benchmarks.peers.stonechat import Stonechat
from benchmarks.usage import Usage

_AT_ONCE = 200
_PAGE = 200


async def measure(peer: Stonechat, entries: int) -> Figures:
    """`page_*` is one page of 200 entries."""
    first, second = await peer.people(2)
    line = await peer.line(first)
    conv = "d:" + ":".join(sorted((first, second)))
    for start in range(0, entries, _AT_ONCE):
        done, left = asyncio.Event(), min(_AT_ONCE, entries - start)

        def one(done: asyncio.Event = done) -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set()

        line.acknowledged = one
        for _ in range(left):
            line.send(second)
        await asyncio.wait_for(done.wait(), 60)
    taken, reached = [], 0
    with Usage(peer.processes()) as usage:
        while reached < entries:
            began = time.perf_counter()
            page = await line.call("message.history", conv=conv, after=reached, limit=_PAGE)
            taken.append(time.perf_counter() - began)
            reached = page["entries"][-1]["seq"]
    line.cut()
    found = {"entries_per_second": entries / sum(taken)} | latencies(taken, "page")
    return found | usage.figures(entries, "entry")
