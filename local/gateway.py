"""The gateway front: the part of OpenFaaS' API that connectors and `faas-cli` need.

`ANY /function/NAME[/PATH]` calls a function; `GET /system/functions`, `/system/function/NAME` and
`/system/info` (basic auth) tell of them; `GET /healthz`. A function that is not there just now is
503, one that broke off 502, one that took too long 504, an unknown one 404.
The functions behind it are this process's own (`provider`).
"""

import argparse
import asyncio
import base64
import hmac
import re
import signal
import sys
from pathlib import Path

import aiohttp
import orjson
import structlog
import uvloop
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from local import journal, ports
from local.provider import FunctionFailedError, Provider, StackFileError, read_stack
from shared import secretfiles, telemetry
from shared.settings import settings

logger = structlog.get_logger(__name__)

BODY_LIMIT = 16 * 1024 * 1024
CALL_SECONDS = 60.0
_DRAIN_SECONDS = 10.0
_KEPT_SECONDS = 30.0  # an idle connection to a function; far below what the function keeps it
_FUNCTION = "/function/"
_AFTER_NAME = re.compile("[/?]")
# What concerns one connection only (RFC 9110, 7.6.1), or is written anew.
_OF_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Gateway:
    """Routes HTTP calls to the provider's functions."""

    def __init__(self, provider: Provider, http: aiohttp.ClientSession, credentials: str) -> None:
        self._provider = provider
        self._http = http
        token = base64.b64encode(credentials.encode()).decode()
        self._authorization = f"Basic {token}".encode()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", _FUNCTION + "{name}", self.call)
        app.router.add_route("*", _FUNCTION + "{name}/{path:.*}", self.call)
        app.router.add_get("/system/functions", self.functions)
        app.router.add_get("/system/function/{name}", self.function)
        app.router.add_get("/system/info", self.info)
        app.router.add_get("/healthz", self.health)
        return app

    async def call(self, request: web.Request) -> web.Response:
        """Passes a call on to its function."""
        deployment = self._provider.deployments.get(request.match_info["name"])
        if deployment is None:
            return web.Response(status=404, text="no such function\n")
        replica = deployment.replica
        if replica is None:
            return web.Response(status=503, text="the function is being started\n")
        deployment.invocations += 1
        try:
            async with self._http.request(
                request.method,
                URL(replica.url + _rest(request.raw_path), encoded=True),
                data=await request.read(),
                headers=_passed(request.headers),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except aiohttp.ClientConnectorError:
            return web.Response(status=503, text="the function is not there\n")
        except TimeoutError:
            return web.Response(status=504, text="the function took too long\n")
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the function broke off: {error}\n")
        return web.Response(body=body, status=answer.status, headers=_passed(answer.headers))

    async def functions(self, request: web.Request) -> web.Response:
        """All functions and their annotations."""
        self._require_operator(request)
        return _json([each.described() for each in self._provider.deployments.values()])

    async def function(self, request: web.Request) -> web.Response:
        """One function."""
        self._require_operator(request)
        deployment = self._provider.deployments.get(request.match_info["name"])
        if deployment is None:
            return web.Response(status=404, text="no such function\n")
        return _json(deployment.described())

    async def info(self, request: web.Request) -> web.Response:
        self._require_operator(request)
        return _json({"provider": {"provider": "stonechat-local", "orchestration": "processes"}})

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    def _require_operator(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="Restricted"'})


def _rest(path: str) -> str:
    """What follows the function's name, as the client wrote it."""
    found = _AFTER_NAME.search(path, len(_FUNCTION))
    rest = path[found.start() :] if found else ""
    return rest if rest.startswith("/") else "/" + rest


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _OF_CONNECTION
    )


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _tell(part: str, line: str) -> None:
    print(journal.wrapped(part, line), flush=True)


async def serve(stack: Path, logs: Path, port: int) -> None:
    """Starts the functions, then listens, until SIGTERM. Raises `StackFileError`,
    `FunctionFailedError`, `SecretMissingError` and `OSError`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    folder = settings().secrets_dir
    user = secretfiles.read(folder, secretfiles.GATEWAY_USER)
    password = secretfiles.read(folder, secretfiles.GATEWAY_PASSWORD)
    deployments = read_stack(stack)
    provider = Provider(logs, _tell)
    await provider.start()
    try:
        await asyncio.gather(*(provider.deploy(each) for each in deployments))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS, connect=2),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        ) as http:
            gateway = Gateway(provider, http, f"{user}:{password}")
            runner = web.AppRunner(
                gateway.application(), access_log=None, shutdown_timeout=_DRAIN_SECONDS
            )
            await runner.setup()
            await web.TCPSite(runner, ports.LOOPBACK, port, backlog=1024).start()
            logger.info("gateway_started", port=port, functions=len(deployments))
            ends = [loop.create_task(stopping.wait()), loop.create_task(provider.lost())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await runner.cleanup()
            if not stopping.is_set():
                raise FunctionFailedError("the process that functions are forked from died")
    finally:
        await provider.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="local.gateway")
    parser.add_argument("--stack", type=Path, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    telemetry.configure("gateway", settings().log_level)
    try:
        uvloop.run(serve(given.stack, given.logs, given.port))
    except (StackFileError, FunctionFailedError, secretfiles.SecretMissingError, OSError) as error:
        logger.error("gateway_failed", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
