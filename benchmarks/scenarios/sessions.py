"""What a session costs that does nothing."""

import asyncio
import functools

from benchmarks.figures import Figures
from benchmarks.load import gathered
from benchmarks.peers import L, Peer, fronts
from benchmarks.usage import Usage, memory

SETTLE = 5.0  # seconds after the last sign-in


async def measure(peer: Peer[L], count: int, seconds: float) -> Figures:
    """Memory of the process that holds the sockets, over what it had without them, and its CPU
    while nobody does anything."""
    people = await peer.people(count)
    processes = peer.processes()
    front = fronts(processes)[0]
    warm = [await peer.line(each) for each in people[:100]]
    before = memory(processes[front][0])
    signing = [functools.partial(peer.line, each) for each in people[100:]]
    lines = warm + await gathered(signing, 50)
    await asyncio.sleep(SETTLE)
    held = memory(processes[front][0]) - before
    with Usage(processes) as usage:
        await asyncio.sleep(seconds)
    for line in lines:
        line.cut()
    share = usage.cpu[front] / usage.seconds
    return {
        "sessions": float(count),
        "kib_per_session": held / (count - 100) / 1024,
        "idle_core_share": share,
        "idle_core_share_per_10000": share / count * 10_000,
    }
