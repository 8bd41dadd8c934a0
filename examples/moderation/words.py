"""The words that are not allowed, and how they are found in what people write.

Words are compared as a reader would: after Unicode's compatibility normalisation (NFKC), without
case and without invisible characters, and whole, so that "class" does not hold "ass".
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_WORD = re.compile(r"\w+")


def read(file: Path) -> frozenset[str]:
    """The words of a list: one a line, `#` begins a comment. Raises `OSError`, and `ValueError` for
    a line that is not one word."""
    found = set()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0]
        words = list(_words(text))
        if len(words) > 1 or (text.strip() and not words):
            raise ValueError(f"{file.name}, line {number}: not one word")
        found.update(words)
    return frozenset(found)


def found(body: Any, forbidden: frozenset[str]) -> list[str]:
    """Those of the forbidden words that stand anywhere in a body, sorted."""
    return sorted({word for text in texts(body) for word in _words(text)} & forbidden)


def texts(body: Any) -> Iterator[str]:
    """Every text in a JSON value, at any depth. What clients send may be nested so deeply that
    recursion would fail."""
    waiting = [body]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case dict(fields):
                waiting.extend(fields.values())
            case list(items):
                waiting.extend(items)


def _words(text: str) -> Iterable[str]:
    seen = "".join(each for each in text if unicodedata.category(each) != "Cf")
    # To fold the case can undo the normal form, hence twice (Unicode Standard, 3.13, D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return _WORD.findall(folded)
