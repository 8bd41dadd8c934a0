"""Params for any method, made from its model: good ones, and bad ones of every sort."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from shared.function import Method
from shared.ids import new_id

Params = dict[str, Any]
Bad = Callable[[Any, Mapping[str, Any]], Any]  # of the good value and what there is

_TOGETHER = 3  # optional params that may only come together
_TEXTS = ("abc", "Ab1-", "abcdefgh", "👍", "a@b.example", "123456", "2030-01-01", "https://a.b/")


def good(method: Method, there_is: Mapping[str, Any]) -> list[Params]:
    """Each least choice of params that fits the method, then each with one more beside it."""
    known = _known(method, there_is)
    found = least(method, there_is)
    wider = [each | {name: known[name]} for each in found for name in known if name not in each]
    return [_fresh(each) for each in [*found, *(each for each in wider if fits(method, each))]]


def least(method: Method, there_is: Mapping[str, Any]) -> list[Params]:
    """Those params without any of which the method would not be content."""
    known = _known(method, there_is)
    required = [name for name in known if name in method.params.json_schema().get("required", ())]
    optional = [name for name in known if name not in required]
    found: list[Params] = []
    for count in range(_TOGETHER + 1):
        for more in itertools.combinations(optional, count):
            chosen = {name: known[name] for name in (*required, *more)}
            if not any(each.keys() <= chosen.keys() for each in found) and fits(method, chosen):
                found.append(chosen)
    assert found, f"tests cannot make params of {method.name}"
    return found


def most(method: Method, there_is: Mapping[str, Any]) -> list[Params]:
    """The same with all the optional ones that go with them."""
    known = _known(method, there_is)
    found = []
    for chosen in least(method, there_is):
        for name in known:
            if name not in chosen and fits(method, wider := chosen | {name: known[name]}):
                chosen = wider
        found.append(_fresh(chosen))
    return found


def bad(method: Method, there_is: Mapping[str, Any]) -> Iterator[Params]:
    """Each param missing, and each in turn something that it should not be."""
    for params in most(method, there_is):
        for name, value in params.items():
            yield {other: params[other] for other in params if other != name}
            for spoil in SPOILT:
                yield _fresh(params) | {name: spoil(value, there_is)}
        for name in sorted({"cid", "nobody-knows-this"}.difference(params)):
            for spoil in SPOILT:
                yield _fresh(params) | {name: spoil("x", there_is)}


def _known(method: Method, there_is: Mapping[str, Any]) -> Params:
    """A value for each param: what there is under its name, or else something of its shape."""
    schema = method.params.json_schema()
    return {
        name: there_is[name] if name in there_is else _sample(each, schema)
        for name, each in schema.get("properties", {}).items()
    }


def fits(method: Method, params: Params) -> bool:
    try:
        method.params.validate_python(params, strict=True)
    except ValidationError:
        return False
    return True


def _fresh(params: Params) -> Params:
    return params | {"cid": new_id()} if "cid" in params else dict(params)


def _sample(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """Something of this shape."""
    if "$ref" in schema:
        return _sample(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "anyOf" in schema:
        return _sample(next(each for each in schema["anyOf"] if each.get("type") != "null"), root)
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "string":
            fitting = [text for text in _TEXTS if re.search(schema.get("pattern", ""), text)]
            shortest = schema.get("minLength", 0)
            return next((text for text in fitting if len(text) >= shortest), "a" * shortest)
        case "integer" | "number":
            return max(schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
        case "boolean":
            return True
        case "array":
            return [_sample(schema["items"], root) for _ in range(schema.get("minItems", 1))]
        case "object":
            inner = schema.get("properties", {})
            return {name: _sample(inner[name], root) for name in schema.get("required", ())}
    return "a"


def _always(value: Any) -> Bad:
    return lambda good, there_is: value


def _deep(levels: int, begin: bytes, end: bytes) -> Bad:
    return _always(orjson.Fragment(begin * levels + b"1" + end * levels))


def _name(text: str) -> Bad:
    """A conversation's name of what there is, or of what there is not."""
    return lambda good, there_is: text.format(**there_is)


def _text(change: Callable[[str], Any]) -> Bad:
    return lambda good, there_is: change(good if isinstance(good, str) else str(good))


def _long(size: int) -> Bad:
    """A text that nobody else has."""
    return lambda good, there_is: (str(there_is["me"]) * size)[:size]


def _many(count: int) -> Bad:
    return lambda good, there_is: (good if isinstance(good, list) and good else [good]) * count


_ODD_TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "‮⁦​\ufeff",
    "\uffff",
    "Å",
    "👩‍👩‍👧‍👦",
    "İı",
    "𝟘",
    "{}",
    "$gt",
    "*",
)
_NUMBERS = (
    0,
    -1,
    1.5,
    1e308,
    2**31,
    2**53,
    2**53 + 1,
    -(2**53),
    2**63 - 1,
    2**63,
    -(2**63),
    2**64 - 1,
)
SPOILT: list[Bad] = [
    *map(_always, (None, True, False, [], {}, [[]], [None], [""], [5], [{}], {"": ""}, {"a.b": 1})),
    *map(_always, ({"$gt": ""}, {"$ref": 1}, {"text": 5}, {"text": ""}, {"text": "x" * 40_000})),
    *map(_always, _NUMBERS),
    *(_always(orjson.Fragment(text)) for text in (b"1" + b"0" * 30, b"1e-400")),
    *map(_always, _ODD_TEXTS),
    *map(_long, (7, 8, 32, 33, 40, 41, 64, 65, 128, 129, 500, 501, 60_000)),
    *(_always(["a" * 8] * size) for size in (50, 51, 200, 201, 2500, 2501, 6000)),
    *(_always({f"k{n}": "v" for n in range(size)}) for size in (20, 21, 2000)),
    *(_deep(levels, b"[", b"]") for levels in (60, 62, 63, 64, 65, 66, 67, 250, 500, 1000)),
    *(_deep(levels, b'{"a":', b"}") for levels in (60, 61, 62, 63, 64, 65, 66, 260, 1000)),
    *map(_name, ("d:{other}:{me}", "d:{me}:{other}", "d:{me}:{me}", "d:{me}:{nobody}")),
    *map(_name, ("g:{nobody}", "u:{me}", "u:{other}", "{nobody}", "d:{me}", "a:202601")),
    *(_text(change) for change in (lambda it: it + "\n", str.upper, lambda it: " " + it)),
    *(_text(change) for change in (lambda it: it * 2, lambda it: it[:-1], lambda it: [it])),
    *map(_many, (2, 50, 51, 201, 2501)),
]  # fmt: skip
