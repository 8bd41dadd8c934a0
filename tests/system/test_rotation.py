"""The rotations of docs/operating.md, by its own commands, while people chat: none is refused."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from stonechat import Client

from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from tests import door, walk
from tests.conftest import CHEAP_PASSWORDS
from tests.logs import errors
from tests.signed import event, signed
from tests.walk import Shell
from tests.wire import PASSWORD, Refused, Wire, direct

PAGE = "operating.md"


@pytest.fixture
async def own() -> AsyncIterator[Stack]:
    """A whole system whose secrets may be changed."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        async with Stack(on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS)) as made:
            yield made
        assert errors(made.layout.logs) == []


@pytest.fixture
def shell(own: Stack, tmp_path: Path) -> Shell:
    """The operator's, where `.local` is what `make up` would have made."""
    (tmp_path / ".local").symlink_to(own.layout.directory)
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    return Shell(tmp_path, mine)


class Chatter:
    """Two people, one of whom writes and asks all the time. A refusal ends it, and the test."""

    def __init__(self, alice: Client, bob: Client) -> None:
        self.conv = direct(alice.uid, bob.uid)
        self.acknowledged = 0
        self.stopping = asyncio.Event()
        self._alice = alice
        self._bob = bob

    async def write(self) -> None:
        while not self.stopping.is_set():
            sent = await self._alice.send(conv=self.conv, text=str(self.acknowledged))
            self.acknowledged += 1
            assert sent.seq == self.acknowledged
            found = await self._alice.call("message.history", {"conv": self.conv, "limit": 1})
            assert found["last_seq"] == self.acknowledged
            await asyncio.sleep(0.01)

    async def go_on(self) -> None:
        """Returns when more was written."""
        enough = self.acknowledged + 5
        async with asyncio.timeout(60):
            while self.acknowledged < enough:
                await asyncio.sleep(0.02)

    async def heard(self) -> list[int]:
        """The numbers that the other got, when it has all."""
        found = []
        async with asyncio.timeout(60):
            async for entry in self._bob.entries():
                found.append(entry.seq)
                if entry.seq == self.acknowledged:
                    break
        return found


@asynccontextmanager
async def chatting(own: Stack, name: str) -> AsyncIterator[Chatter]:
    urls = own.layout.connector_urls
    async with Client(urls) as alice, Client(urls[::-1]) as bob:
        await alice.register(name + "a", PASSWORD)
        await bob.register(name + "b", PASSWORD)
        chatter = Chatter(alice, bob)
        writing = asyncio.create_task(chatter.write())
        try:
            yield chatter
        finally:
            chatter.stopping.set()
            await writing
        assert await chatter.heard() == list(range(1, chatter.acknowledged + 1))


async def executes(own: Stack, secrets: Path) -> bool:
    """Whether functions execute what somebody with these secrets signs."""
    batch = signed(secrets, "user", [event("user.get", "somebody1", uids=["somebody1"])])
    async with httpx.AsyncClient(base_url=own.layout.gateway_url) as http:
        answer = await http.post("/function/user", content=batch.body, headers=batch.headers)
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


async def shows_metrics(own: Stack, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=own.layout.gateway_url) as http:
        answer = await http.get("/function/user/metrics", headers=headers)
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def kept(own: Stack, folder: Path) -> Path:
    """A copy of the secrets as they are now: a thief's."""
    folder.mkdir()
    for each in own.layout.secrets.iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    return folder


@pytest.mark.timeout(180)
async def test_the_connectors_key(own: Stack, shell: Shell, name: str, tmp_path: Path) -> None:
    old, new = kept(own, tmp_path / "old"), tmp_path / ".local" / "new"
    first, second, third = walk.commands(PAGE, "The connectors' key")
    pids = await processes(own)
    async with chatting(own, name) as chatter:
        await chatter.go_on()
        await shell.run(first)
        assert (await executes(own, old), await executes(own, new)) == (True, True)
        await chatter.go_on()
        await shell.run(second)
        await chatter.go_on()
        fresh = kept(own, tmp_path / "fresh")
        await shell.run(third)
        assert (await executes(own, old), await executes(own, fresh)) == (False, True)
        await chatter.go_on()
    assert not new.exists()
    assert not set(pids) & set(await processes(own))
    assert {each.stat().st_mode & 0o777 for each in own.layout.secrets.iterdir()} == {0o600}


async def processes(own: Stack) -> list[int]:
    """Those of connectors and of all functions that chat needs."""
    found = [each.pid for each in own.connectors]
    for name in ("auth", "group", "send", "sync"):
        found += await own.function_pids(name)
    return found


@pytest.mark.timeout(180)
async def test_the_metrics_token(own: Stack, shell: Shell, name: str) -> None:
    old = secretfiles.read(own.layout.secrets, secretfiles.METRICS_TOKEN)
    first, second = walk.commands(PAGE, "The metrics token")
    async with chatting(own, name) as chatter:
        await shell.run(first)
        new = secretfiles.read(own.layout.directory / "new", secretfiles.METRICS_TOKEN)
        assert (await shows_metrics(own, old), await shows_metrics(own, new)) == (True, True)
        await chatter.go_on()
        await shell.run(second)
        assert (await shows_metrics(own, old), await shows_metrics(own, new)) == (False, True)
        await chatter.go_on()


@pytest.mark.timeout(180)
async def test_the_signing_key(own: Stack, shell: Shell, name: str) -> None:
    url = own.layout.connector_urls[0]
    first, second, third = walk.commands(PAGE, "The signing key")
    known = await Wire.sign_in(url, name)
    await shell.run(first)
    await opened(url, known.tokens["access_token"])
    await shell.run(second)
    await opened(url, known.tokens["access_token"])
    wire = await Wire.connect(url)
    spent = {"refresh_token": known.tokens["refresh_token"]}
    fresh = await wire.call("auth.refresh", **spent)
    await shell.run(third)
    await opened(url, fresh["access_token"])
    with pytest.raises(Refused) as refused:
        await opened(url, known.tokens["access_token"])
    assert refused.value.reason == "unauthenticated"


async def opened(url: str, token: str) -> None:
    wire = await Wire.connect(url)
    await wire.open(token)
    await wire.close()


async def test_calls_over_http_outlast_a_restart(own: Stack, name: str) -> None:
    """They have no session: whoever repeats them with their `cid` is answered once."""
    url = own.layout.connector_urls[0]
    made = door.request("auth.register", username=name, password=PASSWORD)
    _, answer = await door.post(url, made)
    uid, token = answer["result"]["uid"], answer["result"]["access_token"]
    stopping, seqs = asyncio.Event(), []

    async def write() -> None:
        while not stopping.is_set():
            text = {"type": "text", "body": {"text": "x"}}
            send = door.request("message.send", to=uid, cid=f"c{len(seqs)}", **text)
            try:
                status, answer = await door.post(url, send, token)
            except httpx.TransportError:
                status = 503
            if status == 200:
                seqs.append(answer["result"]["seq"])
            else:
                assert status == 503
                await asyncio.sleep(0.05)

    writing = asyncio.create_task(write())
    await own.restart_functions()
    await own.restart_connectors()
    enough = len(seqs) + 3
    async with asyncio.timeout(30):
        while len(seqs) < enough:
            await asyncio.sleep(0.02)
    stopping.set()
    await writing
    assert seqs == list(range(1, len(seqs) + 1))
