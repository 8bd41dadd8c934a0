"""What the parts of a stack said of themselves."""

from pathlib import Path
from typing import Any

import orjson

# What the WebSocket library logs of a client that breaks the protocol, which tests do.
_OF_CLIENTS = "WS parser error"


def errors(folder: Path) -> list[dict[str, Any]]:
    """The errors that our processes logged: none of them is to be expected, whatever tests do."""
    found = []
    for file in sorted(folder.glob("*.log")):
        for line in file.read_bytes().splitlines():
            if not line.startswith(b"{"):
                continue
            record = orjson.loads(line)
            if record.get("level") in ("error", "critical") and _OF_CLIENTS not in record["event"]:
                found.append(record)
    return found
