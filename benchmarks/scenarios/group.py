"""One message to a room of so many people who are all there."""

import asyncio
import functools
import time
from collections.abc import Sequence

from benchmarks.figures import Figures, latencies
from benchmarks.load import gathered
from benchmarks.peers import L, Line, Peer, fronts, nothing
from benchmarks.usage import Usage

_SECONDS = 120.0
_ALONE = 200_000  # deliveries of messages one after the other
BURST = 20  # messages sent at once
_BURSTS = 20  # at most: an archive that grows slows some peers down
_BUSY = 0.05  # seconds of CPU; less says too little


async def measure(peer: Peer[L], members: int, deliveries: int, nodes: int) -> Figures:
    """`alone_*` and `fanout_*` of messages one after the other, each sent when the last member has
    the one before; the others of messages that are sent twenty at once, which a server may bundle.
    `deliveries_per_second` from a burst's first send to its last arrival."""
    people = await peer.people(members)
    room = await peer.room(people)
    signing = [functools.partial(peer.line, each, n % nodes) for n, each in enumerate(people)]
    lines = await gathered(signing, 50)
    await enter(peer, lines, room)
    for line in lines[1:]:
        line.only_hear()
    await burst(lines, room, 1)  # warm-up
    alone = min(max(_ALONE // members, 20), 50)
    with Usage(peer.processes()) as usage:
        spreads = [await burst(lines, room, 1) for _ in range(alone)]
    found = latencies(spreads, "fanout") | _of_front(usage, alone * (members - 1), "alone_")
    bursts = max(1, min(_BURSTS, deliveries // members // BURST))
    with Usage(peer.processes()) as usage:
        elapsed = sum([await burst(lines, room, BURST) for _ in range(bursts)])
    delivered = bursts * BURST * (members - 1)
    found |= {"deliveries_per_second": delivered / elapsed}
    found |= _of_front(usage, delivered) | usage.figures(delivered, "delivery")
    for line in lines:
        line.cut()
    return found


def _of_front(usage: Usage, deliveries: int, prefix: str = "") -> Figures:
    """What a core of the processes that hold the sockets delivers a second."""
    busy = sum(usage.cpu[name] for name in fronts(usage.cpu))
    if busy < _BUSY:
        return {}
    return {f"{prefix}deliveries_per_front_core_second": deliveries / busy}


async def enter(peer: Peer[L], lines: Sequence[L], room: str) -> None:
    """All lines hear the room from now on."""
    await peer.join(lines[0], room)  # who enters first makes the room
    await gathered([functools.partial(peer.join, each, room) for each in lines[1:]], 50)


async def burst(lines: Sequence[Line], room: str, messages: int) -> float:
    """The first line sends so many; returns when all others have them all. A sender may hear its
    own, which is not counted."""
    left = messages * (len(lines) - 1)
    done = asyncio.Event()

    def heard() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    for line in lines[1:]:
        line.heard = heard
    began = time.perf_counter()
    for _ in range(messages):
        lines[0].send(room)
    await asyncio.wait_for(done.wait(), _SECONDS)
    elapsed = time.perf_counter() - began
    for line in lines[1:]:
        line.heard = nothing
    return elapsed
