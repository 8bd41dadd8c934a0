"""What is measured. A peer is a server with people in it; a line is a connection of one of them.

A new peer is a module with a class of this shape; `scenarios` say what they ask of it, and leave it
out where it raises `NotOffered`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from benchmarks.usage import Processes

TEXT = "x" * 64  # the message of all benchmarks


class NotOffered(Exception):
    """The peer cannot do this, or is not here; why."""


class Line(Protocol):
    """One signed-in connection. `heard` is called once for each message of somebody else that
    arrives, `acknowledged` once for each of its own that the server confirmed, where it does."""

    heard: Callable[[], None]
    acknowledged: Callable[[], None]

    def send(self, to: str) -> None:
        """Sends the benchmark's text to an address: a person's or a room's."""

    def only_hear(self) -> None:
        """Nothing but `heard` is asked of it from now on: what costs the generator least."""

    def cut(self) -> None:
        """Ends the connection."""


L = TypeVar("L", bound=Line)


class Peer(Protocol[L]):
    name: str
    confirms: bool  # whether lines are told `acknowledged`

    async def start(self) -> None:
        """Starts the server. Raises `NotOffered`."""

    async def stop(self) -> None: ...

    async def people(self, count: int) -> list[str]:
        """Addresses of so many people, who exist from now on."""

    async def line(self, person: str, node: int = 0) -> L:
        """Signs in; messages that come from now on are heard."""

    async def caught_up(self, line: L, missed: int) -> None:
        """Returns when the line has the messages that came while its person was away."""

    async def room(self, people: Sequence[str]) -> str:
        """The address of a room with these members."""

    async def join(self, line: L, room: str) -> None:
        """What a line does so that it hears a room. Nothing, where membership is enough."""

    def processes(self) -> Processes:
        """Process ids by name. Those of `stores()` are the databases."""

    def stores(self) -> frozenset[str]: ...


def fronts(names: Iterable[str]) -> list[str]:
    """Of a peer's processes, those that hold the sockets."""
    return [name for name in names if name.startswith(("connector", "ejabberd"))]


def nothing() -> None:
    """What a line calls where nobody listens."""
