"""Which function owns which method, from the functions' own annotations.

A function names in its annotations, separated by commas:

    stonechat.methods   its methods
    stonechat.public    those of them that need no signing in
    stonechat.reads     those of them that change nothing, and may be repeated
    stonechat.events    the types of domain events it wants
    stonechat.before    other functions' methods whose calls it sees first; with
                        stonechat.before.policy, `refuse` (or `pass`) them where it fails, and
                        stonechat.before.budget, the milliseconds it has
    stonechat.channels.policy   of a function that has `session.channels`: `pass` sessions where it
                        fails (they are opened without its channels, it is asked again, and
                        `session.resync` follows), or `refuse` them; with
                        stonechat.channels.budget, the milliseconds one that passes has
    stonechat.lanes     how many batches may be under way
    stonechat.batch     how many calls a batch has at most
    stonechat.share     how many of them may be one person's

The nouns of the functions we ship are theirs: nobody else gets a method that begins with one. Of
all other methods, the function that had one keeps it where two name it, else it is the first's by
name.

The gateway is asked every few seconds, and at once when somebody calls a method that is not in the
map: the function may have been deployed a moment ago. The last good map stays while the gateway
does not answer, or answers nonsense; a function whose annotations are nonsense is left out alone.
A static file of the same shape (a JSON object of function → annotations) may take its place.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import structlog

from shared import secretfiles
from shared.settings import Settings

logger = structlog.get_logger(__name__)

TOPIC = "stonechat"
RESERVED = "session."  # methods of the connector itself; functions answer some of them to it alone
CHANNELS = "session.channels"
CHECK = "session.check"  # whether a device is still signed in
_CHECKER = "auth"
_ANSWER_BYTES = 8 * 1024 * 1024  # of the gateway's list of functions
_APART = 0.5  # seconds between two refreshes, whoever wants them
_WAITING = 1000  # callers that may wait for one
_METHOD = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+")
_METHOD_LENGTH = 100
_NAMES = 20  # of methods that came or went, in a log line
_FUNCTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# The functions that we ship, now or later, by the nouns that their methods begin with.
_OWNERS: dict[str, frozenset[str]] = {
    noun: frozenset(owners.split())
    for noun, owners in {
        "message": "send sync",
        "hook": "send",
        "conversation": "sync",
        "thread": "sync",
        "draft": "sync",
        "group": "group",
        "invite": "group",
        "auth": "auth",
        "account": "auth",
        "role": "admin",
        "policy": "admin",
        "admin": "admin",
        "report": "admin",
        "bot": "admin",
        "audit": "audit",
        "hold": "audit",
        "retention": "audit",
        "export": "audit",
        "user": "user",
        "friend": "friend",
        "presence": "presence",
        "search": "search",
        "file": "file",
        "call": "call",
        "push": "push",
    }.items()
}


class NoRoutesError(ValueError):
    """What a source of routes says makes no sense. The message says why."""

    plain = True


@dataclass(frozen=True, slots=True)
class Route:
    """Where a method's calls go. `lanes`, `batch` and `share` bound the batches of its function:
    how many at once, calls in one, and of these one person's."""

    function: str
    public: bool
    lanes: int | None = None
    batch: int | None = None
    share: int | None = None


@dataclass(frozen=True, slots=True)
class Hook:
    """A function that sees calls before their own function does. `refuses` is what becomes of them
    where it does not answer within `budget` seconds."""

    function: str
    refuses: bool
    budget: float


@dataclass(frozen=True, slots=True)
class ChannelSource:
    """A function that gives sessions their channels. `refuses` is what becomes of a session where
    it does not answer within `budget` seconds."""

    function: str
    refuses: bool
    budget: float


@dataclass(frozen=True, slots=True)
class Routes:
    """The methods clients may call, those of them that only read, the functions that give a session
    its channels, the types of events that functions want, and the hooks of methods, in order."""

    methods: dict[str, Route] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    channel_sources: tuple[ChannelSource, ...] = ()
    checker: str | None = None  # the function that knows who is signed in
    events: dict[str, frozenset[str]] = field(default_factory=dict)
    hooks: dict[str, tuple[Hook, ...]] = field(default_factory=dict)

    @property
    def functions(self) -> set[str]:
        """All that are called."""
        of_hooks = {hook.function for hooks in self.hooks.values() for hook in hooks}
        of_channels = {source.function for source in self.channel_sources}
        of_methods = {route.function for route in self.methods.values()}
        return of_methods | of_channels | of_hooks | set(self.events)


def build(functions: Mapping[str, Mapping[str, str]], before: Routes) -> Routes:
    """The routes that functions' annotations make."""
    methods: dict[str, Route] = {}
    reads: set[str] = set()
    channel_sources = []
    checker = None
    events = {}
    hooks: dict[str, tuple[Hook, ...]] = {}
    for function, annotations in sorted(functions.items()):
        if TOPIC not in annotations.get("topic", "").split(","):
            continue
        if wanted := _names(annotations, "stonechat.events"):
            events[function] = frozenset(wanted)
        for name in _names(annotations, "stonechat.before"):
            hooks[name] = (*hooks.get(name, ()), _hook(function, annotations))
        for name in _names(annotations, "stonechat.methods"):
            if name == CHANNELS:
                channel_sources.append(_channel_source(function, annotations))
            elif name == CHECK and function == _CHECKER:
                checker = function
            elif _may_have(function, name):
                route = _route(function, name, annotations)
                if name in methods:
                    route = _owner(name, methods[name], route, before)
                methods[name] = route
        own = (name for name, route in methods.items() if route.function == function)
        reads |= {CHANNELS, *own}.intersection(_names(annotations, "stonechat.reads"))
    return Routes(methods, frozenset(reads), tuple(channel_sources), checker, events, hooks)


def annotations_of(functions: Any) -> dict[str, dict[str, str]]:
    """What a source of routes says, function by function. Raises `NoRoutesError` where it says
    no such thing; a function whose annotations are none is left out, and said so."""
    if not isinstance(functions, dict):
        raise NoRoutesError(f"no functions but {type(functions).__name__}")
    found: dict[str, dict[str, str]] = {}
    for name, annotations in functions.items():
        annotations = {} if annotations is None else annotations
        if (
            isinstance(annotations, dict)
            and all(isinstance(value, str) for value in annotations.values())
            and _FUNCTION.fullmatch(name)
        ):
            found[name] = annotations
        else:
            logger.warning("route_makes_no_sense", function=name[:100])
    if functions and not found:
        raise NoRoutesError("no function makes sense")
    return found


def _summary(before: Routes, now: Routes) -> dict[str, Any]:
    """How many there are; and of a map that there was before, what came and went."""
    told: dict[str, Any] = {"functions": len(now.functions), "methods": len(now.methods)}
    if before.methods:
        added, removed = now.methods.keys() - before.methods, before.methods.keys() - now.methods
        told |= {
            name: sorted(found)[:_NAMES] + ["…"] * (len(found) > _NAMES)
            for name, found in (("added", added), ("removed", removed))
            if found
        }
    return told


def _may_have(function: str, method: str) -> bool:
    if len(method) > _METHOD_LENGTH or not _METHOD.fullmatch(method):
        logger.warning("route_makes_no_sense", method=method[:_METHOD_LENGTH], function=function)
        return False
    noun = method.split(".")[0]
    if method.startswith(RESERVED) or function not in _OWNERS.get(noun, (function,)):
        logger.warning("route_reserved", method=method, function=function)
        return False
    return True


def _route(function: str, method: str, annotations: Mapping[str, str]) -> Route:
    return Route(
        function,
        method in _names(annotations, "stonechat.public"),
        _number(annotations, "stonechat.lanes", 64),
        _number(annotations, "stonechat.batch", 1000),
        _number(annotations, "stonechat.share", 1000),
    )


def _owner(method: str, first: Route, second: Route, before: Routes) -> Route:
    """Whose a method is that two functions name."""
    functions = [first.function, second.function]
    logger.warning("route_claimed_twice", method=method, functions=functions)
    owner = before.methods.get(method)
    return second if owner is not None and owner.function == second.function else first


def _hook(function: str, annotations: Mapping[str, str]) -> Hook:
    budget = _number(annotations, "stonechat.before.budget", 5000) or 300
    refuses = annotations.get("stonechat.before.policy") != "pass"
    return Hook(function, refuses, budget / 1000)


def _channel_source(function: str, annotations: Mapping[str, str]) -> ChannelSource:
    budget = _number(annotations, "stonechat.channels.budget", 5000) or 1000
    refuses = annotations.get("stonechat.channels.policy") == "refuse"
    return ChannelSource(function, refuses, budget / 1000)


def _number(annotations: Mapping[str, str], key: str, most: int) -> int | None:
    """A number from 1 to `most`, a larger one as `most`; None for anything else."""
    text = annotations.get(key, "").strip()
    if not re.fullmatch("[0-9]{1,9}", text):
        return None
    return min(int(text), most) or None


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
                    logger.info("routes_changed", **_summary(self.routes, found))
                self.routes = found
                self.loaded.set()
            except Exception as error:  # whatever was answered, the last good map is kept
                logger.warning("routes_kept", error=error)
            for then in waiting:
                try:
                    then()
                except Exception:  # one caller's trouble
                    logger.exception("call_broke")
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
            return annotations_of(orjson.loads(self._static.read_bytes()))
        async with self._http.get(
            self._url,
            auth=self._credentials,
            timeout=aiohttp.ClientTimeout(total=5),
            headers={"Accept-Encoding": "identity"},
        ) as response:
            response.raise_for_status()
            listed = orjson.loads(await _text(response))
        if not isinstance(listed, list):
            raise NoRoutesError("the gateway lists no functions")
        functions = [each for each in listed if isinstance(each, dict)]
        return annotations_of(
            {str(each.get("name")): each.get("annotations") for each in functions}
        )


async def _text(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for part in response.content.iter_any():
        found += part
        if len(found) > _ANSWER_BYTES:
            response.close()
            raise NoRoutesError("the gateway's list has no end")
    return bytes(found)


def source(config: Settings, http: aiohttp.ClientSession) -> RouteSource:
    """As the settings say. Raises `SecretMissingError`."""
    credentials = None
    if config.routes_file is None:
        credentials = aiohttp.BasicAuth(
            secretfiles.read(config.secrets_dir, secretfiles.GATEWAY_USER),
            secretfiles.read(config.secrets_dir, secretfiles.GATEWAY_PASSWORD),
        )
    return RouteSource(
        http, config.gateway_url, credentials, config.routes_file, config.routes_interval
    )
