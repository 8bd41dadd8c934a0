"""Events that a function could not handle, put aside: look at them, have them handled after all.

    python -m shared.deadletters                        how many there are, by function
    python -m shared.deadletters list FUNCTION          each, a JSON object a line
    python -m shared.deadletters replay FUNCTION [ID…]  gives these, or all, to the function again
    python -m shared.deadletters drop FUNCTION [ID…]    forgets these, or all

A replayed event goes to that function alone. Where this process dies between the two steps of a
replay, the event comes twice, which a subscriber copes with.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis.exceptions import RedisError

from shared import events, keys, startup
from shared.events import Happened
from shared.settings import settings
from shared.stores import redis_client

_PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event and what the last attempt failed with. `id` is its place in the list."""

    id: str
    event: Happened
    error: str


def counts() -> dict[str, int]:
    """How many events are put aside, by function. Raises `redis.RedisError`, as all here do."""
    prefix = keys.events_dead("")
    names = sorted(key.decode() for key in redis_client().scan_iter(match=f"{prefix}*"))
    found = {name.removeprefix(prefix): int(redis_client().xlen(name)) for name in names}
    return {function: count for function, count in found.items() if count}


def letters(function: str) -> Iterator[DeadLetter]:
    """The function's dead letters, the oldest first."""
    start = "-"
    while True:
        page: Any = redis_client().xrange(keys.events_dead(function), start, count=_PAGE)
        for place, fields in page:
            for event in events.parse(fields):
                yield DeadLetter(place.decode(), event, fields.get(b"error", b"").decode())
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"


def replay(function: str, ids: Sequence[str] | None = None) -> int:
    """Gives the function these again, or all there are now; how many."""
    found = [each for each in letters(function) if ids is None or each.id in ids]
    for start in range(0, len(found), _PAGE):
        page = found[start : start + _PAGE]
        with redis_client().pipeline(transaction=True) as pipe:
            for each in page:
                pipe.xadd(
                    events.stream(each.event.type),
                    events.fields([each.event], only=function),
                    maxlen=settings().events_stream_length,
                    approximate=True,
                )
            pipe.xdel(keys.events_dead(function), *(each.id for each in page))
            pipe.execute()
    return len(found)


def drop(function: str, ids: Sequence[str] | None = None) -> int:
    """Forgets these, or all there are now; how many."""
    found = [each.id for each in letters(function) if ids is None or each.id in ids]
    for start in range(0, len(found), _PAGE):
        redis_client().xdel(keys.events_dead(function), *found[start : start + _PAGE])
    return len(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.deadletters")
    commands = parser.add_subparsers(dest="command")
    for name in ("list", "replay", "drop"):
        command = commands.add_parser(name)
        command.add_argument("function")
        if name != "list":
            command.add_argument("ids", nargs="*", metavar="ID")
    given = parser.parse_args()
    startup.require_of_command()
    try:
        _do(given)
    except (RedisError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _do(given: argparse.Namespace) -> None:
    match given.command:
        case "list":
            for each in letters(given.function):
                print(orjson.dumps(asdict(each)).decode())
        case "replay":
            print(replay(given.function, given.ids or None), "replayed")
        case "drop":
            print(drop(given.function, given.ids or None), "dropped")
        case _:
            for function, count in counts().items():
                print(function, count)


if __name__ == "__main__":
    sys.exit(main())
