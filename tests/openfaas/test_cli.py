"""The real faas-cli, against the real gateway with the local front as its provider."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson

from local.layout import ROOT
from shared.ids import new_id
from tests import door
from tests.openfaas.conftest import Cluster
from tests.walk import Walk
from tests.wire import Refused, Wire, direct

WORDS = [
    line
    for line in (ROOT / "examples" / "moderation" / "words.txt").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
FUNCTIONS = ("auth", "friend", "group", "presence", "send", "sync", "user")


async def test_what_is_deployed_is_listed_and_described(cluster: Cluster) -> None:
    listed = await cluster.faas("list", "-q")
    assert set(listed.split()) >= set(FUNCTIONS)
    described = await cluster.faas("describe", "send")
    for line in ("Name:               send", "Status:             Ready", "stonechat.lanes: 1"):
        assert line in described
    assert "stonechat-content-keys" in described
    version = await cluster.faas("version", "--warn-update=false")
    assert "stonechat-local" in version
    assert "openfaas-fn" in await cluster.faas("namespace", "list")


async def test_secrets(cluster: Cluster) -> None:
    assert "202" in await cluster.faas("secret", "create", "a-secret", "--from-literal", "one")
    assert "a-secret" in await cluster.faas("secret", "list")
    await cluster.faas("secret", "update", "a-secret", "--from-literal", "two")
    assert (cluster.provider.layout.secrets / "a-secret").read_text() == "two\n"
    await cluster.faas("secret", "remove", "a-secret")
    assert "a-secret" not in await cluster.faas("secret", "list")
    own = await cluster.faas("secret", "remove", "stonechat-signing-key", refused=True)
    assert "403" in own or "not permitted" in own.lower()


async def test_a_feature_from_nothing(cluster: Cluster, name: str) -> None:
    """As docs/writing-a-function.md has it."""
    stack = cluster.home / "stack.yml"
    before = stack.read_text()
    await cluster.faas("new", "--lang", "stonechat", "greet", "--append", "stack.yml")
    stack.write_text(
        stack.read_text().rstrip()
        + "\n    annotations:\n      topic: stonechat\n      stonechat.methods: hello.say\n"
        + "    secrets: [stonechat-connector-public, stonechat-metrics-token]\n"
    )
    wire = await Wire.sign_in(cluster.urls[0], name)
    handler = cluster.home / "greet" / "handler.py"
    unnamed = await cluster.faas("up", "--filter", "greet", refused=True)
    assert "deployed as greet, its handler says Function('hello')" in unnamed
    handler.write_text(handler.read_text().replace('Function("hello")', 'Function("greet")'))
    assert "202" in await cluster.faas("up", "--filter", "greet")
    async with asyncio.timeout(5):
        while (greeted := await hello(wire)) == "unknown_method":
            await asyncio.sleep(0.05)
    assert greeted == "Hello, Ada!"
    asked, token = door.request("hello.say", name="Bob"), wire.tokens["access_token"]
    _, answer = await door.post(cluster.urls[0], asked, token)
    assert answer["result"]["text"] == "Hello, Bob!"
    bearer = f"Authorization: Bearer {token}"
    refused = await cluster.faas(
        "invoke", "greet", "-H", bearer, given=asked.decode(), refused=True
    )
    assert "401" in refused or "unauthorized" in refused.lower()

    handler.write_text(handler.read_text().replace("Hello,", "Good evening,"))
    await cluster.faas("up", "--filter", "greet")
    assert await hello(wire) == "Good evening, Ada!"

    handler.write_text("raise ValueError('not today')\n")
    assert "not today" in await cluster.faas("up", "--filter", "greet", refused=True)
    assert await hello(wire) == "Good evening, Ada!"

    await cluster.faas("remove", "--filter", "greet")
    assert await hello(wire) == "unknown_method"
    stack.write_text(before)


async def hello(wire: Wire) -> str:
    try:
        found = await wire.call("hello.say", name="Ada")
    except Refused as refused:
        return refused.reason
    return str(found["text"])


async def test_logs(cluster: Cluster) -> None:
    folder = cluster.home / "talks"
    folder.mkdir()
    (folder / "handler.py").write_text(
        "def handle(event, context):\n    print(event.body.decode())\n    return 'said'\n"
    )
    (cluster.home / "talks.yml").write_text(
        "version: 1.0\nprovider: {name: openfaas}\nfunctions:\n"
        "  talks: {lang: stonechat, handler: ./talks, image: talks:1}\n"
        "configuration:\n  copy: [./shared]\n"
    )
    await cluster.faas("up", "-f", "talks.yml")
    assert "said" in await cluster.faas("invoke", "talks", given="something worth a line")
    async with asyncio.timeout(20):
        while "something worth a line" not in await cluster.faas("logs", "talks", "--tail=false"):
            await asyncio.sleep(0.1)
    await cluster.faas("remove", "talks")


async def test_every_context_is_made_and_runs(cluster: Cluster) -> None:
    await cluster.faas("build", "--shrinkwrap", "-f", "stack.yml")
    for name in FUNCTIONS:
        context = cluster.home / "build" / name
        assert (context / "index.py").is_file()
        assert (context / "function" / "handler.py").is_file()
        assert (context / "function" / "shared" / "function.py").is_file()
        assert await ready(context)


async def ready(context: Path) -> bool:
    """Whether the handler is loaded as the image's layout has it: `shared` from the context."""
    code = "import sys, index, pathlib; index.load(pathlib.Path('function')); import shared; "
    code += "print(shared.__file__ or list(shared.__path__)[0])"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        cwd=context,
        env={"PYTHONPATH": "function"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode == 0 and str(context.resolve()) in str(Path(out.decode()).resolve())


async def test_the_ten_minutes_of_the_documentation(cluster: Cluster, tmp_path: Path) -> None:
    secrets = tmp_path / ".local"
    secrets.symlink_to(cluster.provider.layout.directory)
    environment = cluster.environment | {
        "STONECHAT_URL": cluster.urls[0],
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    told = await Walk(tmp_path, environment).go(faas=True)
    entries = orjson.loads(told[-1])["entries"]
    assert [each["type"] for each in entries] == ["group", "poll", "vote"]


async def test_the_examples_come_and_go(cluster: Cluster, name: str) -> None:
    wire = await Wire.sign_in(cluster.urls[0], name)
    note = direct(wire.uid, wire.uid)
    await cluster.faas("up", "-f", "examples/stack.yml")
    ask = {"conv": note, "cid": "p1", "question": "Tea?", "options": ["yes", "no"]}
    async with asyncio.timeout(5):
        while "error" in (answer := await wire.start("poll.create", **ask)):
            assert answer["error"]["data"]["reason"] == "unknown_method"
            await asyncio.sleep(0.05)
    assert answer["result"]["seq"] == 1
    async with asyncio.timeout(5):  # the hook may be found a moment later than the poll
        while "result" in (answer := await wire.start("message.send", **message(note))):
            await asyncio.sleep(0.05)
    assert answer["error"]["data"]["reason"] == "forbidden"
    await cluster.faas("remove", "-f", "examples/stack.yml")
    async with asyncio.timeout(5):
        while "error" in (answer := await wire.start("message.send", **message(note))):
            await asyncio.sleep(0.05)


def message(conv: str) -> dict[str, Any]:
    """One with a word of the list."""
    return {"conv": conv, "cid": new_id(), "type": "text", "body": {"text": WORDS[0]}}
