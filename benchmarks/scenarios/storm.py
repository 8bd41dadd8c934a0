"""All sessions are cut, each person gets a message meanwhile, and all come back at once."""

import asyncio
import functools
import time

from benchmarks.figures import Figures, latencies
from benchmarks.load import gathered
from benchmarks.peers import L, Peer
from benchmarks.usage import Usage

AT_ONCE = 1000  # sign-ins under way in the generator, whose sockets wait in the server's backlog


async def measure(peer: Peer[L], count: int) -> Figures:
    """`storm_seconds` until the last one is signed in and has its message; any failure raises."""
    people = await peer.people(count)
    lines = await gathered([functools.partial(peer.line, each) for each in people], 50)
    for line in lines[1:]:
        line.cut()
    await asyncio.sleep(2)
    writer = lines[0]
    for start in range(1, count, 100):
        confirmed = asyncio.Event()
        part = people[start : start + 100]
        left = len(part)

        def one(confirmed: asyncio.Event = confirmed) -> None:
            nonlocal left
            left -= 1
            if not left:
                confirmed.set()

        writer.acknowledged = one
        for each in part:
            writer.send(each)
        if peer.confirms:
            await asyncio.wait_for(confirmed.wait(), 60)
    await asyncio.sleep(3)
    taken: list[float] = []
    began = time.perf_counter()

    async def come_back(person: str) -> None:
        line = await peer.line(person)
        await peer.caught_up(line, 1)
        taken.append(time.perf_counter() - began)
        back.append(line)

    back = [writer]
    with Usage(peer.processes()) as usage:
        await gathered([functools.partial(come_back, each) for each in people[1:]], AT_ONCE)
    for line in back:
        line.cut()
    found = {"storm_seconds": usage.seconds, "storm_sessions": float(count)}
    return found | latencies(taken, "back") | usage.figures(count, "session")
