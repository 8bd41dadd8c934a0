"""Results as JSON, as a Markdown table and as plots, with the machine they are from."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figures import Figures, medians

Runs = Mapping[str, Sequence[Figures]]  # by peer

# By scenario: the figure to show, its unit, and whether more is better; None where peers cannot be
# compared by it.
SHOWN: dict[str, list[tuple[str, str, bool | None]]] = {
    "dm": [
        ("dm_per_second", "messages/s", True),
        ("closed_p50_ms", "ms", False),
        ("closed_p99_ms", "ms", False),
        ("open_200_p50_ms", "ms", False),
        ("open_200_p99_ms", "ms", False),
        ("cpu_us_per_message_total", "µs CPU a message, with its storing", False),
        ("cpu_us_per_message_own", "µs CPU a message, without stores", None),
    ],
    "group": [
        ("deliveries_per_second", "deliveries/s", True),
        ("deliveries_per_front_core_second", "deliveries a core-second of the front", True),
        (
            "alone_deliveries_per_front_core_second",
            "the same of messages one after the other",
            True,
        ),
        ("fanout_p50_ms", "ms to the last member", False),
    ],
    "sessions": [
        ("kib_per_session", "KiB a session", False),
        ("idle_core_share_per_10000", "cores for 10,000 idle", False),
    ],
    "growth": [
        ("delivery_alone_growth", "cost of a delivery, 10,000 members to 1,000", None),
        ("delivery_burst_growth", "the same, in bursts", None),
        ("session_memory_growth", "memory of a session, 10,000 to 1,000", None),
        ("session_cpu_growth", "idle CPU of a session, 10,000 to 1,000", None),
    ],
    "storm": [("storm_seconds", "s until all are back", False), ("back_p50_ms", "ms", False)],
    "hop": [
        ("hop_p50_ms", "ms", False),
        ("hop_p99_ms", "ms", False),
        ("hops_per_second", "calls/s", True),
    ],
    "history": [
        ("entries_per_second", "entries/s", True),
        ("page_p50_ms", "ms a page of 200", False),
    ],
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages * size / 2**30, 1),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def save(folder: Path, scenario: str, options: Mapping[str, Any], runs: Runs) -> Path:
    """Writes the scenario's JSON: every run, and the medians."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{scenario}.json"
    value = {
        "scenario": scenario,
        "options": dict(options),
        "machine": machine(),
        "medians": {peer: medians(each) for peer, each in runs.items() if each},
        "runs": dict(runs),
    }
    file.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    return file


def table(folder: Path) -> str:
    """A Markdown table of all scenarios that were saved there."""
    lines = ["| scenario | figure | stonechat | ejabberd | ratio |", "|---|---|---|---|---|"]
    machines: dict[str, None] = {}
    for file in sorted(folder.glob("*.json")):
        value = orjson.loads(file.read_bytes())
        machines[_described(value)] = None
        kind = value["scenario"].split("-")[0]
        ours = value["medians"].get("stonechat", {})
        theirs = value["medians"].get("ejabberd", {})
        for name, unit, more in SHOWN.get(kind, []):
            if name not in ours:
                continue
            ratio = "–"
            if more is not None and name in theirs and ours[name] and theirs[name]:
                times = ours[name] / theirs[name] if more else theirs[name] / ours[name]
                ratio = f"{times:.2f}×"
            lines.append(
                f"| {value['scenario']} | {unit} ({name}) | {_short(ours[name])} "
                f"| {_short(theirs[name]) if name in theirs else '–'} | {ratio} |"
            )
    return "\n".join([*machines, "", *lines]) + "\n"


def _described(value: Mapping[str, Any]) -> str:
    """The machine of a scenario, in a line."""
    here, store = value["machine"], value["options"].get("document_store", "secantusd-py")
    python = f"Python {here['python']}, Linux {here['kernel']}"
    return (
        f"{here['cores']} cores ({here['processor']}), {here['memory_gib']} GiB, {python}, "
        f"{here['date'][:10]}; document store: {store}"
    )


def plot(folder: Path) -> list[Path]:
    """A bar chart a scenario, of its first figure, run by run. Without matplotlib: none."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    made = []
    for file in sorted(folder.glob("*.json")):
        value = orjson.loads(file.read_bytes())
        shown = SHOWN.get(value["scenario"].split("-")[0])
        if not shown:
            continue
        figure, axes = pyplot.subplots(1, len(shown), figsize=(3.2 * len(shown), 3))
        for axis, (name, unit, _) in zip(axes if len(shown) > 1 else [axes], shown, strict=True):
            peers = [peer for peer, runs in value["runs"].items() if any(name in r for r in runs)]
            for place, peer in enumerate(peers):
                values = [run[name] for run in value["runs"][peer] if name in run]
                axis.bar(place, sorted(values)[len(values) // 2], color=f"C{place}", alpha=0.6)
                axis.plot([place] * len(values), values, "k.", markersize=4)
            axis.set_xticks(range(len(peers)), peers)
            axis.set_title(unit, fontsize=8)
        figure.suptitle(value["scenario"])
        figure.tight_layout()
        target = file.with_suffix(".png")
        figure.savefig(target, dpi=90)
        pyplot.close(figure)
        made.append(target)
    return made


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
