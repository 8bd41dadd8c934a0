"""A web site of the internet's kinds of pages: good, slow, endless, and pointing elsewhere."""

import asyncio
import ssl
from collections import Counter
from typing import Self

from aiohttp import web

from local import ports

PAGE = """<html><head><title>A title</title>
<meta property="og:title" content="The &quot;better&quot; title">
<meta content='What it  is
about' name='description'></head><body>Text</body></html>"""


class Site:
    """`asked` counts the requests by path; `gone` is set when a reader of `/endless` has
    left; `/held` waits for `release`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.port = ports.free_port()
        self.asked: Counter[str] = Counter()
        self.gone = asyncio.Event()
        self.release = asyncio.Event()
        self._news = asyncio.Condition()
        self._runner: web.AppRunner

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "localhost", self.port, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._runner.cleanup()

    async def until(self, path: str) -> None:
        """Returns when somebody has asked for the path."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.asked[path] > 0)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        async with self._news:
            self.asked[path] += 1
            self._news.notify_all()
        match path:
            case "/endless":
                return await self._endless(request)
            case "/drip":
                return await self._drip(request)
            case "/busy" if self.asked[path] < 3:
                raise web.HTTPServiceUnavailable
            case "/hangs" if self.asked[path] < 2:
                await asyncio.Event().wait()
            case "/held":
                await self.release.wait()
            case "/down":
                raise web.HTTPServiceUnavailable
            case "/missing":
                raise web.HTTPNotFound
            case "/picture":
                return web.Response(body=b"<title>No</title>", content_type="image/png")
            case "/untitled":
                return web.Response(text="<p>Nothing", content_type="text/html")
            case "/packed":
                answer = web.Response(text=PAGE, content_type="text/html")
                answer.enable_compression(web.ContentCoding.gzip)
                answer.headers["Content-Encoding"] = "gzip"
                return answer
            case "/latin":
                body = "<title>Grüße</title>".encode("latin-1")
                return web.Response(body=body, content_type="text/html", charset="iso-8859-1")
            case "/odd":
                return web.Response(
                    body=PAGE.encode(), headers={"Content-Type": "text/html; charset=iso-8859-99"}
                )
            case "/host":
                return web.Response(text=request.host, content_type="text/html")
            case "/circle":
                raise web.HTTPFound("/circle")
            case "/moved":
                raise web.HTTPFound("page")
            case "/within":
                raise web.HTTPFound(self.url("/secret", "localhost"))
            case "/file":
                raise web.HTTPFound("file:///etc/passwd")
        return web.Response(text=PAGE, content_type="text/html")

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        await answer.write(b"<title>No end</title>")
        try:
            while True:
                await answer.write(b"x" * 65536)
        finally:
            self.gone.set()

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        """A byte now and then, so that no single read is slow."""
        answer = web.StreamResponse(headers={"Content-Type": "text/html"})
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.05)
