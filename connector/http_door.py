"""HTTP on the connector's port: `POST /v1/rpc`, and the pages of operators.

What a caller over HTTP may do is counted in an account, kept for a while under the person and
device, or under the address where nobody signed in. Bodies are small and must come within some
seconds.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from connector import answers, metrics, peers
from connector.answers import Answer, refused
from connector.crowd import Crowd
from connector.devices import Devices, Shown
from connector.limits import Limits
from connector.peers import Peers, place
from connector.session import Session
from shared import rpc, tokens
from shared.errors import HTTP_STATUS, REQUEST_HEADER, CallError, Code, Reason
from shared.ids import request_id
from shared.rpc import BadRequestError, Request
from shared.settings import Settings
from shared.tokens import Access, Verifier
from shared.versions import RELEASE

logger = structlog.get_logger(__name__)

RPC = "/v1/rpc"
_ACCOUNTS = 20_000  # kept at most
_METRICS_FOR = 1.0  # seconds

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Call = Callable[[Session, Request, int, Callable[[Answer], None]], None]
Told = Callable[[Answer, Request], Answer]


class _Nowhere:
    """The outlet of a caller over HTTP, to whom nothing is sent unasked."""

    def write(self, frame: bytes) -> None:
        pass

    def write_framed(self, wire: bytes) -> None:
        pass


class _Server(web.Server):
    """aiohttp's, with a bounded number of connections from each address."""

    def __init__(self, handler: Handler, who: Peers, limit: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self._peers = who
        self._crowd: Crowd[asyncio.Transport] = Crowd(limit)
        self._places: dict[RequestHandler, tuple[str, asyncio.Transport]] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        where = self._peers.limited_as(transport.get_extra_info("peername"))
        if where is None:
            return
        self._places[handler] = where, transport
        crowded = self._crowd.put(where, transport)
        if crowded is not None:
            crowded.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        where, transport = self._places.pop(handler, ("", None))
        if transport is not None:
            self._crowd.remove(where, transport)


class HttpDoor:
    """`protocol` speaks with one connection. `call` hands a request to its function, as a socket's;
    `told` makes of an answer what its client gets; `is_public` says which methods need no token;
    `missing` what the connector lacks to be ready."""

    def __init__(
        self,
        call: Call,
        told: Told,
        is_public: Callable[[str], bool],
        missing: Callable[[], Awaitable[list[str]]],
        count_frames: Callable[[], None],
        verifier: Verifier,
        devices: Devices,
        who: Peers,
        signed_in: Limits,
        anonymous: Limits,
        config: Settings,
    ) -> None:
        self._call = call
        self._told = told
        self._is_public = is_public
        self._missing = missing
        self._count_frames = count_frames
        self._verifier = verifier
        self._devices = devices
        self._peers = who
        self._signed_in = signed_in
        self._anonymous = anonymous
        self._frame_limit = config.frame_limit
        self._public_limit = config.public_frame_limit
        self._device_timeout = config.open_timeout
        self._body_timeout = config.http_body_timeout
        self._answer_timeout = config.http_answer_timeout
        self._busy_limit = config.http_requests_limit
        self._busy = 0
        self._accounts: OrderedDict[object, Session] = OrderedDict()
        self._numbers = 0
        self._metrics: tuple[float, bytes] = (-_METRICS_FOR, b"")
        self._server = _Server(
            self._answer,
            who,
            config.http_address_limit,
            access_log=None,
            keepalive_timeout=30.0,
            lingering_time=1.0,
            auto_decompress=False,
            max_line_size=8190,
            max_field_size=8190,
        )

    def protocol(self) -> asyncio.Protocol:
        return self._server()

    async def close(self, patience: float) -> None:
        """Ends all connections: idle ones at once, the others when their requests are answered."""
        self._server.pre_shutdown()
        await self._server.shutdown(patience / 2)  # which is waited for twice

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            match request.method, request.path:
                case "POST", path if path == RPC:
                    return await self._rpc(request)
                case _, path if path == RPC:
                    headers = {"Allow": "POST", REQUEST_HEADER: request_id()}
                    return web.Response(status=405, headers=headers)
                case "GET", "/healthz":
                    return web.Response(text="ok\n")
                case "GET", "/readyz":
                    return _readiness(await self._missing())
                case "GET", "/metrics":
                    return self._metrics_page()
                case _:
                    return web.Response(status=404, text="not found\n")
        except asyncio.CancelledError:
            raise
        except Exception:  # the last resort: it is this request's trouble alone
            id_ = request_id()
            logger.exception("request_broke", request=id_)
            return _response(None, id_, _refused(CallError(Reason.INTERNAL), id_))

    async def _rpc(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._busy >= self._busy_limit:
            return _closing(None, CallError(Reason.OVERLOADED, retry_after=1))
        self._busy += 1
        try:
            return await self._served(request)
        finally:
            self._busy -= 1

    async def _served(self, request: web.BaseRequest) -> web.StreamResponse:
        access, refusal = self._token(request)
        try:
            body = await self._body(request, signed_in=access is not None)
            asked = rpc.parse_request(body)
        except CallError as failure:
            return _closing(None, refusal or failure)
        except BadRequestError as bad:
            id_ = request_id()
            return _response(bad.id, id_, _refused(self._counted(request, bad.fault), id_))
        try:
            session = await self._caller(request, asked, len(body), access, refusal)
            found = await self._called(session, asked, len(body))
        except CallError as failure:
            metrics.REFUSED.labels(failure.reason).inc()
            found = refused(failure)
        return _response(asked.id, asked.request_id, self._told(found, asked))

    def _token(self, request: web.BaseRequest) -> tuple[Access | None, CallError | None]:
        """What the request's token says, or why it is none; neither where there is none."""
        header = request.headers.get("Authorization")
        try:
            return (None if header is None else self._verifier.access(tokens.bearer(header))), None
        except CallError as refusal:
            return None, refusal

    async def _body(self, request: web.BaseRequest, *, signed_in: bool) -> bytes:
        """Raises `too_large`, and `timeout` for who sends too slowly."""
        limit = self._frame_limit if signed_in else self._public_limit
        if (request.content_length or 0) > limit:
            raise CallError(Reason.TOO_LARGE, f"at most {limit} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                async for part in request.content.iter_any():
                    body += part
                    if len(body) > limit:
                        raise CallError(Reason.TOO_LARGE, f"at most {limit} bytes")
        except TimeoutError:
            raise CallError(Reason.TIMEOUT, "the body took too long") from None
        return bytes(body)

    async def _caller(
        self,
        request: web.BaseRequest,
        asked: Request,
        size: int,
        access: Access | None,
        refusal: CallError | None,
    ) -> Session:
        """Who calls, and the call is counted. Raises `unauthenticated`, `token_expired`,
        `unavailable`, and as `Session.count` does."""
        is_public = self._is_public(asked.method)
        if access is None or is_public:
            account = self._stranger(request, size)
            if refusal is not None and not is_public:
                raise refusal
            return self._session(request, account)
        account = self._account(("device", access.uid, access.device), self._signed_in)
        account.count(size, time.monotonic())
        session = self._session(request, account)
        session.sign(access.uid, access.device, access.roles)
        session.request_id = asked.request_id
        await self._require_alive(Shown(session, access))
        return session

    def _session(self, request: web.BaseRequest, account: Session) -> Session:
        return Session(
            account.number,
            account.sid,
            self._anonymous,
            account.outlet,
            account.since,
            ip=self._address(request),
            agent=peers.agent(request.headers.get("User-Agent")),
            is_socket=False,
            account=account,
        )

    def _stranger(self, request: web.BaseRequest, size: int) -> Session:
        """The account of those at an address, in which the call is counted. Raises as
        `Session.count` does."""
        account = self._account(("address", place(self._address(request))), self._anonymous)
        account.count(size, time.monotonic())
        return account

    async def _require_alive(self, shown: Shown) -> None:
        try:
            (refusal,) = await self._devices.refusals([shown], self._device_timeout)
        except (RedisError, OSError, TimeoutError) as error:
            id_ = shown.session.request_id
            logger.warning("device_unknown", request=id_, error=error)
            refusal = CallError(Reason.UNAVAILABLE, retry_after=1)
        if refusal is not None:
            raise refusal

    async def _called(self, session: Session, request: Request, size: int) -> Answer:
        """What became of the call. Raises `overloaded` and `timeout`."""
        account = session.account or session
        if account.full:
            raise CallError(Reason.OVERLOADED, retry_after=1)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        account.in_flight += 1
        account.in_flight_bytes += size

        def answer(found: Answer) -> None:
            account.in_flight -= 1
            account.in_flight_bytes -= size
            if not answered.done():
                answered.set_result(found)

        self._call(session, request, size, answer)
        try:
            async with asyncio.timeout(self._answer_timeout):
                return await asyncio.shield(answered)
        except TimeoutError:
            raise CallError(Reason.TIMEOUT, retry_after=1) from None

    def _counted(self, request: web.BaseRequest, fault: CallError) -> CallError:
        """The fault, or that there were too many: nonsense is no cheaper than calls."""
        try:
            self._stranger(request, 0)
        except CallError as refusal:
            return refusal
        return fault

    def _account(self, key: object, limits: Limits) -> Session:
        account = self._accounts.get(key)
        if account is None:
            self._numbers += 1
            sid, now = f"http{self._numbers}", time.monotonic()
            account = Session(-self._numbers, sid, limits, _Nowhere(), now, is_socket=False)
            self._accounts[key] = account
            self._forget_old()
        self._accounts.move_to_end(key)
        return account

    def _forget_old(self) -> None:
        if len(self._accounts) <= _ACCOUNTS:
            return
        for key, account in self._accounts.items():
            if not account.in_flight:
                del self._accounts[key]
                return

    def _address(self, request: web.BaseRequest) -> str:
        transport = request.transport
        peername: Any = None if transport is None else transport.get_extra_info("peername")
        return self._peers.address(peername, request.headers)

    def _metrics_page(self) -> web.Response:
        at, page = self._metrics
        if time.monotonic() - at >= _METRICS_FOR:
            self._count_frames()
            page = generate_latest()
            self._metrics = time.monotonic(), page
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _readiness(missing: list[str]) -> web.Response:
    text = f"not ready: {'; '.join(missing)}\n" if missing else "ready\n"
    headers = {"Stonechat-Version": RELEASE}
    return web.Response(status=503 if missing else 200, text=text, headers=headers)


def _refused(refusal: CallError, request: str) -> Answer:
    return orjson.dumps({"error": refusal.as_dict(request)})


def _response(id_: object, request: str, answer: Answer) -> web.Response:
    """An answer as JSON-RPC, its HTTP status after its error; `request` is the request's id."""
    headers = {"Content-Type": "application/json", REQUEST_HEADER: request}
    error = None if answer.startswith(b'{"result"') else answers.error(answer)
    status = 200
    if error is not None:
        code = error["code"]
        status = HTTP_STATUS[Code(code)] if code in HTTP_STATUS else 400
        if "retry_after" in error["data"]:
            headers["Retry-After"] = str(max(1, round(error["data"]["retry_after"])))
    return web.Response(status=status, body=rpc.answer(id_, answer), headers=headers)


def _closing(id_: object, refusal: CallError) -> web.Response:
    """A refusal of what was not even read: the connection ends with it."""
    metrics.REFUSED.labels(refusal.reason).inc()
    request = request_id()
    response = _response(id_, request, _refused(refusal, request))
    response.force_close()
    return response
