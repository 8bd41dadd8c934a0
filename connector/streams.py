"""What reading a Redis stream gives."""

from typing import Any

Entry = tuple[bytes, dict[bytes, bytes]]


def entries(found: Any) -> list[Entry]:
    """The entries of the one stream that was read."""
    if not found:
        return []
    # RESP2 gives a list of (stream, entries), RESP3 a map of stream to [entries].
    read: list[Entry] = found[0][1] if isinstance(found, list) else next(iter(found.values()))[0]
    return read


def place(entry_id: bytes | str) -> tuple[int, int]:
    """An id as something that compares."""
    milliseconds, number = (entry_id.decode() if isinstance(entry_id, bytes) else entry_id).split(
        "-"
    )
    return int(milliseconds), int(number)
