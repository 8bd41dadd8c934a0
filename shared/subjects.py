"""Whose requests are being worked on, so that each log line says it.

A connector gives each request an id, which goes with it through everything that it causes, and to
its client in the error, if there is one. What works for requests does so inside `about(items)`; the
ids are read from the items when a line is logged, so it costs nothing until then.
"""

from collections.abc import Sequence
from contextvars import ContextVar, Token
from typing import Any

_subjects: ContextVar[Sequence[Any]] = ContextVar("subjects", default=())


class about:  # noqa: N801 (it reads as a verb: `with about(calls):`)
    """Inside `with about(items):`, what is done concerns these items, as far as they have a
    `request_id`; items that have none change nothing."""

    __slots__ = ("_items", "_token")

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._token: Token[Sequence[Any]] | None = None

    def __enter__(self) -> None:
        if self._items and hasattr(self._items[0], "request_id"):
            self._token = _subjects.set(self._items)

    def __exit__(self, *failure: object) -> None:
        if self._token is not None:
            _subjects.reset(self._token)


def subjects() -> Sequence[Any]:
    """The items that the work is about."""
    return _subjects.get()


def request_ids() -> list[str]:
    """The ids of the requests that the work is about, each once."""
    found = (getattr(each, "request_id", "") for each in _subjects.get())
    return list(dict.fromkeys(filter(None, found)))


def request_id() -> str:
    """The id of the one request that the work is about, empty where there are none or many."""
    items = _subjects.get()
    return str(items[0].request_id) if len(items) == 1 else ""
