"""ejabberd as Debian has it, with its archive (mod_mam) on and in Mnesia, its fastest store here.

    apt-get install ejabberd

An instance of our own, from that package's files, in a folder of its own. People are made by
in-band registration (XEP-0077), with passwords that cost nothing to check. A line speaks XMPP over
TCP (RFC 6120), by hand: it counts messages' bodies, and parses nothing else once it is signed in.
"""

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from benchmarks.load import gathered
from benchmarks.peers import TEXT, NotOffered, nothing
from benchmarks.usage import Processes
from local import ports
from local.part import die_with_parent
from shared.ids import new_id

_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
_HOST = "localhost"
_ROOMS = f"rooms.{_HOST}"
_PASSWORD = "benchmark"
_BODY = b"<body>"
_OPEN = (
    f"<stream:stream to='{_HOST}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
).encode()
_SECONDS = 60.0

_CONFIG = """
hosts: [localhost]
loglevel: error
auth_method: internal
auth_password_format: plain
registration_timeout: infinity
listen:
  - port: {port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    access: all
    shaper: none
    backlog: 4096
acl: {{}}
shaper: {{}}
max_fsm_queue: 100000
modules:
  mod_register: {{ip_access: all, access: all, password_strength: 0, welcome_message: {{}}}}
  mod_roster: {{}}
  mod_offline: {{}}
  mod_mam: {{db_type: mnesia, default: always, assume_mam_usage: true}}
  mod_muc:
    host: rooms.localhost
    db_type: mnesia
    max_users: 20000
    min_message_interval: 0
    min_presence_interval: 0
    max_room_id: infinity
    default_room_options:
      {{mam: true, persistent: true, max_users: 20000, members_by_default: true,
        presence_broadcast: []}}
"""


class XmppLine(asyncio.Protocol):
    """One stream."""

    def __init__(self) -> None:
        self.heard: Callable[[], None] = nothing
        self.acknowledged: Callable[[], None] = nothing
        self.count = 0
        self.news = asyncio.Event()
        self._text = b""
        self._transport: asyncio.Transport
        self._expected: tuple[bytes, asyncio.Future[bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        text = self._text + data
        for _ in range(text.count(_BODY)):
            self.count += 1
            self.heard()
        if self.count:
            self.news.set()
        if self._expected is not None:
            self._text = text
            until, waiting = self._expected
            if until in text:
                self._expected, self._text = None, b""
                waiting.set_result(text)
        else:
            # A body's mark may be cut in two.
            self._text = text[-len(_BODY) + 1 :] if _BODY not in text[-len(_BODY) :] else b""

    async def ask(self, text: bytes, until: bytes) -> bytes:
        """Sends, and returns what came up to the answer that is waited for."""
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._expected = until, waiting
        self._transport.write(text)
        return await asyncio.wait_for(waiting, _SECONDS)

    def send(self, to: str) -> None:
        kind = "groupchat" if _ROOMS in to else "chat"
        self._transport.write(
            f"<message to='{to}' type='{kind}'><body>{TEXT}</body></message>".encode()
        )

    def only_hear(self) -> None:
        """It never does more."""

    def cut(self) -> None:
        self._transport.abort()


class Ejabberd:
    name = "ejabberd"
    confirms = False

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ejabberd-bench-"))
        self._port = ports.free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        code = _installed()
        if shutil.which("erl") is None or code is None:
            raise NotOffered("ejabberd is not installed: apt-get install ejabberd")
        config = self._folder / "ejabberd.yml"
        config.write_text(_CONFIG.format(port=self._port))
        spool = self._folder / "spool"
        spool.mkdir()
        command = ["erl", "-noinput", "+K", "true", "+P", "250000", "-pa", str(code / "ebin")]
        command += ["-mnesia", "dir", f'"{spool}"', "-s", "ejabberd"]
        environment = dict(os.environ) | {
            "ERL_LIBS": str(_LIBRARIES),
            "ERL_MAX_PORTS": "65536",
            "ERL_CRASH_DUMP_BYTES": "0",
            "EJABBERD_CONFIG_PATH": str(config),
            "EJABBERD_LOG_PATH": str(self._folder / "ejabberd.log"),
            "HOME": str(self._folder),
        }
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        await self._until_listening()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def people(self, count: int) -> list[str]:
        names = [new_id() for _ in range(count)]

        def register(name: str) -> Callable[[], "asyncio.Future[None]"]:
            return lambda: asyncio.ensure_future(self._register(name))

        await gathered([register(name) for name in names], 20)
        return [f"{name}@{_HOST}" for name in names]

    async def line(self, person: str, node: int = 0) -> XmppLine:
        line = await self._stream()
        plain = base64.b64encode(f"\0{person.split('@')[0]}\0{_PASSWORD}".encode()).decode()
        await line.ask(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}"
            "</auth>".encode(),
            b"<success",
        )
        await line.ask(_OPEN, b"</stream:features>")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        await line.ask(f"<iq type='set' id='b'>{bind}</iq>".encode(), b"</iq>")
        await line.ask(b"<presence/>", b"<presence ")
        return line

    async def caught_up(self, line: XmppLine, missed: int) -> None:
        """What came while one was away comes by itself (XEP-0160)."""
        async with asyncio.timeout(_SECONDS):
            while line.count < missed:
                line.news.clear()
                await line.news.wait()

    async def room(self, people: Sequence[str]) -> str:
        """It is made by the first who enters."""
        return f"{new_id()}@{_ROOMS}"

    async def join(self, line: XmppLine, room: str) -> None:
        muc = "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x>"
        entering = f"<presence to='{room}/{new_id()}'>{muc}</presence>"
        await line.ask(entering.encode(), b"<subject")

    def processes(self) -> Processes:
        assert self._process is not None
        return {"ejabberd": [self._process.pid]}

    def stores(self) -> frozenset[str]:
        return frozenset()

    async def _stream(self) -> XmppLine:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(XmppLine, ports.LOOPBACK, self._port)
        await line.ask(b"<?xml version='1.0'?>" + _OPEN, b"</stream:features>")
        return line

    async def _register(self, name: str) -> None:
        line = await self._stream()
        fields = f"<username>{name}</username><password>{_PASSWORD}</password>"
        query = f"<query xmlns='jabber:iq:register'>{fields}</query>"
        answer = await line.ask(f"<iq type='set' id='r'>{query}</iq>".encode(), b"id='r'")
        line.cut()
        if b"type='result'" not in answer:
            raise RuntimeError(answer.decode())

    async def _until_listening(self) -> None:
        assert self._process is not None
        async with asyncio.timeout(_SECONDS):
            while True:
                if self._process.returncode is not None:
                    raise NotOffered(f"ejabberd ended with {self._process.returncode}")
                try:
                    (await self._stream()).cut()
                    return
                except OSError:
                    await asyncio.sleep(0.1)


def _installed() -> Path | None:
    """Where the package's code is."""
    return next(iter(sorted(_LIBRARIES.glob("ejabberd-*"))), None)
