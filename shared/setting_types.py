"""The forms that settings have beyond numbers and words, and how a form is told to people.

No message repeats what was given: an address may carry a password.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

MOST = 2**31 - 1  # of any number: what is counted or waited for fits everywhere below it

_HOST = re.compile(r"[A-Za-z0-9_.:%\[\]-]+")


@dataclass(frozen=True)
class Expected:
    """What a text has to be."""

    text: str


def _url(text: str, schemes: Sequence[str]) -> Any:
    """The parts of an address. Raises `ValueError`."""
    if any(each.isspace() or not each.isprintable() for each in text):
        raise ValueError("has white space in it")
    if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError("has another scheme, or none")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("is no address") from None


def _located(parts: Any) -> None:
    """Raises `ValueError` where an address has no host, or a port that is none."""
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise ValueError("names no host")
    try:
        named = parts.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError("has a port that is none")


def _redis(text: str) -> str:
    parts = _url(text, ("redis", "rediss", "unix"))
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError("names no socket")
    else:
        _located(parts)
        if not re.fullmatch("/?|/[0-9]+", parts.path):
            raise ValueError("names a database that is no number")
    from redis.connection import parse_url  # of Redis' driver: only where an address was given

    try:
        parse_url(text)
    except ValueError:
        raise ValueError("has options that make no sense") from None
    return text


def _mongo(text: str) -> str:
    parts = _url(text, ("mongodb", "mongodb+srv"))
    if not parts.netloc.rpartition("@")[2]:
        raise ValueError("names no host")
    if parts.scheme == "mongodb":  # the other asks DNS, which is for later
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri

        try:
            hosts = parse_uri(text, warn=False)["nodelist"]
        except (PyMongoError, ValueError):
            raise ValueError("has hosts, a password or options that make no sense") from None
        if not all(_HOST.fullmatch(host) or host.startswith("/") for host, _ in hosts):
            raise ValueError("names no host")
    return text


def _http(text: str) -> str:
    parts = _url(text, ("http", "https"))
    _located(parts)
    if parts.query or parts.fragment:
        raise ValueError("has more than a path")
    return text


def networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Networks, separated by commas. Raises `ValueError`."""
    try:
        return [
            ipaddress.ip_network(each.strip(), strict=False)
            for each in text.split(",")
            if each.strip()
        ]
    except ValueError:
        raise ValueError("names what does not appear to be a network") from None


def _networks(text: str) -> str:
    networks(text)
    return text


def _matching(pattern: str, wrong: str) -> AfterValidator:
    def match(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(wrong)
        return text

    return AfterValidator(match)


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise ValueError("is none of them")
    return text.lower()


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("names no file")
    return path


LEVELS = ("debug", "info", "warning", "error", "critical")

RedisUrl = Annotated[
    str,
    AfterValidator(_redis),
    Expected("redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH"),
]
MongoUrl = Annotated[
    str,
    AfterValidator(_mongo),
    Expected("mongodb://HOST:PORT,…/?replicaSet=NAME, or mongodb+srv://HOST/"),
]
HttpUrl = Annotated[str, AfterValidator(_http), Expected("http://HOST:PORT or https://HOST")]
Networks = Annotated[
    str, AfterValidator(_networks), Expected("networks, separated by commas: 10.1.0.0/16,fd00::/8")
]
LogLevel = Annotated[str, AfterValidator(_level), Expected(f"one of {', '.join(LEVELS)}")]
Host = Annotated[
    str,
    _matching(r"[A-Za-z0-9_.:%-]+", "is no address"),
    Expected("an address or a host's name: 0.0.0.0"),
]
DatabaseName = Annotated[
    str,
    _matching(r"[A-Za-z0-9_-]{1,63}", "is no name of a database"),
    Expected("1 to 63 of A-Z, a-z, 0-9, _ and -"),
]
BucketName = Annotated[
    str,
    _matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "is no name of a bucket"),
    Expected("3 to 63 of a-z, 0-9, dots and dashes"),
]
FunctionName = Annotated[
    str,
    _matching(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?", "is no name of a function"),
    Expected("at most 63 of a-z, 0-9 and dashes"),
]
ExistingFile = Annotated[Path, AfterValidator(_file), Expected("the path of a file")]


def expected(field: FieldInfo) -> str:
    """What a setting has to be: `a whole number from 0 to 65535`. Raises `TypeError` where its form
    has no words yet."""
    annotation: Any = field.annotation
    metadata = [*field.metadata]
    if get_origin(annotation) in (Union, UnionType):  # a form, or None
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    for each in metadata:
        if isinstance(each, Expected):
            return each.text
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(get_args(annotation))}"
    if annotation is bool:
        return "true or false"
    if annotation in (int, float):
        number = "a whole number" if annotation is int else "a number"
        return f"{number} {_bounds(metadata)}"
    if annotation is Path:
        return "a path"
    raise TypeError(f"no words for {annotation}")


def _bounds(metadata: Sequence[Any]) -> str:
    low: Any = next((each for each in metadata if isinstance(each, Ge | Gt)), None)
    high: Any = next((each for each in metadata if isinstance(each, Le)), None)
    if isinstance(low, Gt):
        return f"above {low.gt}" if high is None else f"above {low.gt}, up to {high.le}"
    least = low.ge if low is not None else 0
    return f"of at least {least}" if high is None else f"from {least} to {high.le}"
