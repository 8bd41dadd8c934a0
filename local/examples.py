"""A good call of each method with its answer, and refused ones: `docs/examples.json`.

They are what the real system answered to a scene that `python -m tests.record` plays; what differs
from one run to the next (ids, times, tokens) stands as something of the same form.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

FILE = Path(__file__).parent.parent / "docs" / "examples.json"


class Example(NamedTuple):
    params: dict[str, Any]
    result: dict[str, Any]
    refused: dict[str, dict[str, Any]]  # by reason: `params` and the `error` they were answered


@cache
def examples() -> dict[str, Example]:
    """By method."""
    return {name: Example(**each) for name, each in orjson.loads(FILE.read_bytes()).items()}
