"""Which function owns which method, from the functions' own annotations.

A function names in its annotations, separated by commas:

    stonechat.methods   its methods
    stonechat.public    those of them that need no signing in
    stonechat.events    the types of domain events it wants
    stonechat.before    other functions' methods whose calls it sees first; with
                        stonechat.before.policy, `refuse` (or `pass`) them where it fails, and
                        stonechat.before.budget, the milliseconds it has
    stonechat.lanes     how many batches may be under way

The gateway is asked every few seconds, and at once when somebody calls a method that is not in the
map: the function may have been deployed a moment ago. The last good map stays while the gateway
does not answer. A static file of the same shape (a JSON object of function → annotations) may take
its place.

Where two functions name the same method, the one that had it keeps it, else the first by name.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import structlog

logger = structlog.get_logger(__name__)

TOPIC = "stonechat"
RESERVED = "session."  # methods of the connector itself; functions answer some of them to it alone
CHANNELS = "session.channels"
_BUDGET = 300  # ms for a hook that names none
_LONGEST_BUDGET = 5000
_APART = 0.5  # seconds between two refreshes, whoever wants them
_WAITING = 1000  # callers that may wait for one


@dataclass(frozen=True, slots=True)
class Route:
    function: str
    public: bool
    lanes: int | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """A function that sees calls before their own function does. `refuses` is what becomes of them
    where it does not answer within `budget` seconds."""

    function: str
    refuses: bool
    budget: float


@dataclass(frozen=True, slots=True)
class Routes:
    """The methods clients may call, the functions that give a session its channels, the types of
    events that functions want, and the hooks of methods, in order."""

    methods: dict[str, Route] = field(default_factory=dict)
    channel_functions: tuple[str, ...] = ()
    events: dict[str, frozenset[str]] = field(default_factory=dict)
    hooks: dict[str, tuple[Hook, ...]] = field(default_factory=dict)


def build(functions: Mapping[str, Mapping[str, str]], before: Routes) -> Routes:
    """The routes that functions' annotations make."""
    methods: dict[str, Route] = {}
    channel_functions = []
    events = {}
    hooks: dict[str, tuple[Hook, ...]] = {}
    for function, annotations in sorted(functions.items()):
        if TOPIC not in annotations.get("topic", "").split(","):
            continue
        public = _names(annotations, "stonechat.public")
        lanes = annotations.get("stonechat.lanes", "")
        if wanted := _names(annotations, "stonechat.events"):
            events[function] = frozenset(wanted)
        for name in _names(annotations, "stonechat.before"):
            hooks[name] = (*hooks.get(name, ()), _hook(function, annotations))
        for name in _names(annotations, "stonechat.methods"):
            route = Route(function, name in public, int(lanes) if lanes.isdigit() else None)
            if name == CHANNELS:
                channel_functions.append(function)
            elif name.startswith(RESERVED):
                logger.warning("route_reserved", method=name, function=function)
            elif name not in methods:
                methods[name] = route
            else:
                owner = before.methods.get(name)
                keeps = owner is not None and owner.function == function
                logger.warning(
                    "route_claimed_twice",
                    method=name,
                    functions=[methods[name].function, function],
                )
                if keeps:
                    methods[name] = route
    return Routes(methods, tuple(channel_functions), events, hooks)


def _hook(function: str, annotations: Mapping[str, str]) -> Hook:
    budget = annotations.get("stonechat.before.budget", "")
    milliseconds = int(budget) if budget.isdigit() else _BUDGET
    return Hook(
        function,
        refuses=annotations.get("stonechat.before.policy") != "pass",
        budget=min(milliseconds, _LONGEST_BUDGET) / 1000,
    )


def _names(annotations: Mapping[str, str], key: str) -> list[str]:
    return [name.strip() for name in annotations.get(key, "").split(",") if name.strip()]


class RouteSource:
    """Keeps `routes` current. `loaded` is set once there is a map."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        gateway_url: str,
        credentials: aiohttp.BasicAuth | None,
        static: Path | None,
        interval: float,
    ) -> None:
        self.routes = Routes()
        self.loaded = asyncio.Event()
        self._http = http
        self._url = gateway_url.rstrip("/") + "/system/functions"
        self._credentials = credentials
        self._static = static
        self._interval = interval
        self._waiting: list[Callable[[], None]] = []
        self._wanted = asyncio.Event()

    def look_again(self, then: Callable[[], None]) -> None:
        """Calls `then` after a refresh that begins later than now, in the order of asking; at once
        where too many wait for one."""
        if len(self._waiting) >= _WAITING:
            then()
            return
        self._waiting.append(then)
        self._wanted.set()

    async def run(self) -> None:
        """Refreshes until cancelled."""
        while True:
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            try:
                found = build(await self._fetch(), self.routes)
                if found != self.routes:
                    logger.info("routes_changed", methods=sorted(found.methods))
                self.routes = found
                self.loaded.set()
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, TypeError) as error:
                logger.warning("routes_kept", error=str(error) or type(error).__name__)
            for then in waiting:
                then()
            await self._pause()

    async def _pause(self) -> None:
        if not self.loaded.is_set():
            await asyncio.sleep(0.2)
            return
        await asyncio.sleep(min(_APART, self._interval))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._interval - _APART)):
                await self._wanted.wait()

    async def _fetch(self) -> dict[str, dict[str, str]]:
        if self._static is not None:
            found: dict[str, dict[str, str]] = orjson.loads(self._static.read_bytes())
            return found
        async with self._http.get(
            self._url, auth=self._credentials, timeout=aiohttp.ClientTimeout(total=5)
        ) as response:
            response.raise_for_status()
            functions: list[dict[str, Any]] = orjson.loads(await response.read())
        return {each["name"]: each.get("annotations") or {} for each in functions}
