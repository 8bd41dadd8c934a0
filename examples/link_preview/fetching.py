"""Fetching pages that strangers wrote: bounded in time, size, and where it leads.

Only the first `LIMIT` bytes of a page are read, as they come: it is asked for uncompressed, so that
a small answer cannot unpack into a large one.
"""

import asyncio
import re
import ssl
from collections.abc import Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

import httpx

from shared import threads

from .addresses import Refused, Unreachable, address_of
from .config import Config

T = TypeVar("T")

LIMIT = 256 * 1024
REDIRECTS = 3
_TOGETHER = 16
_BATCH_SECONDS = 6.0  # after which no fetch begins: the caller waits for the whole batch
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_BUSY = frozenset({408, 425, 429})
_HEADERS = {
    "User-Agent": "Stonechat link preview",
    "Accept": "text/html,application/xhtml+xml",
    "Accept-Encoding": "identity",
}
# Encodings of the web; Python knows others, which are no text.
_CHARSET = re.compile(
    r"charset\s{0,9}=\s{0,9}[\"']?"
    r"(utf-8|iso-8859-\d{1,2}|windows-\d{3,4}|gbk|gb2312|gb18030|big5|shift_jis|euc-(?:jp|kr)|koi8-[ru])\b",
    re.IGNORECASE,
)


def fetch_all(urls: Sequence[str], config: Config) -> list[str | Refused | Unreachable]:
    """The HTML behind each link, or why there is none, side by side."""
    return _run(_fetch_all(urls, config)) if urls else []


async def _fetch_all(urls: Sequence[str], config: Config) -> list[str | Refused | Unreachable]:
    loop, room = asyncio.get_running_loop(), asyncio.Semaphore(_TOGETHER)
    deadline = loop.time() + _BATCH_SECONDS

    async def one(url: str) -> str | Refused | Unreachable:
        async with room:
            if loop.time() > deadline:
                return Unreachable("too many links at once")
            try:
                return await fetch(url, config)
            except (Refused, Unreachable) as failure:
                return failure

    return await asyncio.gather(*map(one, urls))


async def fetch(url: str, config: Config) -> str:
    """The beginning of the HTML page behind a link. Raises `Refused` and `Unreachable`."""
    try:
        async with asyncio.timeout(config.seconds), _client() as http:
            target = httpx.URL(url)
            for _ in range(REDIRECTS + 1):
                found = await _hop(http, target, config)
                if isinstance(found, str):
                    return found
                target = found
    except (TimeoutError, httpx.TransportError) as failure:
        raise Unreachable(type(failure).__name__) from None
    except httpx.InvalidURL:
        raise Refused("not a link") from None
    raise Refused("too many redirects")


async def _hop(http: httpx.AsyncClient, url: httpx.URL, config: Config) -> str | httpx.URL:
    """The page, or the URL that it says to look at instead."""
    address = await address_of(url, config)
    async with http.stream(
        "GET",
        url.copy_with(host=address),
        headers=_HEADERS | {"Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": url.raw_host.decode("ascii")},  # also whose certificate it is
    ) as answer:
        if answer.has_redirect_location:
            return url.join(answer.headers["Location"])
        if answer.status_code >= 500 or answer.status_code in _BUSY:
            raise Unreachable(f"status {answer.status_code}")
        kind = answer.headers.get("Content-Type", "")
        if answer.status_code != 200 or kind.split(";")[0].strip().lower() not in _HTML:
            raise Refused("no page")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("compressed")
        return _text(await _beginning(answer), kind)


async def _beginning(answer: httpx.Response) -> bytes:
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) >= LIMIT:
            break
    return bytes(found[:LIMIT])


def _text(page: bytes, kind: str) -> str:
    named = _CHARSET.search(kind) or _CHARSET.search(page[:1024].decode("latin-1"))
    try:
        return page.decode(named[1] if named else "utf-8", errors="replace")
    except LookupError:
        return page.decode(errors="replace")


def _client() -> httpx.AsyncClient:
    """A client for one link. It keeps no connection: the next hop may have the same address and
    another name, whose certificate is still to be checked. And it takes no proxy from the
    environment, which would resolve names once more."""
    return httpx.AsyncClient(
        verify=_tls(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Runs for as long as the process. A loop for each batch would, when it ends, wait for names
    that are still being resolved."""
    loop = asyncio.new_event_loop()
    threads.start("fetching", loop.run_forever)
    return loop
