"""OpenFaaS' own programs around ours: client → connector → the real gateway → the local front as
its provider → functions, some of them below the real of-watchdog. And the real faas-cli.

The gateway counts invocations by Prometheus and breaks where it has none, so a server stands in for
that which answers every query, as Prometheus does, with an empty vector.
"""

import asyncio
import functools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from local import health, ports
from local.layout import ROOT, on_free_ports
from local.part import Part
from local.stack import Stack
from shared import secretfiles
from tests.conftest import CHEAP_PASSWORDS

PROGRAMS = ("faas-cli", "gateway", "of-watchdog")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
GATEWAY = 8080  # the gateway's ports are fixed, in its code
GATEWAY_METRICS = 8082


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if MISSING:
        why = pytest.mark.skip(reason=f"left out, without {', '.join(MISSING)}: make test-openfaas")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(why)


class Cluster:
    """A system whose functions are behind the real gateway."""

    def __init__(self, provider: Stack, connectors: Stack, home: Path) -> None:
        self.provider = provider
        self.connectors = connectors
        self.home = home
        self.gateway_url = f"http://{ports.LOOPBACK}:{GATEWAY}"
        secrets = provider.layout.secrets
        self.environment = dict(os.environ) | {
            "HOME": str(home),
            "OPENFAAS_URL": self.gateway_url,
            "OPENFAAS_REMOTE_BUILDER": provider.layout.gateway_url,
            "OPENFAAS_PAYLOAD_SECRET": str(secrets / secretfiles.GATEWAY_PASSWORD),
        }

    @property
    def urls(self) -> list[str]:
        return self.connectors.layout.connector_urls

    async def faas(self, *arguments: str, given: str = "", refused: bool = False) -> str:
        """What faas-cli printed, working in the home folder."""
        process = await asyncio.create_subprocess_exec(
            "faas-cli",
            *arguments,
            cwd=self.home,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(given.encode()), 90)
        printed = out.decode()
        assert (process.returncode != 0) == refused, printed
        return printed


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="stonechat-")))
        home = folder / "home"
        home.mkdir()
        for name in ("template", "shared", "functions", "examples"):
            (home / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "stack.yml", home)
        watchdog = {"STONECHAT_WATCHDOG": shutil.which("of-watchdog") or ""}
        settings = CHEAP_PASSWORDS | watchdog
        layout = replace(
            on_free_ports(folder / "data", connectors=0, **settings), contexts=home / "build"
        )
        provider = await ends.enter_async_context(Stack(layout))
        prometheus = await _prometheus(ends)
        await _gateway(ends, prometheus, layout.gateway_url, layout.secrets, folder)
        environment = {
            name: value
            for name, value in layout.child_environment().items()
            if name.startswith("STONECHAT_")
        } | {"STONECHAT_GATEWAY_URL": f"http://{ports.LOOPBACK}:{GATEWAY}"}
        outside = replace(
            on_free_ports(folder / "connectors", connectors=2, **environment),
            redis_port=None,
            mongo_port=None,
            s3_port=None,
            gateway_port=None,
        )
        connectors = await ends.enter_async_context(Stack(outside))
        made = Cluster(provider, connectors, home)
        password = secretfiles.read(layout.secrets, secretfiles.GATEWAY_PASSWORD)
        await made.faas("login", "-u", "admin", "--password-stdin", given=password)
        yield made


async def _prometheus(ends: AsyncExitStack) -> int:
    """Its port."""
    empty = {"status": "success", "data": {"resultType": "vector", "result": []}}

    async def query(request: web.Request) -> web.Response:
        return web.json_response(empty)

    app = web.Application()
    app.router.add_get("/api/v1/query", query)
    runner = web.AppRunner(app)
    await runner.setup()
    ends.push_async_callback(runner.cleanup)
    port = ports.free_port()
    await web.TCPSite(runner, ports.LOOPBACK, port).start()
    return port


async def _gateway(
    ends: AsyncExitStack, prometheus: int, provider: str, secrets: Path, folder: Path
) -> None:
    part = Part(
        "openfaas-gateway",
        [shutil.which("gateway") or ""],
        environment={
            "functions_provider_url": f"{provider}/",
            "logs_provider_url": f"{provider}/",
            "faas_prometheus_host": ports.LOOPBACK,
            "faas_prometheus_port": str(prometheus),
            "basic_auth": "true",
            "secret_mount_path": str(secrets),
            "scale_from_zero": "false",
            "direct_functions": "false",
            "function_namespace": "openfaas-fn",
            "read_timeout": "65s",
            "write_timeout": "65s",
            "upstream_timeout": "60s",
            "max_idle_conns": "1024",
            "max_idle_conns_per_host": "1024",
        },
        log=folder / "openfaas-gateway.log",
        check=functools.partial(health.http, GATEWAY, "/healthz"),
        used_ports=[GATEWAY, GATEWAY_METRICS],
    )
    await part.start()
    ends.push_async_callback(part.stop)
