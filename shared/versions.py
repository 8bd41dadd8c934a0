"""The versions that this process runs with: Python's, and its packages' against the lock file."""

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from shared.findings import Finding, error, warning

RELEASE = "0.1.0"  # of all that is here
PYTHON = (3, 11)
LOCK = Path(__file__).parent.parent / "requirements.lock"  # a checkout has it, an image has not

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def examine(lock: Path = LOCK) -> list[Finding]:
    """What is older or newer than it should be."""
    found = []
    if sys.version_info < PYTHON:
        told = ".".join(map(str, sys.version_info[:3]))
        found.append(error("python", f"is {told}; expected 3.11 or newer"))
    if lock.is_file():
        found += _packages(_PINNED.findall(lock.read_text(encoding="utf-8")))
    return found


def _packages(pinned: Iterable[tuple[str, str]]) -> list[Finding]:
    """Those that are installed in another version; what is not there is not needed here. A lock
    may name several versions of one, each for other versions of Python."""
    wanted: dict[str, list[str]] = {}
    for name, version in pinned:
        wanted.setdefault(name, []).append(version)
    found = []
    for name, versions in wanted.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed not in versions:
            told = " or ".join(versions)
            found.append(warning(name, f"is {installed}; expected {told}, as requirements.lock"))
    return found
