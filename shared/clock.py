"""Wall clocks. Those of two hosts may differ by `LEEWAY` seconds without harm: whoever holds a time
of another host against its own clock allows for it."""

import time

LEEWAY = 5  # seconds


def now_ms() -> int:
    """UTC milliseconds, the protocol's times."""
    return time.time_ns() // 1_000_000
