"""What was asked of the server and is not answered yet, in the order it was asked. No I/O.

A command is ready, flying (sent on the present connection) or held (its lane waits before it is
tried again). A lane is what order matters in: one method in one conversation. While a lane is held
nothing more of it is sent, so only what was flying already can overtake the command that failed.
"""

from asyncio import Future
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson

from stonechat import patience
from stonechat.errors import OutboxFull
from stonechat.pace import Pace

Lane = tuple[str, str]


@dataclass(slots=True, eq=False)
class Command:
    """A call until it is answered. `answered` is None where nobody waits: it was kept from an
    earlier process."""

    id: int
    method: str
    params: dict[str, Any]
    answered: "Future[Any] | None" = None
    tries: int = 0
    sent: float = 0.0  # when it was sent last
    frame: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Raises `TypeError` where the params are no JSON."""
        request = {"jsonrpc": "2.0", "id": self.id, "method": self.method, "params": self.params}
        try:
            self.frame = orjson.dumps(request)
        except TypeError as error:
            raise TypeError(f"the params of {self.method} are no JSON: {error}") from None

    @property
    def cid(self) -> str | None:
        cid = self.params.get("cid")
        return cid if isinstance(cid, str) else None

    def lane(self, uid: str) -> Lane:
        """The method and the conversation, in whatever way its caller, `uid`, has named it."""
        conv, to = self.params.get("conv"), self.params.get("to")
        if not conv and isinstance(to, str):
            conv = "d:" + ":".join(sorted((uid, to)))
        return self.method, str(conv or "")


class Outbox:
    """Numbers of commands are never used twice, so that a late answer of an earlier connection is
    not taken for another's. Times are monotonic seconds."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._commands: dict[int, Command] = {}
        self._ready: deque[Command] = deque()
        self._flying: dict[int, Command] = {}
        self._held: dict[Lane, float] = {}  # until when
        self._waiting: dict[Lane, list[Command]] = {}  # of held lanes
        self._window = 0
        self._uid = ""
        self._pace: Pace | None = None
        self._heard = 0.0  # when an answer came last

    def __len__(self) -> int:
        return len(self._commands)

    def put(self, command: Command, *, bounded: bool = True) -> None:
        """Raises `OutboxFull`, unless the command is one that an earlier process left."""
        if bounded and len(self._commands) >= self._limit:
            raise OutboxFull(f"{self._limit} calls are waiting")
        self._commands[command.id] = command
        self._ready.append(command)

    def connected(self, window: int, pace: Pace, uid: str = "") -> None:
        """There is a session of this person: at most `window` commands fly at once, at this
        pace."""
        self._window, self._pace, self._uid = window, pace, uid

    def disconnected(self) -> None:
        """What was flying is ready again, in its old place."""
        self._window, self._pace = 0, None
        self._back([*self._flying.values()])
        self._flying.clear()

    def take(self, now: float) -> list[Command]:
        """What is to be sent now, in order."""
        taken: list[Command] = []
        if self._pace is None:
            return taken
        self._release(now)
        while self._ready and len(self._flying) < self._window:
            command = self._ready[0]
            if command.id not in self._commands:
                self._ready.popleft()
            elif self._held and command.lane(self._uid) in self._held:
                self._waiting[command.lane(self._uid)].append(self._ready.popleft())
            elif self._pace.take(now):
                self._flying[command.id] = self._ready.popleft()
                command.sent = now
                taken.append(command)
            else:
                break
        return taken

    def wait(self, now: float) -> float | None:
        """Seconds until `take` may give more; None where only an answer or a connection can tell.
        Asked after `take`."""
        if self._pace is None:
            return None
        waits = [until - now for until in self._held.values()]
        if self._flying:
            waits.append(self._patience() - now)
        if self._ready and len(self._flying) < self._window:
            waits.append(self._pace.wait(now))
        return max(0.0, min(waits)) if waits else None

    def overdue(self, now: float) -> bool:
        """Whether a call flies for so long that its answer will not come. While others' come, a
        slow line may be all that keeps it."""
        return bool(self._flying) and now > self._patience()

    def heard(self, now: float) -> None:
        """An answer came."""
        self._heard = now

    def get(self, number: Any) -> Command | None:
        """The call that has this number, which may be anything that an answer has."""
        return self._commands.get(number) if type(number) is int else None

    def larger(self, size: int) -> list[Command]:
        """Those whose frames have more bytes."""
        return [each for each in self._commands.values() if len(each.frame) > size]

    def remove(self, command: Command) -> None:
        """It is answered, or not wanted any more."""
        self._commands.pop(command.id, None)
        self._flying.pop(command.id, None)

    def hold(self, command: Command, until: float) -> None:
        """It failed and is tried again then, before everything later of its lane."""
        self._flying.pop(command.id, None)
        lane = command.lane(self._uid)
        self._held[lane] = max(until, self._held.get(lane, until))
        self._waiting.setdefault(lane, []).append(command)
        command.tries += 1

    def again(self, command: Command) -> None:
        """It is ready again, in its old place."""
        self._flying.pop(command.id, None)
        self._back([command])
        command.tries += 1

    def drain(self) -> list[Command]:
        """Everything that is not answered, oldest first; nothing is left."""
        commands = sorted(self._commands.values(), key=_number)
        self._commands.clear()
        return commands

    def _patience(self) -> float:
        """Until when the oldest flying call may be answered."""
        sent = self._oldest().sent
        return min(max(sent, self._heard) + patience.ANSWER, sent + patience.LONGEST_ANSWER)

    def _oldest(self) -> Command:
        return next(iter(self._flying.values()))

    def _release(self, now: float) -> None:
        for lane in [lane for lane, until in self._held.items() if until <= now]:
            del self._held[lane]
            self._back(self._waiting.pop(lane))

    def _back(self, commands: list[Command]) -> None:
        if commands:
            self._ready = deque(sorted([*commands, *self._ready], key=_number))


def _number(command: Command) -> int:
    return command.id
