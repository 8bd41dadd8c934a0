"""The gateway front: the part of OpenFaaS' API that connectors, `faas-cli` and a real gateway need.

`ANY /function/NAME[/PATH]` calls a function; below `/system` is what operators ask for
(`management`); `GET /healthz`. A function that is not there just now is 503, one that broke off
502, one that took too long 504, an unknown one 404. The functions behind it are this process's own
(`provider`).
"""

import argparse
import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog
import uvloop
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from local import journal, ports
from local.deployment import NAMESPACE, StackFileError, read_stack
from local.management import Management
from local.processes import FunctionFailedError
from local.provider import Provider
from shared import secretfiles, startup, telemetry
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

    def __init__(self, provider: Provider, http: aiohttp.ClientSession) -> None:
        self._provider = provider
        self._http = http

    def application(self, management: Management) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", _FUNCTION + "{name}", self.call)
        app.router.add_route("*", _FUNCTION + "{name}/{path:.*}", self.call)
        app.router.add_get("/healthz", self.health)
        management.add_to(app)
        return app

    async def call(self, request: web.Request) -> web.Response:
        """Passes a call on to a replica of its function."""
        name = request.match_info["name"].removesuffix(f".{NAMESPACE}")
        function = self._provider.functions.get(name)
        if function is None:
            return web.Response(status=404, text="no such function\n")
        body = await request.read()
        replica = function.pick()
        if replica is None:
            return web.Response(status=503, text="the function is being started\n")
        function.invocations += 1
        with replica.call():
            return await self._ask(request, f"{replica.url}{_rest(request.raw_path)}", body)

    async def _ask(self, request: web.Request, url: str, body: bytes) -> web.Response:
        try:
            async with self._http.request(
                request.method,
                URL(url, encoded=True),
                data=body,
                headers=_passed(request.headers),
                allow_redirects=False,
            ) as answer:
                found = await answer.read()
        except aiohttp.ClientConnectorError:
            return web.Response(status=503, text="the function is not there\n")
        except TimeoutError:
            return web.Response(status=504, text="the function took too long\n")
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"the function broke off: {error}\n")
        return web.Response(body=found, status=answer.status, headers=_passed(answer.headers))

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")


def _rest(path: str) -> str:
    """What follows the function's name, as the client wrote it."""
    found = _AFTER_NAME.search(path, len(_FUNCTION))
    rest = path[found.start() :] if found else ""
    return rest if rest.startswith("/") else "/" + rest


def _passed(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _OF_CONNECTION
    )


def _tell(part: str, line: str) -> None:
    with suppress(OSError):  # who prints goes on where nobody can take it
        print(journal.wrapped(part, line), flush=True)


async def serve(stack: Path, directory: Path, contexts: Path, port: int) -> None:
    """Starts the functions, then listens, until SIGTERM. Raises `StackFileError`,
    `FunctionFailedError`, `SecretMissingError` and `OSError`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    folder = settings().secrets_dir
    user = secretfiles.read(folder, secretfiles.GATEWAY_USER)
    password = secretfiles.read(folder, secretfiles.GATEWAY_PASSWORD)
    given = read_stack(stack)
    watchdog = os.environ.get("STONECHAT_WATCHDOG")
    provider = Provider(directory, folder, os.environ, _tell, Path(watchdog) if watchdog else None)
    await provider.open()
    try:
        await provider.start(given)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS, connect=2),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        ) as http:
            app = Gateway(provider, http).application(
                Management(provider, folder, contexts, user, password)
            )
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=_DRAIN_SECONDS)
            await runner.setup()
            await web.TCPSite(runner, ports.LOOPBACK, port, backlog=1024).start()
            logger.info("gateway_started", port=port, functions=len(provider.functions))
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
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--contexts", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    startup.require(
        "gateway", lambda config: [secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD]
    )
    telemetry.configure("gateway", settings().log_level, quotes=settings().log_quotes)
    try:
        uvloop.run(serve(given.stack, given.directory, given.contexts, given.port))
    except (StackFileError, FunctionFailedError, secretfiles.SecretMissingError, OSError) as error:
        logger.error("gateway_failed", error=error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
