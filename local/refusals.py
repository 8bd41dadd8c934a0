"""The reasons with which a method refuses: its own, which its docstring names, and those of the
way there, which any call may meet.

A docstring names them in a sentence that begins with `Refuses`, as in "Refuses with `not_found`",
or names a method that refuses in the same way.
"""

import re
from collections.abc import Iterator, Mapping

from shared.errors import Reason

OF_ANY = frozenset(
    {
        Reason.INVALID_REQUEST,
        Reason.UNKNOWN_METHOD,  # where its function is not deployed
        Reason.INVALID_PARAMS,
        Reason.INTERNAL,
        Reason.RATE_LIMITED,
        Reason.UNAVAILABLE,
        Reason.OVERLOADED,
        Reason.TIMEOUT,
        Reason.TOO_LARGE,
    }
)
OF_SIGNED_IN = frozenset({Reason.UNAUTHENTICATED, Reason.TOKEN_EXPIRED})

_SENTENCE = re.compile(r"\b[Rr]efuses\b(?:\([^)]*\)|`[^`]*`|[^.(`])*")
_NAMED = re.compile(r"`([a-z_.]+)`")
_REASONS = {str(reason) for reason in Reason}


def of_method(name: str, abouts: Mapping[str, str], *, public: bool) -> list[Reason]:
    """All reasons that a caller of this method has to reckon with, in the order of the table.
    `abouts` are the methods' docstrings. Raises `KeyError` for a method that is not there."""
    found = {*OF_ANY, *_own(name, abouts), *(() if public else OF_SIGNED_IN)}
    return [reason for reason in Reason if reason in found]


def _own(name: str, abouts: Mapping[str, str]) -> Iterator[Reason]:
    for sentence in _SENTENCE.findall(" ".join(abouts[name].split())):
        for word in _NAMED.findall(sentence):
            if word in _REASONS:
                yield Reason(word)
            elif "." in word and word != name:
                yield from _own(word, abouts)
