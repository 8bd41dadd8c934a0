"""The plain mode, run: a connector with the chart's routes, nginx with its configuration
before the functions of the stack. A gateway is not asked for routes."""

import functools
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from aiohttp import web

from local import health, ports
from local.part import Part
from local.stack import Stack
from tests.infra import chart
from tests.infra.chart import STORES, Chart, environment, parse, render
from tests.signed import event, post, signed
from tests.wire import Wire

LEFT_OUT = chart.absent("helm", "nginx")
if LEFT_OUT:
    pytest.skip(LEFT_OUT, allow_module_level=True)

# Where the tests are root's, so is their folder, and nginx would work as another user.
_ALONE = "daemon off; user root;"


# A function of a team's own with raw routes, which says what it was asked.
HOOKS = {
    "image": "hooks:1",
    "annotations": {"topic": "stonechat", "stonechat.raw": "/in, /a/b/"},
}


@pytest.fixture(scope="module")
def rendered() -> Chart:
    values = {"mode": "plain", "functions": {"extra": {"hooks": HOOKS}}}
    return Chart(parse(render(STORES | values)))


@pytest.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as parts:
        yield parts


@pytest.fixture
async def hooks(running: AsyncExitStack) -> str:
    """The address of the team's function."""

    async def say(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.path_qs}")

    app, port = web.Application(), ports.free_port()
    app.router.add_route("*", "/{path:.*}", say)
    runner = web.AppRunner(app)
    await runner.setup()
    running.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, ports.LOOPBACK, port).start()
    return f"http://{ports.LOOPBACK}:{port}"


class Router(NamedTuple):
    inside: str
    outside: str


@pytest.fixture
async def router(
    stack: Stack, hooks: str, rendered: Chart, running: AsyncExitStack, tmp_path: Path
) -> Router:
    """The router's addresses. What are names of Services in a cluster leads to functions here."""
    port, outside, config = ports.free_port(), ports.free_port(), tmp_path / "nginx.conf"
    text: str = rendered.all("ConfigMap")["stonechat-router"]["data"]["nginx.conf"]
    text = text.replace("http://stonechat-fn-hooks:8080", hooks)
    here = rf"{stack.layout.gateway_url}/function/\1/"
    text = re.sub(r"http://stonechat-fn-([a-z]+):8080/", here, text)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{tmp_path}/")
    text = text.replace("listen 8081", f"listen 127.0.0.1:{outside}")
    config.write_text(text)
    command = [shutil.which("nginx") or "", "-c", str(config), "-e", "stderr", "-g", _ALONE]
    part = Part(
        "router",
        command,
        environment={},
        log=tmp_path / "nginx.log",
        check=functools.partial(health.http, port, "/healthz"),
        used_ports=[port],
    )
    running.push_async_callback(part.stop)
    await part.start()
    return Router(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{outside}")


@pytest.fixture
async def connector(
    stack: Stack, rendered: Chart, router: Router, running: AsyncExitStack, tmp_path: Path
) -> str:
    """The address of a connector that is set up as the chart says, but for where things are."""
    file, port = tmp_path / "routes.json", ports.free_port()
    file.write_text(rendered.all("ConfigMap")["stonechat-routes"]["data"]["routes.json"])
    (container,) = rendered.pods()["stonechat-connector"]["spec"]["containers"]
    part = Part(
        "connector",
        [sys.executable, "-m", "connector"],
        environment=stack.layout.child_environment()
        | environment(container)
        | {
            "STONECHAT_CONNECTOR_HOST": "127.0.0.1",
            "STONECHAT_CONNECTOR_PORT": str(port),
            "STONECHAT_GATEWAY_URL": router.inside,
            "STONECHAT_ROUTES_FILE": str(file),
        },
        log=tmp_path / "connector.log",
        check=functools.partial(health.http, port, "/readyz"),
        used_ports=[port],
    )
    running.push_async_callback(part.stop)
    await part.start()
    return f"ws://127.0.0.1:{port}/v1"


async def test_people_chat_without_a_gateway(connector: str, name: str) -> None:
    alice = await Wire.sign_in(connector, name)
    bob = await Wire.sign_in(connector, f"{name}b")
    sent = await alice.send(bob.uid, "1", "hello")
    (entry,) = await bob.until("entry", 1)
    assert entry["seq"] == sent["seq"]
    await alice.close()
    await bob.close()


async def test_functions_answer_connectors_under_the_gateways_paths(
    stack: Stack, router: Router, name: str
) -> None:
    register = event("auth.register", username=name, password="correct horse", note="x" * 3_000_000)
    login = event("auth.login", username=name, password="correct horse")
    async with httpx.AsyncClient(base_url=router.inside, timeout=20) as http:
        for path, call in (("/function/auth", register), ("/function/auth/", login)):
            batch = signed(stack.layout.secrets, "auth", [call])
            (answer,) = await post(http, path, batch)
            assert answer["result"]["uid"]
            assert (await http.post(path, content=batch.body)).status_code == 401
            assert (await http.post(path + "entic", content=batch.body)).status_code in (401, 404)
        assert (await http.get("/function/auth/metrics")).status_code == 401
        assert (await http.get("/")).status_code == 404


async def test_outside_there_are_declared_raw_routes_alone(
    stack: Stack, router: Router, name: str
) -> None:
    async with httpx.AsyncClient(base_url=router.outside, timeout=20) as http:
        for path, told in (
            ("/function/hooks/in", "POST /in"),
            ("/function/hooks/in/x?y=%20z", "POST /in/x?y=%20z"),
            ("/function/hooks/a/b", "POST /a/b"),
            ("/function/hooks/a/b/", "POST /a/b/"),
        ):
            assert (await http.post(path)).text == told
        batch = signed(stack.layout.secrets, "auth", [event("auth.config")])
        for path in (
            "/",
            "/healthz",
            "/function/auth",
            "/function/auth/",
            "/function/auth/metrics",
            "/function/hooks",
            "/function/hooks/",
            "/function/hooks/metrics",
            "/function/hooks/inside",
            "/function/hooks/a",
            "/function/hooks/in/../metrics",
            "/function/hooks/in/%2e%2e/metrics",
            "/function/hooks/in/../../auth",
            "/function/hooks//in",
        ):
            url = httpx.URL(router.outside).copy_with(raw_path=path.encode())
            answer = await http.post(url, content=batch.body, headers=batch.headers)
            outside = answer.status_code == 404 or answer.text == "POST /in"
            assert outside, (path, answer.status_code, answer.text)
