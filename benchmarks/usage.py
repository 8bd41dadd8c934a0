"""CPU time and memory of processes, from the kernel. Linux only."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CPUCLOCK_SCHED = 2
_ME = "generator"

Processes = Mapping[str, Sequence[int]]


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, past ones too, to the nanosecond; 0 where it is
    gone. The clock is the one that clock_getcpuclockid(3) names."""
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def memory(pid: int) -> int:
    """Its own memory in bytes: what no other process shares (private, clean and dirty)."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            total += int(line.split()[1]) * 1024
    return total


@dataclass
class Usage:
    """`with Usage(processes) as usage:` then `usage.cpu` is CPU seconds by process name,
    `usage.memory` bytes at the end, and `usage.seconds` how long it took. The generator is measured
    with the others."""

    processes: Processes
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __enter__(self) -> "Usage":
        self._before = self._read()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = time.perf_counter() - self._began
        after = self._read()
        self.cpu = {name: after[name] - self._before[name] for name in after}
        self.memory = {name: sum(map(memory, pids)) for name, pids in self._named().items()}

    def _read(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._named().items()}

    def _named(self) -> Processes:
        return {**self.processes, _ME: [os.getpid()]}

    def figures(self, operations: float, unit: str = "message") -> dict[str, float]:
        """Microseconds of CPU an operation and MiB, by process, and the generator's share of a
        core."""
        found = {
            f"cpu_us_per_{unit}_{name}": seconds / operations * 1e6
            for name, seconds in self.cpu.items()
        }
        found |= {f"memory_mib_{name}": held / 2**20 for name, held in self.memory.items()}
        return found | {"generator_core_share": self.cpu[_ME] / self.seconds}
