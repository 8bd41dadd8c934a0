"""The operators' API of the gateway front: deploy, update, scale, remove, logs, secrets, images."""

import asyncio
import base64
import hashlib
import hmac
import io
import os
import signal
import tarfile
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import DeployFailedError, Front
from local.deployment import Packed, parse
from local.images import CONFIG
from local.layout import ROOT, Layout
from local.part import Part
from shared import secretfiles
from tests.local.test_gateway import gateway_part

SAYS = """
import os, pathlib, time

def handle(event, context):
    if event.path == "/slow":
        pathlib.Path(os.environ["BEGUN"]).touch()
        while not pathlib.Path(os.environ["GO"]).exists():
            time.sleep(0.01)
    if event.path == "/secrets":
        return ",".join(sorted(os.listdir(os.environ["STONECHAT_SECRETS_DIR"])))
    if event.path == "/pid":
        return str(os.getpid())
    return WORD
"""


class Operator:
    """A gateway front and whoever operates it."""

    def __init__(self, part: Part, folder: Path, layout: Layout) -> None:
        self.part = part
        self.folder = folder
        self.secrets = layout.secrets
        url = f"http://127.0.0.1:{part.name.split(':')[1]}"
        password = secretfiles.read(layout.secrets, secretfiles.GATEWAY_PASSWORD)
        self.password = password
        self.front = Front(url, "admin", password)
        self.http = httpx.AsyncClient(base_url=url, auth=("admin", password), timeout=30)

    async def up(self, word: str, name: str = "says", **more: Any) -> None:
        """Deploys a function that says the word."""
        source = self.folder / f"source-{name}"
        source.mkdir(exist_ok=True)
        (source / "handler.py").write_text(f"WORD = {word!r}\n{SAYS}")
        deployment = parse({"service": name, "image": f"{name}:1"} | more)
        await asyncio.to_thread(self.front.up, Packed(deployment, source))

    async def says(self, path: str = "", name: str = "says") -> str:
        answer = await self.http.get(f"/function/{name}{path}")
        return answer.text if answer.status_code == 200 else str(answer.status_code)

    async def refusal(self, method: str, path: str, **body: Any) -> tuple[int, str]:
        answer = await self.http.request(method, path, json=body)
        return answer.status_code, answer.text.strip()


Start = Callable[[], Any]


@pytest.fixture
async def operator(layout: Layout, tmp_path: Path) -> AsyncIterator[Operator]:
    """A front with no function at all."""
    secretfiles.create_missing(layout.secrets)
    (tmp_path / "stack.yml").write_text("functions: {}\n")
    part = gateway_part(layout, tmp_path / "stack.yml", tmp_path)
    await part.start()
    made = Operator(part, tmp_path, layout)
    yield made
    await made.http.aclose()
    await part.stop()


async def test_a_function_is_there_as_soon_as_it_is_deployed(operator: Operator) -> None:
    await operator.up(
        "hello",
        annotations={"topic": "stonechat", "stonechat.methods": "says.it"},
        labels={"team": "a"},
        limits={"memory": "64Mi", "cpu": "100m"},
        readOnlyRootFilesystem=True,
    )
    assert await operator.says() == "hello"
    assert await operator.says(name="says.openfaas-fn") == "hello"
    found = (await operator.http.get("/system/function/says")).json()
    assert found["annotations"] == {"topic": "stonechat", "stonechat.methods": "says.it"}
    assert found["limits"] == {"memory": "64Mi", "cpu": "100m"}
    assert (found["image"], found["labels"], found["readOnlyRootFilesystem"]) == (
        "says:1",
        {"team": "a"},
        True,
    )
    assert (found["replicas"], found["availableReplicas"], found["invocationCount"]) == (1, 1, 2)


async def test_an_update_cuts_no_call_off(operator: Operator, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    environment = {"BEGUN": str(begun), "GO": str(go)}
    await operator.up("old", envVars=environment)
    slow = asyncio.create_task(operator.says("/slow"))
    async with asyncio.timeout(20):
        while not begun.exists():
            await asyncio.sleep(0.01)
    stopping, heard = asyncio.Event(), []

    async def listen() -> None:
        while not stopping.is_set():
            heard.append(await operator.says())

    listening = [asyncio.create_task(listen()) for _ in range(4)]
    for number in range(3):
        await operator.up(f"new {number}", envVars=environment)
    assert await operator.says() == "new 2"
    stopping.set()
    await asyncio.gather(*listening)
    assert set(heard) <= {"old", "new 0", "new 1", "new 2"}
    assert heard == sorted(heard, key=lambda word: (word != "old", word))
    go.touch()
    assert await slow == "old"


async def test_what_does_not_start_replaces_nothing(operator: Operator) -> None:
    await operator.up("old")
    source = operator.folder / "source-says" / "handler.py"
    source.write_text("raise ValueError('not today')\n")
    broken = Packed(parse({"service": "says", "image": "says:2"}), source.parent)
    with pytest.raises(DeployFailedError, match="says did not start: ValueError: not today"):
        await asyncio.to_thread(operator.front.up, broken)
    assert await operator.says() == "old"
    assert (await operator.http.get("/system/function/says")).json()["image"] == "says:1"


async def test_scaling(operator: Operator) -> None:
    await operator.up("hello")
    answer = await operator.http.post("/system/scale-function/says", json={"replicas": 3})
    assert answer.status_code == 202
    assert len({await operator.says("/pid") for _ in range(9)}) == 3
    await operator.up("again")
    assert (await operator.http.get("/system/function/says")).json()["replicas"] == 3
    for count, seen in ((1, "again"), (0, "503"), (1, "again")):
        await operator.http.post("/system/scale-function/says", json={"replicas": count})
        assert await operator.says() == seen
    scale = "/system/scale-function/says"
    assert (await operator.refusal("POST", scale, replicas=6))[0] == 400
    assert (await operator.refusal("POST", scale, replicas="2"))[0] == 400
    assert (await operator.refusal("POST", "/system/scale-function/no", replicas=1))[0] == 404


async def test_removing(operator: Operator) -> None:
    await operator.up("hello")
    pid = int(await operator.says("/pid"))
    assert (await operator.refusal("DELETE", "/system/functions", functionName="says"))[0] == 202
    assert await operator.says() == "404"
    assert (await operator.refusal("DELETE", "/system/functions", functionName="says"))[0] == 404
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


async def test_what_was_deployed_is_there_after_a_restart(operator: Operator) -> None:
    await operator.up("kept")
    await operator.up("gone", name="other")
    await asyncio.to_thread(operator.front.remove, "other")
    await operator.part.stop()
    await operator.part.start()
    async with asyncio.timeout(20):
        while await operator.says() == "503":
            await asyncio.sleep(0.02)
    assert await operator.says() == "kept"
    assert await operator.says(name="other") == "404"


async def test_a_replica_that_is_killed_comes_back(operator: Operator) -> None:
    await operator.up("hello")
    first = int(await operator.says("/pid"))
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(20):
        while (found := await operator.says("/pid")) in ("502", "503", str(first)):
            await asyncio.sleep(0.02)
    assert int(found) != first


async def test_the_context_of_a_shrinkwrap_build(operator: Operator) -> None:
    context = operator.folder / "build" / "wrapped"
    for word in ("one", "two"):
        (context / "function").mkdir(parents=True)
        (context / "function" / "handler.py").write_text(f"WORD = {word!r}\n{SAYS}")
        body = {"service": "wrapped", "image": "wrapped:latest"}
        assert await operator.refusal("POST", "/system/functions", **body) == (202, "")
        assert await operator.says(name="wrapped") == word
        # As `faas-cli build` does: what was there goes, and the next build is a new folder.
        (context / "function" / "handler.py").unlink()
        (context / "function").rmdir()
        context.rmdir()
    assert await operator.refusal("PUT", "/system/functions", **body) == (202, "")
    assert await operator.says(name="wrapped") == "two"


async def test_a_handler_says_the_name_it_is_deployed_under(operator: Operator) -> None:
    source = ROOT / "template" / "stonechat" / "function"
    secrets = ["stonechat-connector-public", "stonechat-metrics-token"]
    for name, complaint in (("hello", ""), ("greet", r"deployed as greet, .* Function\('hello'\)")):
        asked = {"service": name, "image": f"{name}:1", "secrets": secrets}
        packed = Packed(parse(asked), source)
        with pytest.raises(DeployFailedError, match=complaint) if complaint else nullcontext():
            await asyncio.to_thread(operator.front.up, packed)


async def test_all_functions_are_restarted_and_read_their_secrets_again(
    operator: Operator,
) -> None:
    await operator.up("one")
    await operator.up("other", name="other")
    assert await operator.refusal("POST", "/system/scale-function/says", replicas=2) == (202, "")

    async def pids(name: str) -> set[int]:
        answer = await operator.http.get(f"/system/function/{name}")
        return set(answer.json()["processes"])

    before = {name: await pids(name) for name in ("says", "other")}
    assert await operator.refusal("POST", "/system/restart") == (202, "")
    after = {name: await pids(name) for name in ("says", "other")}
    assert {name: len(found) for name, found in after.items()} == {"says": 2, "other": 1}
    assert not any(before[name] & after[name] for name in after)
    assert (await operator.says(), await operator.says(name="other")) == ("one", "other")


async def test_a_function_sees_its_own_secrets_only(operator: Operator) -> None:
    assert await operator.refusal("POST", "/system/secrets", name="a-key", value="1") == (202, "")
    await operator.up("hello", secrets=["a-key", "stonechat-metrics-token"])
    assert await operator.says("/secrets") == "a-key,stonechat-metrics-token"
    await operator.up("hello", secrets=["a-key"])
    assert await operator.says("/secrets") == "a-key"
    with pytest.raises(DeployFailedError, match="there is no secret missing"):
        await operator.up("hello", secrets=["missing"])


async def test_secrets(operator: Operator) -> None:
    async def names() -> set[str]:
        listed = (await operator.http.get("/system/secrets")).json()
        assert all(set(each) == {"name", "namespace"} for each in listed)
        return {each["name"] for each in listed}

    secrets, raw = "/system/secrets", base64.b64encode(b"one").decode()
    assert await operator.refusal("POST", secrets, name="key", rawValue=raw) == (202, "")
    assert "key" in await names()
    assert secretfiles.read(operator.secrets, "key") == "one"
    assert (operator.secrets / "key").stat().st_mode & 0o777 == 0o600
    assert (await operator.refusal("POST", secrets, name="key", value="two"))[0] == 409
    assert (await operator.refusal("PUT", secrets, name="key", value="two"))[0] == 202
    assert secretfiles.read(operator.secrets, "key") == "two"
    assert (await operator.refusal("DELETE", secrets, name="key"))[0] == 202
    assert "key" not in await names()
    for method in ("PUT", "DELETE"):
        assert (await operator.refusal(method, secrets, name="key", value="x"))[0] == 404
        own = await operator.refusal(method, secrets, name="stonechat-metrics-token", value="x")
        assert own[0] == 403
    for name in ("../escape", "a/b", "", ".", "A"):
        assert (await operator.refusal("POST", secrets, name=name, value="x"))[0] == 400
    assert (await operator.refusal("POST", secrets, name="e", value=""))[0] == 400
    assert (await operator.refusal("POST", secrets, name="e", rawValue="%"))[0] == 400


async def test_logs(operator: Operator) -> None:
    source = operator.folder / "source-talks"
    source.mkdir()
    (source / "handler.py").write_text(
        "def handle(event, context):\n    print(event.body.decode())\n"
    )
    talks = Packed(parse({"service": "talks", "image": "talks:1"}), source)
    await asyncio.to_thread(operator.front.up, talks)

    async def say(text: str) -> None:
        await operator.http.post("/function/talks", content=text)

    async def told(**query: str) -> list[str]:
        answer = await operator.http.get("/system/logs", params={"name": "talks"} | query)
        return [each["text"] for each in map(httpx.Response.json, _lines(answer))]

    for number in range(3):
        await say(f"line {number}")
    async with asyncio.timeout(20):
        while len(await told()) < 3:
            await asyncio.sleep(0.02)
    assert await told() == ["line 0", "line 1", "line 2"]
    assert await told(tail="2") == ["line 1", "line 2"]
    follow = {"name": "talks", "follow": "true", "tail": "1"}
    async with operator.http.stream("GET", "/system/logs", params=follow) as stream:
        lines = stream.aiter_lines()
        assert '"line 2"' in await anext(lines)
        await say("later")
        async with asyncio.timeout(20):
            assert '"later"' in await anext(lines)
    assert (await operator.http.get("/system/logs", params={"name": "no"})).status_code == 404
    bad = await operator.http.get("/system/logs", params={"name": "talks", "tail": "x"})
    assert bad.status_code == 400


def _lines(answer: httpx.Response) -> list[httpx.Response]:
    return [httpx.Response(200, content=line) for line in answer.content.splitlines()]


async def test_a_log_that_is_followed_does_not_hold_up_the_end(operator: Operator) -> None:
    await operator.up("hello")
    follow = {"name": "says", "follow": "true"}
    async with operator.http.stream("GET", "/system/logs", params=follow) as stream:
        assert stream.status_code == 200
        await asyncio.wait_for(operator.part.stop(), 8)
        assert [line async for line in stream.aiter_lines()] == []


async def test_nobody_else_operates(operator: Operator) -> None:
    calls = [
        ("GET", "/system/functions"),
        ("POST", "/system/functions"),
        ("PUT", "/system/functions"),
        ("POST", "/system/restart"),
        ("DELETE", "/system/functions"),
        ("GET", "/system/function/says"),
        ("POST", "/system/scale-function/says"),
        ("GET", "/system/logs"),
        ("GET", "/system/secrets"),
        ("POST", "/system/secrets"),
        ("PUT", "/system/secrets"),
        ("DELETE", "/system/secrets"),
        ("GET", "/system/namespaces"),
        ("GET", "/system/info"),
    ]
    async with httpx.AsyncClient(base_url=operator.http.base_url) as stranger:
        for method, path in calls:
            assert (await stranger.request(method, path)).status_code == 401
        unsigned = await stranger.post("/build", content=b"x")
        assert unsigned.status_code == 401
        forged = {"X-Build-Signature": f"sha256={'0' * 64}"}
        assert (await stranger.post("/build", content=b"x", headers=forged)).status_code == 401


async def test_deployments_that_make_no_sense(operator: Operator) -> None:
    functions = "/system/functions"
    good = {"service": "a", "image": "a:1"}
    for bad in ({"service": "A"}, {"service": "../a"}, {"image": ""}, {"envVars": {"a": 1}}):
        assert (await operator.refusal("POST", functions, **(good | bad)))[0] == 400
    assert await operator.refusal("POST", functions, **(good | {"namespace": "other"})) == (
        400,
        "namespace: Value error, there is one namespace, openfaas-fn",
    )
    status, text = await operator.refusal("POST", functions, **good)
    assert status == 400
    assert "there is no image a:1" in text
    assert (await operator.refusal("PUT", functions, **good))[0] == 404
    other = await operator.http.get(functions, params={"namespace": "other"})
    assert other.status_code == 400
    assert (await operator.http.post(functions, content=b"{")).status_code == 400


async def test_archives_that_make_no_sense(operator: Operator) -> None:
    async def build(archive: bytes) -> str:
        digest = hmac.new(operator.password.encode(), archive, hashlib.sha256).hexdigest()
        headers = {"X-Build-Signature": f"sha256={digest}"}
        answer = await operator.http.post("/build", content=archive, headers=headers)
        assert answer.status_code == 200
        return str(answer.json().get("error", answer.json()["status"]))

    handler = {"context/function/handler.py": b"def handle(event, context): return 'x'\n"}
    named = {CONFIG: b'{"image": "made:1"}'}
    assert await build(_tar(handler | named)) == "success"
    assert "no function/handler.py" in await build(_tar(named))
    assert "does not say which image" in await build(_tar(handler | {CONFIG: b"{}"}))
    assert "outside" in await build(_tar(handler | named | {"context/../../x": b""}))
    assert "outside" in await build(_tar(handler | named | {"/x": b""}))
    assert "cannot be read" in await build(b"no archive")
    assert "cannot be read" in await build(_tar(handler | {CONFIG: b"{"}))
    asks = {"context/function/requirements.txt": b"./not-there-at-all\n"}
    assert "cannot be installed" in await build(_tar(handler | named | asks))


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _wheel(folder: Path) -> tuple[Path, str]:
    """A library of one word, as a wheel, and its hash."""
    wheel, info = folder / "sayings-1-py3-none-any.whl", "sayings-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr("sayings.py", "WORD = 'brought along'\n")
        out.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: sayings\nVersion: 1\n")
        out.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{info}/RECORD", "")
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


async def test_requirements_of_its_own(operator: Operator, tmp_path: Path) -> None:
    wheel, digest = _wheel(tmp_path)
    source = tmp_path / "source-brings"
    source.mkdir()
    (source / "handler.py").write_text(
        "import sayings\n\ndef handle(event, context):\n    return sayings.WORD\n"
    )
    brings = Packed(parse({"service": "brings", "image": "brings:1"}), source)
    for unsure in ("", f" --hash=sha256:{'0' * 64}"):
        (source / "requirements.txt").write_text(f"{wheel}{unsure}\n")
        with pytest.raises(DeployFailedError, match="cannot be installed"):
            await asyncio.to_thread(operator.front.up, brings)
    (source / "requirements.txt").write_text(f"{wheel} --hash=sha256:{digest}\n")
    await asyncio.to_thread(operator.front.up, brings)
    assert await operator.says(name="brings") == "brought along"
