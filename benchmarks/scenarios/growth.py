"""What ten times as many members and sessions change of the cost of one, on one server in one run,
so that a machine whose speed wanders does not matter."""

import asyncio
import functools
import statistics

from benchmarks.figures import Figures
from benchmarks.load import gathered
from benchmarks.peers import L, Peer, fronts
from benchmarks.scenarios.group import BURST, burst, enter
from benchmarks.scenarios.sessions import SETTLE
from benchmarks.usage import Usage, memory

_FEW, _MANY = 1000, 10_000
_ROUNDS = 5


async def measure(peer: Peer[L], seconds: float) -> Figures:
    """Ratios, of 10,000 to 1,000: of the front's CPU a delivery (`alone` or in bursts), and of its
    memory and CPU for a session that does nothing, over what it takes without any."""
    people = await peer.people(_MANY)
    processes = peer.processes()
    front = fronts(processes)[0]
    lines: list[L] = []
    held: list[int] = []
    busy: list[float] = []
    for count in (0, _FEW, _MANY):
        signing = [functools.partial(peer.line, each) for each in people[len(lines) : count]]
        lines += await gathered(signing, 50)
        await asyncio.sleep(SETTLE)
        held.append(memory(processes[front][0]))
        with Usage(processes) as usage:
            await asyncio.sleep(seconds)
        busy.append(usage.cpu[front])
    found = {
        "session_memory_growth": (held[2] - held[0]) / (held[1] - held[0]) * _FEW / _MANY,
        "session_cpu_growth": (busy[2] - busy[0]) / (busy[1] - busy[0]) * _FEW / _MANY,
    }
    rooms = {}
    for count in (_FEW, _MANY):
        room = rooms[count] = await peer.room(people[:count])
        await enter(peer, lines[:count], room)
    await asyncio.sleep(SETTLE)  # their sessions are told that they are members
    for line in lines[1:]:
        line.only_hear()
    costs: dict[tuple[int, int], list[float]] = {}
    for number in range(_ROUNDS * 2):
        for count in sorted(rooms, reverse=number % 2 == 1):
            for messages in (1, BURST):
                with Usage(processes) as usage:
                    for _ in range(_MANY // count):
                        await burst(lines[:count], rooms[count], messages)
                deliveries = _MANY // count * messages * (count - 1)
                costs.setdefault((count, messages), []).append(usage.cpu[front] / deliveries)
    cost = {key: statistics.median(values) for key, values in costs.items()}
    for line in lines:
        line.cut()
    return found | {
        "delivery_alone_growth": cost[_MANY, 1] / cost[_FEW, 1],
        "delivery_burst_growth": cost[_MANY, BURST] / cost[_FEW, BURST],
        "delivery_alone_us": cost[_MANY, 1] * 1e6,
        "delivery_burst_us": cost[_MANY, BURST] * 1e6,
    }
