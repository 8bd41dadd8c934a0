"""Functions that answer nonsense, in every role, while people chat: nobody else notices."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from local.deploy import Front
from local.deployment import Packed, parse
from local.layout import on_free_ports
from local.stack import Stack
from shared import secretfiles
from tests.conftest import CHEAP_PASSWORDS
from tests.system.test_hot_deployment import chatting
from tests.wire import Refused, Wire

# What a stranger's function may answer to whatever it is asked.
NONSENSE = {
    "stock": 'return {"statusCode": 200, "body": "Hello from OpenFaaS!"}',
    "html": 'return "<html>so sorry</html>", 500, {"Content-Type": "text/html"}',
    "breaks": 'raise RuntimeError("whatever")',
    "empty": 'return ""',
    "null": 'return "null"',
    "many": r'return "\n".join(["{}"] * 1000)',
    "list": 'return "[[[[]]]]"',
    "both": """return '{"result": 1, "error": 2}'""",
    "text": """return '{"error": "no"}'""",
    "code": """return '{"error": {"code": "x", "message": 1, "data": null}}'""",
    "later": """return '{"error": {"code": -32006, "message": "m", "data": {"reason": "x", """
    """"retry_after": "soon"}}}'""",
    "number": """return '{"result": {"channels": 7}}'""",
    "things": """return '{"result": {"channels": [{"a": 1}, null, 3]}}'""",
    "deep": 'return "[" * 5000 + "]" * 5000',
    "bytes": r'return b"\xff\xfe\x00"',
    "moved": 'return "", 302, {"Location": "http://127.0.0.1:9/"}',
    "gone": 'return "no", 404',
    "denied": 'return "no", 401',
}
HANDLER = """
def handle(event, context):
    {body}
"""


@pytest.fixture
async def own() -> AsyncIterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        made = on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS)
        async with Stack(made) as stack:
            yield stack


def packed(folder: Path, kind: str) -> Packed:
    """A function that answers so, in every role that a function may have."""
    place = folder / kind
    place.mkdir()
    (place / "handler.py").write_text(HANDLER.format(body=NONSENSE[kind]))
    annotations = {
        "topic": "stonechat",
        "stonechat.methods": f"{kind}.ask,message.send,session.channels,session.open,{kind}",
        "stonechat.public": f"{kind}.ask,message.send",
        "stonechat.events": "session.opened,session.closed,message.created",
        "stonechat.before": "message.send,conversation.read",
        "stonechat.before.policy": "pass",
        "stonechat.before.budget": "²",
        "stonechat.lanes": "-3",
    }
    deployment = {"service": kind, "image": f"{kind}:1", "annotations": annotations}
    return Packed(parse(deployment), place)


async def sign_in_and_write(urls: list[str], name: str) -> None:
    """What somebody new does."""
    for number, url in enumerate(urls):
        wire = await Wire.sign_in(url, f"{name}{number}")
        await wire.send(wire.uid, "c")
        await wire.close()


async def their_own_callers_are_told(wire: Wire) -> None:
    async def asked(kind: str) -> str:
        try:
            await wire.call(f"{kind}.ask")
        except Refused as refused:
            return refused.reason
        return "answered"

    found = dict(zip(NONSENSE, await asyncio.gather(*map(asked, NONSENSE)), strict=True))
    assert found.pop("gone") == "unknown_method"
    # A well-formed result is theirs to give, whatever it holds.
    assert found.pop("number") == found.pop("things") == "answered"
    assert set(found.values()) <= {"unavailable"}, found


async def test_nobody_notices_functions_that_answer_nonsense(own: Stack, name: str) -> None:
    urls = own.layout.connector_urls
    password = secretfiles.read(own.layout.secrets, secretfiles.GATEWAY_PASSWORD)
    front = Front(own.layout.gateway_url, "admin", password)
    with tempfile.TemporaryDirectory() as folder:
        async with chatting(urls, name) as chatter:
            for kind in NONSENSE:
                await asyncio.to_thread(front.up, packed(Path(folder), kind))
            await until_known(urls, name)
            await their_own_callers_are_told(chatter.wires[0])
            await sign_in_and_write(urls, name + "new")
            await chatter.go_on()
            for kind in NONSENSE:
                await asyncio.to_thread(front.remove, kind)
            await sign_in_and_write(urls, name + "after")
            await chatter.go_on()
    assert all(part.running for part in own.connectors)


async def until_known(urls: list[str], name: str) -> None:
    """Returns when both connectors have the functions in their maps."""
    for url in urls:
        wire = await Wire.sign_in(url, name + "looks")
        for kind in NONSENSE:
            with pytest.raises(Refused) as refused:
                await wire.call(f"{kind}.not_there")
            assert refused.value.reason == "unknown_method"
        await wire.close()
