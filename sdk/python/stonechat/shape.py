"""Values of the protocol as dataclasses.

The server and its functions may be newer than this library, or wrong: names that are not known are
ignored, and an optional field that has not its type is as if it were not there.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import (
    Any,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from stonechat.errors import BadAnswer

T = TypeVar("T")

LARGEST = 2**53  # beyond, numbers are not exact in JSON, and no state keeps them
_WRONG: Any = object()


def read(kind: type[T], value: Any) -> T:
    """A dataclass of this kind. Raises `BadAnswer` where a field that it needs is not there."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{kind.__name__} is no object")
    given = {}
    for name, hint, needed in _fields(cast(Any, kind)):
        found = _fit(hint, value[name]) if name in value else _WRONG
        if found is not _WRONG:
            given[name] = found
        elif needed:
            raise BadAnswer(f"{kind.__name__} has no good {name}")
    return kind(**given)


def read_all(parse: Callable[[Any], T], value: Any, name: str) -> list[T]:
    """Those of a list in an answer that can be read. Raises `BadAnswer` where there is no list."""
    items = value.get(name) if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise BadAnswer(f"there is no list of {name}")
    found = []
    for item in items:
        try:
            found.append(parse(item))
        except BadAnswer:
            continue
    return found


def text(value: Any, name: str) -> str:
    """A text that an answer has. Raises `BadAnswer`."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise BadAnswer(f"there is no {name}")
    return found


def following(page: Any, after: str | None) -> str | None:
    """What to give as `after` for the next page, None where this is the last; `after` is what this
    one was asked for with. Raises `BadAnswer` where that leads nowhere else."""
    found = page.get("next") if isinstance(page, dict) else None
    if not isinstance(found, str):
        return None
    if found in ("", after):
        raise BadAnswer("the next page is this one")
    return found


def is_number(value: Any) -> TypeGuard[int]:
    """Whether this is a whole number that the protocol may have."""
    return type(value) is int and abs(value) <= LARGEST


@cache
def _fields(kind: type[Any]) -> list[tuple[str, Any, bool]]:
    """Name and type of each field, and whether it must be there."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return [
        (each.name, hints[each.name], each.default is missing and each.default_factory is missing)
        for each in dataclasses.fields(kind)
    ]


def _fit(hint: Any, value: Any) -> Any:
    """The value as this type has it, `_WRONG` where it cannot be."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        fits = (_fit(each, value) for each in get_args(hint))
        return next((found for found in fits if found is not _WRONG), _WRONG)
    if origin is Literal:
        return value if isinstance(value, str) else _WRONG
    if origin is tuple:
        if not isinstance(value, list):
            return _WRONG
        items = (_fit(get_args(hint)[0], each) for each in value)
        return tuple(item for item in items if item is not _WRONG)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _nested(hint, value)
    return value if _is(origin or hint, value) else _WRONG


def _nested(kind: Any, value: Any) -> Any:
    try:
        return kind.parse(value)
    except BadAnswer:
        return _WRONG


def _is(kind: Any, value: Any) -> bool:
    if kind is int:
        return is_number(value)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is type(None):
        return value is None
    if is_typeddict(kind) or kind in (dict, Mapping):
        return isinstance(value, dict)
    if kind in (list, Sequence):
        return isinstance(value, list)
    return isinstance(value, kind)
