"""Where a message's time goes, by what the parts measure of themselves under load. Ours only.

A connector counts how long its calls of a function take, a function how long its method takes; the
difference is the way between them. CPU is in `dm`, by process.
"""

import asyncio
import functools

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.figures import Figures, percentile
from benchmarks.load import Pairs, gathered
from benchmarks.peers.stonechat import Stonechat
from shared import secretfiles

LINES = 200
_NAMED = {
    "stonechat_hop_seconds": "connector to function and back",
    "stonechat_call_seconds": "method",
    "stonechat_lane_batch": "calls in a batch",
    "stonechat_commit_entries": "entries in an insert",
    "stonechat_commit_seconds": "numbering, storing and announcing",
}


async def measure(peer: Stonechat, rate: int, seconds: float) -> Figures:
    """Means in milliseconds (or counts), of an open loop at this rate; the rest of a delivery's
    median is waiting and the sockets."""
    people = await peer.people(LINES)
    lines = await gathered([functools.partial(peer.line, each) for each in people], 20)
    pairs = Pairs(lines, people, confirms=True)
    await pairs.open(rate, 2)
    before = await _read(peer)
    await pairs.open(rate, seconds)
    after = await _read(peer)
    for line in lines:
        line.cut()
    found = {"delivery_p50_ms": percentile(sorted(pairs.latencies), 0.5) * 1000}
    for name, (total, count) in after.items():
        earlier = before.get(name, (0.0, 0.0))
        if count > earlier[1]:
            mean = (total - earlier[0]) / (count - earlier[1])
            found[name] = mean * 1000 if name.endswith("seconds") else mean
    return found


async def _read(peer: Stonechat) -> dict[str, tuple[float, float]]:
    """Sum and count of each histogram that concerns sending."""
    layout = peer.stack.layout
    token = secretfiles.read(layout.secrets, secretfiles.SERVICE_TOKEN)
    found: dict[str, tuple[float, float]] = {}
    async with httpx.AsyncClient(timeout=10) as http:
        connector = http.get(f"http://127.0.0.1:{layout.connector_ports[0]}/metrics")
        function = http.get(
            f"{layout.gateway_url}/function/send/metrics",
            headers={"Authorization": f"Bearer {token}"},
        )
        for answer in await asyncio.gather(connector, function):
            for family in text_string_to_metric_families(answer.text):
                if family.name not in _NAMED:
                    continue
                parts = {"sum": 0.0, "count": 0.0}
                for sample in family.samples:
                    ours = sample.labels.get("function", "send") == "send"
                    ours &= sample.labels.get("method", "message.send") == "message.send"
                    end = sample.name.rsplit("_", 1)[1]
                    if ours and end in parts:
                        parts[end] += sample.value
                found[family.name] = (parts["sum"], parts["count"])
    return found
