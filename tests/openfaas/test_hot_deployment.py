"""As tests/system/test_hot_deployment.py, with the real faas-cli and gateway, and watchdogs."""

import asyncio

from local.provider import WATCHDOG_LABEL
from tests.openfaas.conftest import Cluster
from tests.system.test_hot_deployment import RATE, chatting


async def test_send_is_rolled_over_while_it_is_used(cluster: Cluster, name: str) -> None:
    await cluster.faas("build", "--shrinkwrap", "-f", "stack.yml", "--filter", "send")
    deploy = ("deploy", "-f", "stack.yml", "--filter", "send")
    async with chatting(cluster.urls, name) as chatter:
        for more in ((), ("--label", f"{WATCHDOG_LABEL}=true"), ()):
            sent = chatter.sent
            await cluster.faas(*deploy, *more)
            async with asyncio.timeout(30):
                while chatter.sent < sent + RATE // 2:
                    await asyncio.sleep(0.02)
    assert chatter.sent > RATE
