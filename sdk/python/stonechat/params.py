"""Params of calls, as the typed methods make them."""

import uuid
from collections.abc import Callable, Coroutine
from typing import Any

Call = Callable[[str, dict[str, Any]], Coroutine[Any, Any, Any]]  # `Client.call`


def given(**params: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in params.items() if value is not None}


def command(**params: Any) -> dict[str, Any]:
    """The same with a cid, which makes a changing call safe to repeat."""
    return {"cid": uuid.uuid4().hex} | given(**params)
