"""Where a message's time goes, by process and step, by what the parts measure of themselves under
load. Ours only.

    delivery   from when the message was due until its receiver's socket has it
    around     of that, what is not in the method: sockets, waiting for a lane, HTTP to the
               function, the node's stream
    hop        connector → gateway front → function → connector, of a batch; its answers come after
               the delivery
    way        of that, what is not in the method: HTTP, the front, the answers
    method     message.send, of a batch
    permit, number, seal, insert, publish   its steps; the rest is ours, and waiting for the commit
               of another batch
"""

import asyncio
import functools

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.figures import Figures, percentile
from benchmarks.load import Pairs, gathered
from benchmarks.peers.stonechat import Stonechat
from benchmarks.usage import Usage
from shared import secretfiles

LINES = 200
STEPS = ("permit", "number", "seal", "insert", "publish")
_NAMED = {
    "stonechat_hop_seconds": "hop",
    "stonechat_lane_batch": "lane",
    "stonechat_call_seconds": "method",
    "stonechat_commit_entries": "entries",
    "stonechat_step_seconds": "step",
}

Read = dict[str, tuple[float, float]]  # sum and count


async def measure(peer: Stonechat, rate: int, seconds: float) -> Figures:
    """Means in milliseconds of a batch, of an open loop at this rate, and microseconds of CPU a
    message by process."""
    people = await peer.people(LINES)
    lines = await gathered([functools.partial(peer.line, each) for each in people], 20)
    pairs = Pairs(lines, people, confirms=True)
    await pairs.open(rate, 2)
    before = await _read(peer)
    with Usage(peer.processes()) as usage:
        await pairs.open(rate, seconds)
    after = await _read(peer)
    for line in lines:
        line.cut()
    delivery = percentile(sorted(pairs.latencies), 0.5) * 1000
    mean = {
        name: (total - before.get(name, (0.0, 0.0))[0]) / (count - before.get(name, (0.0, 0.0))[1])
        for name, (total, count) in after.items()
        if count > before.get(name, (0.0, 0.0))[1]
    }
    ms = {name: mean[name] * 1000 for name in ("hop", "method", *STEPS)}
    return {
        "calls_in_a_batch": mean["lane"],
        "entries_in_an_insert": mean["entries"],
        "delivery_p50_ms": delivery,
        "around_ms": delivery - ms["method"],
        "hop_ms": ms["hop"],
        "way_ms": ms["hop"] - ms["method"],
        "method_ms": ms["method"],
        **{f"{name}_ms": ms[name] for name in STEPS},
        "method_rest_ms": ms["method"] - sum(ms[name] for name in STEPS),
        **usage.figures(len(pairs.latencies)),
    }


async def _read(peer: Stonechat) -> Read:
    """Each histogram that concerns sending, the one of steps by step."""
    layout = peer.stack.layout
    token = secretfiles.read(layout.secrets, secretfiles.METRICS_TOKEN)
    found: Read = {}
    async with httpx.AsyncClient(timeout=10) as http:
        connector = http.get(f"http://127.0.0.1:{layout.connector_ports[0]}/metrics")
        function = http.get(
            f"{layout.gateway_url}/function/send/metrics",
            headers={"Authorization": f"Bearer {token}"},
        )
        for answer in await asyncio.gather(connector, function):
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples if family.name in _NAMED else ():
                    ours = sample.labels.get("function", "send") == "send"
                    ours &= sample.labels.get("method", "message.send") == "message.send"
                    end = sample.name.rsplit("_", 1)[1]
                    if not ours or end not in ("sum", "count"):
                        continue
                    name = sample.labels.get("step", _NAMED[family.name])
                    total, count = found.get(name, (0.0, 0.0))
                    if end == "sum":
                        found[name] = (total + sample.value, count)
                    else:
                        found[name] = (total, count + sample.value)
    return found
