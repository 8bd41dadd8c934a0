"""The parts put together: what is done with a request, and how a connector starts and ends."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connector import limits, metrics
from connector.answers import Answer, refused
from connector.channel_sources import ChannelSources
from connector.devices import Devices
from connector.dispatcher import Dispatcher
from connector.door import Door
from connector.emitter import Emitter
from connector.failures import Failures
from connector.forwarder import Forwarder
from connector.hooks import Hooks
from connector.http_door import HttpDoor
from connector.inbox import Inbox
from connector.lanes import Bounds, Lanes, Pending
from connector.node import Node
from connector.opener import Opener
from connector.origin import Origin
from connector.peers import Peers
from connector.pulse import Pulse
from connector.readiness import Readiness
from connector.registry import Registry
from connector.resync import Resync
from connector.routes import RESERVED, Route, Routes, source
from connector.server import Server
from connector.session import SIGNED_OUT, Session
from connector.socket import Socket
from connector.subscriptions import Subscriptions
from connector.watch import Times, Verdict, Watch
from shared import keys, rpc, secretfiles
from shared.errors import CallError, Code, Reason
from shared.ids import new_id
from shared.rpc import Request
from shared.settings import Settings
from shared.signatures import Signer
from shared.tokens import Verifier

logger = structlog.get_logger(__name__)

_CANCEL_TRIES = 10
_OWN = frozenset({"session.open", "session.renew"})

Give = Callable[[Answer], None]


class Connector:
    """One node. `run` serves until `stop` is called, then drains."""

    def __init__(self, config: Settings, http: aiohttp.ClientSession, origin: Origin) -> None:
        """Raises `SecretMissingError`, and `ValueError` for a secret or setting that is none."""
        self.node_id = new_id()
        self._config = config
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        times = Times(config.open_timeout, config.ping_after, config.pong_timeout)
        self._watch = Watch(times, time.monotonic())
        self._routes = source(config, http)
        forwarder = self._forwarder = self._new_forwarder(http)
        self._failures = Failures()
        self._lanes = Lanes(Hooks(forwarder, self._known).forward)
        self._server = Server(
            limits.anonymous(config),
            self._dispatch,
            config,
            on_admit=self._watch.add,
            on_leave=self._leave,
            on_read=self._resume,
        )
        client, self._subscriptions = origin.client, Subscriptions()
        self._registry = Registry(client, self.node_id, self._subscriptions)
        self._emitter = Emitter(
            client,
            self._registry,
            stream_length=config.events_stream_length,
            unsent=config.events_unsent,
        )
        self._sources = ChannelSources(
            forwarder.forward, self._subscriptions, self._registry, self._known
        )
        self._devices = Devices(client, forwarder.forward, self._known)
        self._open_inbox(config, origin)
        self._dispatchers = [
            Dispatcher(stream, client, self.node_id, forwarder, self._known, self._start, config)
            for stream in (keys.EVENTS, keys.MESSAGE_EVENTS)
        ]
        self._open_doors(config, client)

    def _open_inbox(self, config: Settings, origin: Origin) -> None:
        pulse = Pulse(origin.client, self.node_id, config.node_ttl)
        resync = Resync(
            self._subscriptions,
            self._registry,
            self._devices,
            self._sources,
            self._emitter,
            self._close,
            config,
        )
        self._inbox = Inbox(
            origin,
            self.node_id,
            pulse,
            self._subscriptions,
            self._registry,
            resync,
            lambda: self._server.sockets,
            self._close,
            config,
        )
        origin.tell(self._inbox.lose)
        self._node = Node(
            origin,
            self.node_id,
            pulse,
            self._inbox,
            self._emitter,
            ttl=config.node_ttl,
            interval=config.heartbeat_interval,
        )

    def _open_doors(self, config: Settings, client: Redis) -> None:
        verifier = Verifier(secretfiles.read(config.secrets_dir, secretfiles.SIGNING_PUBLIC))
        who, signed_in = Peers(config.trusted_proxies), limits.signed_in(config)
        self._opener = Opener(
            verifier,
            self._devices,
            self._sources,
            self._subscriptions,
            self._registry,
            self._emitter,
            signed_in,
            batch=config.lane_batch,
            timeout=config.open_timeout,
        )
        self._http = HttpDoor(
            self._call,
            self._told,
            self._is_public,
            Readiness(client, self._missing, config).missing,
            self._server.count_frames,
            verifier,
            self._devices,
            who,
            signed_in,
            limits.anonymous_address(config),
            config,
        )
        self._door = Door(
            self._accept, self._http.protocol, who, config.frame_limit, config.visitors_limit
        )

    def _new_forwarder(self, http: aiohttp.ClientSession) -> Forwarder:
        config = self._config
        return Forwarder(
            http,
            config.gateway_url,
            self.node_id,
            Signer(secretfiles.read(config.secrets_dir, secretfiles.CONNECTOR_KEY)),
            self._known,
            timeout=config.call_timeout,
            retry_for=config.call_retry_for,
            answer_limit=config.answer_limit,
        )

    def stop(self) -> None:
        """Begins to drain. Safe to call from a signal handler, and twice."""
        self._stopping.set()

    async def run(self) -> None:
        """Serves until stopped. Raises `OSError` where the port is taken."""
        config = self._config
        await self._door.open(config.connector_host, config.connector_port)
        for work in (
            self._registry.run(),
            self._inbox.run(),
            self._node.run(),
            self._routes.run(),
            self._emit(),
            *(self._dispatch_events(each) for each in self._dispatchers),
            *(each.tend() for each in self._dispatchers),
            self._look_after(),
        ):
            self._start(work)
        logger.info("connector_started", node=self.node_id, port=config.connector_port)
        await self._stopping.wait()
        await self._drain()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work that has a last resort of its own: should it break all the same, the connector
        ends, and its clients go elsewhere."""

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.remove(task)
            if not task.cancelled() and task.exception() is not None:
                logger.error("task_broke", exc_info=task.exception())
                self.stop()

        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(ended)
        self._tasks.append(task)

    async def _drain(self) -> None:
        """Answers what was accepted, then sends everybody elsewhere."""
        logger.info("connector_draining", sessions=len(self._server.sockets))
        self._door.close()
        await asyncio.gather(
            self._server.close_all("draining", self._config.drain_timeout),
            self._http.close(self._config.drain_timeout),
        )
        await _cancelled(self._tasks)
        try:
            async with asyncio.timeout(5):
                await self._node.leave()
                await self._emitter.flush()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("leave_failed", error=error)
        logger.info("connector_stopped", node=self.node_id)

    def _known(self) -> Routes:
        return self._routes.routes

    def _is_public(self, method: str) -> bool:
        route = self._known().methods.get(method)
        return route is not None and route.public

    def _serves(self) -> bool:
        return self._routes.loaded.is_set() and not self._stopping.is_set()

    def _missing(self) -> Iterator[str]:
        if self._stopping.is_set():
            yield "it is being stopped"
        if not self._routes.loaded.is_set():
            yield "no routes were loaded yet: the gateway does not list its functions"
        if not self._inbox.reads:
            yield "the bus is not read"

    def _accept(self, address: str, agent: str) -> Socket | None:
        if not (self._serves() and self._server.has_room()):
            return None
        return Socket(self._server, address, agent)

    def _dispatch(self, socket: Socket, request: Request, size: int) -> None:
        """Hands a socket's request to whom it is for; the socket gets one answer."""

        def answer(found: Answer) -> None:
            socket.answer(rpc.answer(request.id, self._told(found, request)), size)

        route = self._routes.routes.methods.get(request.method)
        try:
            if route is not None:
                self._forward(route, socket.session, request, size, answer)
            elif request.method == "session.open":
                self._open(socket, request, answer)
            elif request.method == "session.renew":
                self._opener.renew(socket.session, request, answer)
            else:
                self._look_again(socket.session, request, size, answer, socket)
        except Exception as failure:
            self._refuse(failure, request, answer, socket)

    def _name(self, request: Request) -> str:
        """The method, where it is one: anything else is what a client wrote."""
        method = request.method
        return method if method in self._routes.routes.methods or method in _OWN else ""

    def _told(self, answer: Answer, request: Request) -> Answer:
        """An answer as its client gets it."""
        return self._failures.named(answer, request.request_id, self._name(request))

    def _call(self, session: Session, request: Request, size: int, answer: Give) -> None:
        """The same for a caller over HTTP."""
        route = self._routes.routes.methods.get(request.method)
        try:
            if route is not None:
                self._forward(route, session, request, size, answer)
            else:
                self._look_again(session, request, size, answer, None)
        except Exception as failure:
            self._refuse(failure, request, answer, None)

    def _look_again(
        self, session: Session, request: Request, size: int, answer: Give, socket: Socket | None
    ) -> None:
        """The function may have been deployed a moment ago."""

        def again() -> None:
            route = self._routes.routes.methods.get(request.method)
            try:
                if route is None:
                    raise CallError(Reason.UNKNOWN_METHOD)
                self._forward(route, session, request, size, answer)
            except Exception as failure:
                self._refuse(failure, request, answer, socket)

        if request.method.startswith(RESERVED):
            raise CallError(Reason.UNKNOWN_METHOD)
        self._routes.look_again(again)

    def _forward(
        self, route: Route, session: Session, request: Request, size: int, answer: Give
    ) -> None:
        if not route.public and (session.uid is None or session.opening):
            raise CallError(Reason.UNAUTHENTICATED)
        lane = self._lanes.of(route, self._bounds)
        method, params, id_ = request.method, request.params, request.request_id
        call = Pending(method, params, size, session, answer, session.caller, id_)
        if not lane.put(call):
            raise CallError(Reason.OVERLOADED, retry_after=1)

    def _refuse(
        self, failure: Exception, request: Request, answer: Give, socket: Socket | None
    ) -> None:
        """The last resort of a call: whatever went wrong, its caller is told."""
        if isinstance(failure, CallError):
            why = failure
        else:
            logger.error("call_broke", request=request.request_id, exc_info=failure)
            why = CallError(Reason.INTERNAL)
        metrics.REFUSED.labels(why.reason).inc()
        answer(refused(why))
        if socket is not None and why.code not in (Code.TRY_AGAIN, Code.INTERNAL):
            socket.refused()

    def _open(self, socket: Socket, request: Request, answer: Give) -> None:
        def opened(found: Answer) -> None:
            answer(found)
            self._server.opens(socket, opens=socket.session.opened)
            socket.go_on()

        self._opener.open(socket.session, request, opened)
        self._server.opens(socket, opens=True)

    def _bounds(self, route: Route) -> Bounds:
        config = self._config
        return Bounds(
            batches=route.lanes or config.lanes,
            late_batches=max(config.lane_late_batches, route.lanes or config.lanes),
            patience=config.lane_patience,
            batch=min(route.batch or config.lane_batch, config.lane_batch),
            batch_bytes=config.lane_batch_bytes,
            share=route.share or config.lane_share,
            waiting=config.lane_queue,
            waiting_bytes=config.lane_queue_bytes,
        )

    def _leave(self, session: Session) -> None:
        if session.opened and session.channels:
            self._emitter.closed(session)
        self._sources.forget(session)
        self._subscriptions.drop(session)
        self._registry.changed()

    def _resume(self, session: Session) -> None:
        for person in {session, session.person}:
            self._lanes.resume(person)

    def _close(self, session: Session, code: int, why: str) -> None:
        socket = self._server.sockets.get(session)
        if socket is not None:
            socket.close(code, why)

    async def _emit(self) -> None:
        for dispatcher in self._dispatchers:
            await dispatcher.ready.wait()
        await self._emitter.run()

    async def _dispatch_events(self, dispatcher: Dispatcher) -> None:
        await self._routes.loaded.wait()
        await dispatcher.run()

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                self._look()
            except Exception:  # the last resort: the next look is a second away
                logger.exception("look_broke")

    def _look(self) -> None:
        sockets = self._server.sockets
        for session, verdict in self._watch.due(sockets, time.monotonic(), time.time()):
            try:
                _look_at(sockets[session], verdict)
            except Exception:  # one client's trouble
                logger.exception("look_broke")
        self._server.look_at_slow_ones()


def _look_at(socket: Socket, verdict: Verdict) -> None:
    match verdict:
        case "unopened":
            socket.close(SIGNED_OUT, "no session was opened")
        case "expired":
            socket.close(SIGNED_OUT, "token expired")
        case "ping":
            socket.ping()
        case "dead":
            socket.drop()


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels until all have ended: a library may take a cancellation for a lost connection."""
    pending = set(tasks)
    for _ in range(_CANCEL_TRIES):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=0.2)
