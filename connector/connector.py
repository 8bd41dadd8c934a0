"""The parts put together: what is done with a request, and how a connector starts and ends."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import aiohttp
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connector import metrics
from connector.answers import Answer, refused
from connector.dispatcher import Dispatcher
from connector.emitter import Emitter
from connector.forwarder import Forwarder
from connector.hooks import Hooks
from connector.inbox import Inbox
from connector.lanes import Lane, Lanes, Pending
from connector.node import Node
from connector.opener import Opener
from connector.registry import Registry
from connector.routes import RESERVED, RouteSource
from connector.server import Server, Socket
from connector.session import SIGNED_OUT, Limits, Session
from connector.subscriptions import Subscriptions
from connector.watch import Times, Watch
from shared import keys, rpc, secretfiles
from shared.errors import CallError, Reason
from shared.ids import new_id
from shared.rpc import Request
from shared.settings import Settings
from shared.signatures import Signer
from shared.tokens import Verifier

logger = structlog.get_logger(__name__)

_CANCEL_TRIES = 10


class Connector:
    """One node. `run` serves until `stop` is called, then drains."""

    def __init__(self, config: Settings, http: aiohttp.ClientSession, client: Redis) -> None:
        self.node_id = new_id()
        self._config = config
        self._redis = client
        times = Times(config.open_timeout, config.ping_after, config.pong_timeout)
        self._watch = Watch(times, time.monotonic())
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        limits = Limits(
            config.rate_per_second,
            config.rate_burst,
            config.in_flight_limit,
            config.invalid_frames_limit,
        )

        def secret(name: str) -> str:
            return secretfiles.read(config.secrets_dir, name)

        forwarder = Forwarder(
            http,
            config.gateway_url,
            self.node_id,
            Signer(secret(secretfiles.CONNECTOR_KEY)),
            lambda: self._routes.routes,
            timeout=config.call_timeout,
            retry_for=config.call_retry_for,
            answer_limit=config.answer_limit,
        )
        self._routes = RouteSource(
            http,
            config.gateway_url,
            None
            if config.routes_file
            else aiohttp.BasicAuth(
                secret(secretfiles.GATEWAY_USER), secret(secretfiles.GATEWAY_PASSWORD)
            ),
            config.routes_file,
            config.routes_interval,
        )
        hooks = Hooks(forwarder, lambda: self._routes.routes)
        self._lanes = Lanes(
            lambda function: Lane(
                function,
                hooks.forward,
                config.lane_queue,
                config.lane_batch,
                config.lane_batch_bytes,
            )
        )
        self._subscriptions = Subscriptions()
        self._registry = Registry(client, self.node_id, self._subscriptions)
        self._emitter = Emitter(
            client,
            self._registry,
            stream_length=config.events_stream_length,
            unsent=config.events_unsent,
        )
        self._server = Server(
            limits,
            self._dispatch,
            self._watch.add,
            self._leave,
            self._ready,
            frame_limit=config.frame_limit,
            send_buffer_limit=config.send_buffer_limit,
            sessions_limit=config.sessions_limit,
        )
        self._inbox = Inbox(
            client,
            self.node_id,
            self._subscriptions,
            self._registry,
            lambda: self._server.sockets,
            self._close,
            self._emitter,
        )
        self._node = Node(
            client,
            self.node_id,
            self._inbox,
            self._emitter,
            ttl=config.node_ttl,
            interval=config.heartbeat_interval,
        )
        self._opener = Opener(
            client,
            Verifier(secret(secretfiles.SIGNING_PUBLIC)),
            self._subscriptions,
            self._registry,
            forwarder.forward,
            lambda: self._routes.routes,
            limits.as_result(config.frame_limit),
            self._emitter,
            batch=config.lane_batch,
            timeout=config.open_timeout,
        )
        self._dispatchers = [
            Dispatcher(
                stream,
                client,
                self.node_id,
                forwarder,
                lambda: self._routes.routes,
                self._start,
                config,
            )
            for stream in (keys.EVENTS, keys.MESSAGE_EVENTS)
        ]

    def stop(self) -> None:
        """Begins to drain. Safe to call from a signal handler, and twice."""
        self._stopping.set()

    async def run(self) -> None:
        """Serves until stopped. Raises `OSError` where the port is taken."""
        config = self._config
        await self._server.start(config.connector_host, config.connector_port)
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
        await self._server.stop_listening()
        await self._server.close_all("draining", self._config.drain_timeout)
        await _cancelled(self._tasks)
        try:
            async with asyncio.timeout(5):
                await self._node.leave()
                await self._emitter.flush()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("leave_failed", error=str(error))
        logger.info("connector_stopped", node=self.node_id)

    def _ready(self) -> bool:
        return self._routes.loaded.is_set() and not self._stopping.is_set()

    def _dispatch(self, socket: Socket, request: Request, size: int) -> None:
        """Hands a request to whom it is for; the socket gets one answer."""
        session = socket.session

        def answer(found: Answer) -> None:
            socket.answer(rpc.answer(request.id, found))

        def forward() -> None:
            self._forward(session, request, size, answer)

        method = request.method
        if method == "session.open":
            _attempt(partial(self._open, socket, request, answer), answer)
        elif method == "session.renew":
            _attempt(lambda: answer(self._opener.renew(session, request.params)), answer)
        elif method in self._routes.routes.methods or method.startswith(RESERVED):
            _attempt(forward, answer)
        else:
            self._routes.look_again(partial(_attempt, forward, answer))

    def _open(self, socket: Socket, request: Request, answer: Any) -> None:
        def opened(found: Answer) -> None:
            answer(found)
            if socket.session.held is not None:
                socket.release()

        self._opener.open(socket.session, request.params, opened)

    def _forward(self, session: Session, request: Request, size: int, answer: Any) -> None:
        route = self._routes.routes.methods.get(request.method)
        if route is None or request.method.startswith(RESERVED):
            raise CallError(Reason.UNKNOWN_METHOD)
        if not session.opened and not route.public:
            raise CallError(Reason.UNAUTHENTICATED)
        lane = self._lanes.of(route.function, session, route.lanes or self._config.lanes)
        if not lane.put(Pending(request.method, request.params, size, session, answer)):
            raise CallError(Reason.OVERLOADED, retry_after=1)

    def _leave(self, session: Session) -> None:
        if session.opened and session.channels:
            self._emitter.closed(session)
        self._subscriptions.drop(session)
        self._registry.changed()

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
        sockets = self._server.sockets
        while True:
            await asyncio.sleep(1)
            for session, verdict in self._watch.due(sockets, time.monotonic(), time.time()):
                socket = sockets[session]
                match verdict:
                    case "unopened":
                        socket.close(SIGNED_OUT, "no session was opened")
                    case "expired":
                        socket.close(SIGNED_OUT, "token expired")
                    case "ping":
                        socket.ping()
                    case "dead":
                        socket.drop()


def _attempt(work: Callable[[], None], answer: Callable[[Answer], None]) -> None:
    """Does it, or answers why not."""
    try:
        work()
    except CallError as refusal:
        metrics.REFUSED.labels(refusal.reason).inc()
        answer(refused(refusal))


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels until all have ended: a library may take a cancellation for a lost connection."""
    pending = set(tasks)
    for _ in range(_CANCEL_TRIES):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=0.2)
