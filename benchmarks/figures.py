"""Percentiles of what was measured, and medians of what several runs gave."""

import statistics
from collections.abc import Mapping, Sequence

Figures = dict[str, float]


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that this share of all is not above (nearest rank). NaN of nothing."""
    if not sorted_values:
        return float("nan")
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))]


def latencies(seconds: Sequence[float], name: str = "latency") -> Figures:
    """p50, p90, p99 and the longest, in milliseconds."""
    ordered = sorted(seconds)
    found = {
        f"{name}_p{round(share * 100)}_ms": percentile(ordered, share) * 1000
        for share in (0.5, 0.9, 0.99)
    }
    return found | {f"{name}_max_ms": ordered[-1] * 1000 if ordered else float("nan")}


def medians(runs: Sequence[Mapping[str, float]]) -> Figures:
    """The median of each figure that all runs have."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: statistics.median(run[name] for run in runs) for name in names}


def spread(runs: Sequence[Mapping[str, float]], name: str) -> tuple[float, float]:
    """The least and the most of a figure."""
    values = [run[name] for run in runs]
    return min(values), max(values)
