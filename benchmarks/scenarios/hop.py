"""An empty function: what the way through connector and gateway front costs. Ours only."""

import asyncio
import functools
import time

from benchmarks.figures import Figures, latencies
from benchmarks.load import gathered
from benchmarks.peers.stonechat import Stonechat, StonechatLine
from benchmarks.usage import Usage

LINES = 100


async def measure(peer: Stonechat, calls: int) -> Figures:
    """One call after the other (`hop_*`), then 100 lines at once (`hops_per_second`)."""
    await peer.deploy_noop()
    people = await peer.people(LINES)
    lines = [await peer.line(each) for each in people]
    for _ in range(50):
        await lines[0].call("noop.call")
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        await lines[0].call("noop.call")
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.002)
    found = latencies(taken, "hop")

    async def ask_on(line: StonechatLine) -> None:
        for _ in range(calls // 10):
            await line.call("noop.call")

    with Usage(peer.processes()) as usage:
        await gathered([functools.partial(ask_on, each) for each in lines], LINES)
    count = calls // 10 * LINES
    for line in lines:
        line.cut()
    return found | {"hops_per_second": count / usage.seconds} | usage.figures(count, "hop")
