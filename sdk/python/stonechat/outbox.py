"""What was asked of the server and is not answered yet, in the order it was asked. No I/O."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from stonechat.errors import OutboxFull


@dataclass(slots=True)
class Command:
    """A call until it is answered. `repeat` is whether it may be sent again."""

    id: int
    method: str
    params: dict[str, Any]
    repeat: bool
    answered: "asyncio.Future[Any]"
    tries: int = 0

    def frame(self) -> bytes:
        return orjson.dumps(
            {"jsonrpc": "2.0", "id": self.id, "method": self.method, "params": self.params}
        )


@dataclass(slots=True)
class Outbox:
    """At most `limit` commands. Numbers are never used twice, so a late answer of an earlier
    connection cannot be taken for another's."""

    limit: int
    _commands: dict[int, Command] = field(default_factory=dict)
    _number: int = 0

    def put(self, method: str, params: dict[str, Any], *, repeat: bool) -> Command:
        """Raises `OutboxFull`."""
        if len(self._commands) >= self.limit:
            raise OutboxFull(f"{self.limit} calls are waiting")
        self._number += 1
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        command = Command(self._number, method, params, repeat, answered)
        self._commands[command.id] = command
        return command

    def get(self, number: int) -> Command | None:
        return self._commands.get(number)

    def remove(self, command: Command) -> None:
        self._commands.pop(command.id, None)

    def __iter__(self) -> Iterator[Command]:
        """The commands, oldest first; the outbox may change meanwhile."""
        return iter(list(self._commands.values()))

    def __len__(self) -> int:
        return len(self._commands)
