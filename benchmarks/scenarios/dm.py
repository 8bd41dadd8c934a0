"""Direct messages between 200 lines in pairs: as many as go, and at fixed rates."""

import functools

from benchmarks.figures import Figures, latencies
from benchmarks.load import Pairs, gathered
from benchmarks.peers import L, Peer
from benchmarks.usage import Usage

LINES = 200


async def measure(peer: Peer[L], seconds: float, rates: tuple[int, ...]) -> Figures:
    """`dm_per_second` is the closed loop's; `open_RATE_*` those of the open loops."""
    people = await peer.people(LINES)
    lines = await gathered([functools.partial(peer.line, each) for each in people], 20)
    pairs = Pairs(lines, people, confirms=peer.confirms)
    await pairs.closed(2)  # warm-up
    with Usage(peer.processes()) as usage:
        elapsed = await pairs.closed(seconds)
    count = len(pairs.latencies)
    found = {"dm_per_second": count / elapsed} | latencies(pairs.latencies, "closed")
    if peer.confirms:
        found |= latencies(pairs.confirmations, "confirmed")
    found |= usage.figures(count)
    ours = [name for name in usage.cpu if name not in peer.stores() and name != "generator"]
    found["cpu_us_per_message_own"] = sum(usage.cpu[name] for name in ours) / count * 1e6
    served = [name for name in usage.cpu if name != "generator"]
    found["cpu_us_per_message_total"] = sum(usage.cpu[name] for name in served) / count * 1e6
    for rate in rates:
        await pairs.open(rate, seconds)
        found |= latencies(pairs.latencies, f"open_{rate}")
    for line in lines:
        line.cut()
    return found
