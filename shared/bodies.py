"""What the entries that people send may contain, by type."""

from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from shared.errors import CallError, Reason, invalid_params
from shared.params import Params, invalid_model

FileRef = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pixels = Annotated[int, Field(gt=0, le=100_000)]
Seconds = Annotated[float, Field(ge=0, le=7 * 86400)]


class Body(Params):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Text(Body):
    text: str = Field(min_length=1)


class Image(Body):
    file: FileRef
    width: Pixels
    height: Pixels
    thumb: FileRef | None = None


class Audio(Body):
    file: FileRef
    duration: Seconds


class Video(Body):
    file: FileRef
    duration: Seconds
    width: Pixels
    height: Pixels
    thumb: FileRef | None = None


class File(Body):
    file: FileRef
    name: str = Field(min_length=1, max_length=255)
    size: int = Field(ge=0)


class Location(Body):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    title: str | None = Field(None, max_length=200)


class Card(Body):
    title: str = Field(min_length=1, max_length=200)
    text: str | None = Field(None, max_length=4000)
    url: str | None = Field(None, max_length=2000, pattern=r"^https?://")
    image: str | None = Field(None, max_length=2000)


_BODIES: dict[str, TypeAdapter[Any]] = {
    "text": TypeAdapter(Text),
    "image": TypeAdapter(Image),
    "audio": TypeAdapter(Audio),
    "video": TypeAdapter(Video),
    "file": TypeAdapter(File),
    "location": TypeAdapter(Location),
    "card": TypeAdapter(Card),
    "custom": TypeAdapter(dict[str, Any]),
}


TYPES = frozenset(_BODIES)


def check(type_: str, body: dict[str, Any], limit: int) -> None:
    """Raises `invalid_params` where the body does not fit the type, and `too_large` where it is
    more than `limit` bytes as JSON."""
    adapter = _BODIES.get(type_)
    if adapter is None:
        raise invalid_params(["type"], f"one of {', '.join(_BODIES)}", "literal_error")
    try:
        adapter.validate_python(body, strict=True)
    except ValidationError as invalid:
        raise invalid_model(invalid, "body") from None
    if len(orjson.dumps(body)) > limit:
        raise CallError(Reason.TOO_LARGE, f"a body is at most {limit} bytes")
