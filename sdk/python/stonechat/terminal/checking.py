"""`stonechat check`: whether an installation is in order, as a client sees it; in a checkout of the
server, as the server sees it too, by `python -m shared.check`."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import orjson
import typer

from stonechat.terminal import screen
from stonechat.terminal.running import URL, Url

_SECONDS = 5.0
_SERVER_SECONDS = 120.0
_CLOCK = 2.0  # seconds that clocks may differ; an HTTP date has whole ones
_SERVER = Path("shared") / "check.py"
_ASK = b'{"jsonrpc":"2.0","id":1,"method":"auth.config","params":{}}'
_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "c3RvbmVjaGF0IGNoZWNrcw==",  # not a secret: what any upgrade sends
}


class Finding(NamedTuple):
    """`info` is nothing to mend."""

    level: str
    subject: str
    text: str


def check(
    url: Url = URL,
    env: Annotated[
        Path | None, typer.Option(help="the server's settings, NAME=value a line")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Says what is not in order, of a connector and, in the server's checkout, of all it needs."""
    found = [*of_connector(url), *_of_server(env)]
    for each in found:
        line = f"{each.level}: {each.subject}: {each.text}"
        if json:
            screen.dump(each._asdict())
        else:
            screen.say(line)
    wrong = [each for each in found if each.level != "info"]
    if not json:
        screen.tell(f"{len(wrong) or 'nothing'} to mend")
    raise typer.Exit(1 if wrong else 0)


def of_connector(url: str) -> Iterator[Finding]:
    """What a client finds at this address."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        yield Finding("error", "url", "makes no sense; expected ws://HOST:PORT/v1 or wss://HOST/v1")
        return
    kind = http.client.HTTPSConnection if parts.scheme == "wss" else http.client.HTTPConnection
    try:
        with closing(kind(parts.hostname, parts.port, timeout=_SECONDS)) as asked:
            yield from _readiness(asked)
        with closing(kind(parts.hostname, parts.port, timeout=_SECONDS)) as asked:
            asked.request("GET", parts.path or "/v1", headers=_UPGRADE)
            status = asked.getresponse().status
        if status != 101:
            yield Finding("error", url, f"opens no WebSocket: {status}; expected 101")
        with closing(kind(parts.hostname, parts.port, timeout=_SECONDS)) as asked:
            yield from _called(asked, (parts.path or "/v1") + "/rpc")
    except (OSError, http.client.HTTPException, ValueError) as failure:
        why = str(failure) or type(failure).__name__
        yield Finding("error", url, f"nobody answers ({why}); expected a connector")


def _readiness(asked: http.client.HTTPConnection) -> Iterator[Finding]:
    """Where the way to `/readyz` is open, which it is not from outside."""
    asked.request("GET", "/readyz")
    answer = asked.getresponse()
    said = answer.read(1000).decode(errors="replace").strip()
    if answer.status == 503 and said.startswith("not ready"):
        yield Finding("error", "connector", said)
    theirs, ours = answer.headers.get("Stonechat-Version"), metadata.version("stonechat")
    if theirs is not None and theirs.split(".")[:2] != ours.split(".")[:2]:
        yield Finding("warning", "connector", f"is {theirs}, this client {ours}")


def _called(asked: http.client.HTTPConnection, path: str) -> Iterator[Finding]:
    before = time.time()
    asked.request("POST", path, _ASK, {"Content-Type": "application/json"})
    answer = asked.getresponse()
    after = time.time()
    answer.read()
    if answer.status != 200:
        yield Finding("error", "auth.config", f"is answered {answer.status}; expected 200")
    if date := answer.headers.get("Date"):
        apart = parsedate_to_datetime(date).timestamp() + 0.5 - (before + after) / 2
        if abs(apart) > _CLOCK + (after - before) / 2:
            where = "ahead of" if apart > 0 else "behind"
            text = f"its clock is {abs(apart):.0f} s {where} ours; expected {_CLOCK:g} s at most"
            yield Finding("warning", "connector", text)


def _of_server(env: Path | None) -> Iterator[Finding]:
    """What the server's own check finds, where this is its checkout."""
    if not _SERVER.is_file():
        if env is not None:
            yield Finding("error", "env", "there is no server here to read it; expected a checkout")
        return
    command = [sys.executable, "-m", "shared.check", "--json"]
    command += ["--env", str(env)] if env is not None else []
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as asked:
        try:
            told, beside = asked.communicate(timeout=_SERVER_SECONDS)
        except subprocess.TimeoutExpired:
            asked.kill()
            yield Finding("error", "check", "the server's own check does not end")
            return
    try:
        yield from (Finding(**orjson.loads(line)) for line in told.splitlines())
    except (TypeError, ValueError):
        yield Finding("error", "check", "the server's own check said nothing of use")
    if asked.returncode not in (0, 1):
        last = beside.decode(errors="replace").strip().splitlines()[-1:]
        yield Finding("error", "check", " ".join(["the server's own check broke off", *last]))
