"""Every error that a client gets says which request it is about: `data.id`, that no other has."""

import re
from typing import Any

_ID = re.compile("[0-9a-f]{16}")
_known: set[str] = set()


def identified(error: dict[str, Any]) -> str:
    """The error's id, which no error before had."""
    found = error["data"]["id"]
    assert _ID.fullmatch(found), error
    assert found not in _known, error
    _known.add(found)
    return str(found)
