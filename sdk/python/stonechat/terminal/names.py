"""Names that a shell completes: usernames of friends and names of groups, kept in a file beside the
account's state, because a completion has no time to ask the server."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import typer

from stonechat.terminal import clean, files


class Names:
    """The names that an account has met. Whatever lists people or groups puts them here."""

    def __init__(self, folder: Path, username: str) -> None:
        self._file = files.names(folder, username)

    def get(self, kind: str) -> list[str]:
        """Names of `people` or `groups`; none where there is no file that can be read."""
        found = self._read().get(kind, [])
        return [name for name in found if isinstance(name, str)]

    def put(self, kind: str, names: Iterable[str]) -> None:
        """Replaces the names of this kind."""
        known = self._read() | {kind: sorted({clean.flat(name) for name in names})}
        files.write(self._file, json.dumps(known))

    def add(self, kind: str, name: str) -> None:
        if name not in self.get(kind):
            self.put(kind, [*self.get(kind), name])

    def _read(self) -> dict[str, list[str]]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def complete_people(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Usernames that begin like that."""
    return _complete("people", ctx, incomplete)


def complete_groups(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Names of groups that begin like that."""
    return _complete("groups", ctx, incomplete)


def _complete(kind: str, ctx: typer.Context, incomplete: str) -> Iterator[str]:
    # Before an option that has no value yet, arguments are not parsed.
    name = ctx.params.get("name") or next(iter(ctx.args), None)
    with suppress(ValueError):
        username = files.username(name or "")
        known = Names(ctx.params.get("state") or files.default_folder(), username).get(kind)
        yield from (each for each in known if each.startswith(incomplete))
