"""The plain mode's router, run: nginx with the chart's own configuration before real functions."""

import asyncio
import functools
import re
import shutil
from pathlib import Path

import httpx
import pytest

from local import health, ports
from local.part import Part
from local.stack import Stack
from tests.infra import chart
from tests.infra.chart import STORES, Chart, parse, render

LEFT_OUT = chart.found("helm", "nginx")
# Where the tests are root's, so is their folder, and nginx would work as another user.
_ALONE = "daemon off; user root;"
pytestmark = pytest.mark.skipif(bool(LEFT_OUT), reason=LEFT_OUT)


def configuration(stack: Stack, port: int, folder: Path) -> str:
    """The chart's, where the names of a cluster's Services lead to the functions running here."""
    rendered = Chart(parse(render(STORES | {"mode": "plain"})))
    text: str = rendered.all("ConfigMap")["stonechat-router"]["data"]["nginx.conf"]
    here = rf"{stack.layout.gateway_url}/function/\1/"
    text = re.sub(r"http://stonechat-fn-([a-z]+):8080/", here, text)
    return text.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{folder}/")


async def test_functions_answer_under_the_gateways_paths(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    port, config = ports.free_port(), tmp_path / "nginx.conf"
    config.write_text(configuration(stack, port, tmp_path))
    router = Part(
        "router",
        [shutil.which("nginx") or "", "-c", str(config), "-e", "stderr", "-g", _ALONE],
        environment={},
        log=tmp_path / "nginx.log",
        check=functools.partial(health.http, port, "/healthz"),
        used_ports=[port],
    )
    await router.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
            params = {"username": name, "password": "correct horse"}
            call = {"jsonrpc": "2.0", "id": 1, "method": "auth.register", "params": params}
            plain, slashed = await asyncio.gather(
                http.post("/function/auth", json=call),
                http.post("/function/auth/", json=call | {"method": "auth.login"}),
            )
            assert plain.json()["result"]["uid"]
            assert slashed.status_code in (200, 401)  # before the registration or after
            large = call | {"params": params | {"name": "x" * 3_000_000}}
            assert (await http.post("/function/auth", json=large)).status_code == 400
            assert (await http.get("/function/auth/metrics")).status_code == 401
            assert (await http.post("/function/authentic", json=call)).status_code == 404
            assert (await http.get("/")).status_code == 404
    finally:
        await router.stop()
