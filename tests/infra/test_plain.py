"""The plain mode, run: a connector with the chart's routes, nginx with its configuration
before the functions of the stack. A gateway is not asked for routes."""

import functools
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from local import health, ports
from local.part import Part
from local.stack import Stack
from tests.infra import chart
from tests.infra.chart import STORES, Chart, environment, parse, render
from tests.wire import Wire

LEFT_OUT = chart.absent("helm", "nginx")
if LEFT_OUT:
    pytest.skip(LEFT_OUT, allow_module_level=True)

# Where the tests are root's, so is their folder, and nginx would work as another user.
_ALONE = "daemon off; user root;"


@pytest.fixture(scope="module")
def rendered() -> Chart:
    return Chart(parse(render(STORES | {"mode": "plain"})))


@pytest.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as parts:
        yield parts


@pytest.fixture
async def router(stack: Stack, rendered: Chart, running: AsyncExitStack, tmp_path: Path) -> str:
    """The router's address. What are names of Services in a cluster leads to the functions here."""
    port, config = ports.free_port(), tmp_path / "nginx.conf"
    text: str = rendered.all("ConfigMap")["stonechat-router"]["data"]["nginx.conf"]
    here = rf"{stack.layout.gateway_url}/function/\1/"
    text = re.sub(r"http://stonechat-fn-([a-z]+):8080/", here, text)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{tmp_path}/")
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
    return f"http://127.0.0.1:{port}"


@pytest.fixture
async def connector(
    stack: Stack, rendered: Chart, router: str, running: AsyncExitStack, tmp_path: Path
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
            "STONECHAT_GATEWAY_URL": router,
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


async def test_functions_answer_under_the_gateways_paths(router: str, name: str) -> None:
    params = {"username": name, "password": "correct horse"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "auth.register", "params": params}
    large = call | {"params": params | {"name": "x" * 3_000_000}}
    async with httpx.AsyncClient(base_url=router, timeout=20) as http:
        assert (await http.post("/function/auth", json=call)).json()["result"]["uid"]
        again = await http.post("/function/auth/", json=call | {"method": "auth.login"})
        assert again.json()["result"]["uid"]
        assert (await http.post("/function/auth", json=large)).status_code == 400
        assert (await http.get("/function/auth/metrics")).status_code == 401
        assert (await http.post("/function/authentic", json=call)).status_code == 404
        assert (await http.get("/")).status_code == 404
