"""One HTTP call for a batch, against gateways that answer nonsense on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connector import metrics
from connector.forwarder import BATCH, Forwarder, TryAgainError
from connector.lanes import Pending
from connector.routes import Route, Routes
from local import ports
from shared.signatures import HEADER, Checker, Signer
from tests.connector import outlets

KEY = Ed25519PrivateKey.generate()
PRIVATE = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
PUBLIC = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
LIMIT = 10_000  # bytes of an answer
FINE = b'{"result":1}\n{"result":2}\n'

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Gateway:
    """Answers each request with the next of its answers, the last one again and again."""

    def __init__(self, *answers: bytes | Answer) -> None:
        self._answers = answers
        self.requests: list[tuple[dict[str, str], list[dict[str, Any]]]] = []
        self.bodies: list[bytes] = []
        self.closed = asyncio.Event()  # some connection was closed by the connector
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")[1:-2]
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.bodies.append(body)
                self.requests.append((headers, orjson.loads(body)))
                answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
        finally:
            writer.close()

    @property
    def asked(self) -> list[list[str]]:
        """The methods of each request."""
        return [[event["type"] for event in events] for _, events in self.requests]


@asynccontextmanager
async def gateway(*answers: bytes | Answer) -> AsyncIterator[Gateway]:
    made = Gateway(*answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def forwarder(
    url: str, *, timeout: float = 5.0, retry_for: float = 5.0
) -> AsyncIterator[Forwarder]:
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as http:
        yield Forwarder(
            http,
            url,
            "node",
            Signer(PRIVATE),
            lambda: Routes({"x.public": Route("f", True)}, frozenset({"x.read"})),
            timeout=timeout,
            retry_for=retry_for,
            answer_limit=LIMIT,
        )


def call(method: str = "x.do", **params: Any) -> Pending:
    return Pending(method, params, 1, outlets.session("alice", roles=("a", "b")), print)


def reasons(found: Sequence[bytes]) -> list[str]:
    return [_told(orjson.loads(each)) for each in found]


def _told(answer: dict[str, Any]) -> str:
    return answer["error"]["data"]["reason"] if "error" in answer else f"={answer['result']}"


def nonsense() -> float:
    return float(metrics.NONSENSE.labels("f")._value.get())


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b" " * 0x400 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-%d: y\r\n" % id(writer))
        await writer.drain()
        await asyncio.sleep(0)


def then_gone(text: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        raise ConnectionError

    return answer


async def test_a_batch_is_signed_and_answered_in_order() -> None:
    async with gateway(http(FINE)) as there, forwarder(there.url) as made:
        found = await made.forward("f", [call("x.one", n=1), call("x.two", n=2)])
    assert reasons(found) == ["=1", "=2"]
    [(headers, events)] = there.requests
    assert headers["content-type"] == BATCH
    Checker(PUBLIC).check("f", headers[HEADER.lower()], there.bodies[0])
    assert [event["type"] for event in events] == ["x.one", "x.two"]
    assert [event["data"] for event in events] == [{"n": 1}, {"n": 2}]
    assert {event["uid"] for event in events} == {"alice"}
    assert {event["roles"] for event in events} == {"a,b"}
    assert len({event["id"] for event in events}) == 2


NONSENSE = {
    "html": http(b"<html><body>Welcome</body></html>", "200 OK", "Content-Type: text/html"),
    "text": http(b"OK"),
    "empty": http(b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an error page": http(b"Internal Server Error", "500 Oops"),
    "unauthenticated": http(b"", "401 Unauthorized"),
    "forbidden": http(b"{}", "403 Forbidden"),
    "redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
    "redirect to itself": http(b"", "307 Temporary Redirect", "Location: /function/f"),
    "created": http(FINE, "201 Created"),
    "one too few": http(b'{"result":1}\n'),
    "one too many": http(FINE + b'{"result":3}\n'),
    "an array": http(b'[{"result":1},{"result":2}]'),
    "lines of other shapes": http(b'{"ok":1}\n{"result":2}\n'),
    "results and errors": http(b'{"result":1,"error":null}\n{"result":2}\n'),
    "errors without reason": http(b'{"error":{"code":1,"message":"x"}}\n{"result":2}\n'),
    "errors of text": http(b'{"error":"no"}\n{"result":2}\n'),
    "null": http(b"null\nnull\n"),
    "not utf-8": http(b'{"result":"\xff\xfe"}\n{"result":2}\n'),
    "deep": http(b'{"result":' + b"[" * 2000 + b"]" * 2000 + b'}\n{"result":2}\n'),
    "gzip that is none": http(FINE[:-1] + b"!", "200 OK", "Content-Encoding: gzip"),
    "too long": http(b'{"result":1}\n{"result":"' + b"x" * LIMIT + b'"}\n'),
    "endless": endless,
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_is_unavailable_and_counted(answer: bytes | Answer) -> None:
    before = nonsense()
    async with gateway(answer) as there, forwarder(there.url) as made:
        found = await made.forward("f", [call(), call()])
        assert reasons(found) == ["unavailable", "unavailable"]
        assert there.asked == [["x.do", "x.do"]], "what may have been done is not done again"
    assert nonsense() - before == 1


BROKEN = {
    "nothing": then_gone(b""),
    "half a head": then_gone(b"HTTP/1.1 200 OK\r\nContent-Len"),
    "half a body": then_gone(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + FINE),
    "half a chunk": then_gone(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{" + b'"re'
    ),
    "no chunk": then_gone(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
    "no http": then_gone(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "binary": then_gone(bytes(range(256)) * 4),
    "no status": then_gone(b"HTTP/1.1 fine OK\r\n\r\n"),
    "a long line": then_gone(b"HTTP/1.1 200 " + b"O" * 100_000 + b"\r\n\r\n"),
    "a long header": then_gone(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
    "no end of headers": endless_head,
    "two lengths": then_gone(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + FINE
    ),
    "a length that is none": then_gone(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + FINE),
    "http/0.9": then_gone(FINE),
    "an informational one": then_gone(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "another protocol": then_gone(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_http_is_unavailable(answer: Answer) -> None:
    async with gateway(answer) as there, forwarder(there.url) as made:
        async with asyncio.timeout(10):
            found = await made.forward("f", [call(), call()])
        assert reasons(found) == ["unavailable", "unavailable"]
        assert len(there.requests) == 1


async def test_an_endless_answer_ends_with_its_connection() -> None:
    async with gateway(endless) as there, forwarder(there.url) as made:
        await made.forward("f", [call()])
        async with asyncio.timeout(5):
            await there.closed.wait()


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("slow", [drip, silence])
async def test_who_takes_too_long_is_a_timeout(slow: Answer) -> None:
    async with gateway(slow) as there, forwarder(there.url, timeout=0.2) as made:
        found = await made.forward("f", [call(), call()])
        assert reasons(found) == ["timeout", "timeout"]
        assert len(there.requests) == 1


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 No", "504 Late", "500 Oops"])
async def test_what_is_safe_is_repeated_and_the_rest_is_not(status: str) -> None:
    busy, three = http(b"", status), b'{"result":"a"}\n{"result":"b"}\n'
    async with gateway(busy, busy, http(three)) as there, forwarder(there.url) as made:
        calls = [call("x.do"), call("x.do", cid="c1"), call("x.read"), call("x.other")]
        found = await made.forward("f", calls)
    assert reasons(found) == ["unavailable", "=a", "=b", "unavailable"]
    assert there.asked == [
        ["x.do", "x.do", "x.read", "x.other"],
        ["x.do", "x.read"],
        ["x.do", "x.read"],
    ]


async def test_a_public_method_takes_no_cid_that_would_make_it_safe() -> None:
    async with gateway(http(b"", "503 No"), http(FINE)) as there, forwarder(there.url) as made:
        found = await made.forward("f", [call("x.public", cid="c1")])
    assert reasons(found) == ["unavailable"]
    assert there.asked == [["x.public"]]


async def test_each_repetition_is_signed_anew() -> None:
    async with gateway(http(b"", "503 No"), http(FINE)) as there, forwarder(there.url) as made:
        await made.forward("f", [call("x.read"), call("x.read")])
    checker = Checker(PUBLIC)
    for (headers, _), body in zip(there.requests, there.bodies, strict=True):
        checker.check("f", headers[HEADER.lower()], body)


async def test_a_gateway_that_took_nothing_may_be_given_all_again() -> None:
    busy = http(b"", "429 Too Many Requests")
    async with gateway(busy, http(FINE)) as there, forwarder(there.url) as made:
        assert reasons(await made.forward("f", [call(), call()])) == ["=1", "=2"]
    assert len(there.requests) == 2


async def test_a_gateway_that_comes_back_gets_what_waited() -> None:
    port = ports.free_port()
    there = Gateway(http(FINE))
    async with forwarder(f"http://127.0.0.1:{port}") as made:
        forwarding = asyncio.create_task(made.forward("f", [call(), call()]))
        await asyncio.sleep(0.05)
        server = await asyncio.start_server(there.serve, "127.0.0.1", port)
        assert reasons(await forwarding) == ["=1", "=2"]
        server.close()


async def test_repeating_ends() -> None:
    async with gateway(http(b"", "503 No")) as there, forwarder(there.url, retry_for=0.2) as made:
        found = await made.forward("f", [call("x.read"), call(cid="c")])
        assert reasons(found) == ["unavailable", "unavailable"]
        assert len(there.requests) > 1


async def test_without_repeating_there_is_one_try() -> None:
    async with gateway(http(b"", "503 No")) as there, forwarder(there.url, retry_for=0) as made:
        assert reasons(await made.forward("f", [call("x.read")])) == ["unavailable"]
        assert len(there.requests) == 1


async def test_a_function_that_is_not_there_has_no_such_method() -> None:
    async with gateway(http(b"gone", "404 Not Found")) as there, forwarder(there.url) as made:
        found = await made.forward("f", [call(cid="c"), call("x.read")])
        assert reasons(found) == ["unknown_method", "unknown_method"]
        assert len(there.requests) == 1


@pytest.mark.parametrize("params", [{"n": object()}, {"n": 2**70}, {"n": "\ud800"}])
async def test_a_call_that_cannot_be_passed_on_is_refused_alone(params: dict[str, Any]) -> None:
    async with gateway(http(FINE)) as there, forwarder(there.url) as made:
        found = await made.forward("f", [call(), call(**params), call()])
        assert reasons(found) == ["=1", "invalid_request", "=2"]
        found = await made.forward("f", [call(**params)])
        assert reasons(found) == ["invalid_request"]
        assert len(there.requests) == 1


async def test_errors_of_the_function_go_through_as_they_are() -> None:
    line = b'{"error":{"code":-32002,"message":"no","data":{"reason":"own_reason","x":[1]}}}'
    async with gateway(http(line + b"\n")) as there, forwarder(there.url) as made:
        assert await made.forward("f", [call()]) == [line]


async def test_a_hook_has_its_time_and_is_told_that_it_is_one() -> None:
    async with gateway(http(FINE), drip) as there, forwarder(there.url) as made:
        found = await made.propose("f", [call(), call()], 5.0)
        assert reasons(found) == ["=1", "=2"]
        assert [event["kind"] for event in there.requests[0][1]] == ["before", "before"]
        with pytest.raises(TryAgainError):
            await made.propose("f", [call()], 0.05)


@pytest.mark.parametrize("answer", [*NONSENSE.values(), *BROKEN.values()])
async def test_events_are_told_that_it_came_to_nothing(answer: bytes | Answer) -> None:
    async with gateway(answer) as there, forwarder(there.url) as made:
        with pytest.raises(TryAgainError) as failure:
            await made.post("f", [b"{}", b"{}"])
        assert failure.value.reached
