"""What a log may say of an exception: its type and where it came from, hardly ever its text.

An exception's text quotes what it is about: pydantic its input, a store the document that it
refused, `int()` what is no number. So a text is told only where it is known to quote nobody: that a
connection failed, and what classes of ours say that have `plain = True`. All else is its type, and
the number that stores and HTTP give it.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

_LINKS = 8  # of a chain of causes
_TEXT = 500  # characters

# By name, so that nobody needs a library for this.
_PLAIN = frozenset(
    {
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
        "pymongo.errors.ConnectionFailure",
        "pymongo.errors.ConfigurationError",
    }
)


def told(error: BaseException) -> str:
    """One line about the exception that quotes nobody."""
    kind = type(error).__name__
    text = _text(error)
    return f"{kind}: {text[:_TEXT]}" if text else kind


def rendered(error: BaseException, *, quotes: bool = False) -> str:
    """Its traceback and those of its causes, each with what is `told` of it, or with all of its
    text where it may have `quotes`."""
    parts = []
    for link, joint in _chain(error):
        said = f"{type(link).__name__}: {link}" if quotes else told(link)
        parts += [*_frames(link.__traceback__), f"{said}\n", joint]
    return "".join(parts).rstrip("\n")


def _text(error: BaseException) -> str:
    if getattr(error, "plain", False) is True:
        return str(error)
    if any(f"{each.__module__}.{each.__qualname__}" in _PLAIN for each in type(error).__mro__):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or ""  # without the names of files
    for name in ("status", "code"):
        number = getattr(error, name, None)
        if isinstance(number, int):  # the first: aiohttp has both, and warns of the second
            return f"{name} {int(number)}"
    return ""


def _frames(found: TracebackType | None) -> list[str]:
    lines = traceback.format_tb(found)
    return ["Traceback (most recent call last):\n", *lines] if lines else []


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The exception and what led to it, each with the words that lead on to the next."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting and len(seen) < _LINKS:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
        if link.__cause__ is not None:
            waiting.insert(0, link.__cause__)
        elif link.__context__ is not None and not link.__suppress_context__:
            waiting.insert(0, link.__context__)
        yield link, "which came from, or with:\n" if waiting and len(seen) < _LINKS else ""
