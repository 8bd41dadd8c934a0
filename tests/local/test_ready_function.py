"""A function that is ready while its stores answer, and lives on where they do not."""

import asyncio
from pathlib import Path

from local.layout import ROOT, Layout
from local.stack import Stack
from tests.local.test_template import TEMPLATE, Run, run  # noqa: F401 (a fixture)
from tests.proxy import Proxy


async def test_a_function_is_ready_while_its_stores_answer(
    layout: Layout,
    stores: Stack,
    tmp_path: Path,
    run: Run,  # noqa: F811
) -> None:
    (tmp_path / "index.py").symlink_to(TEMPLATE / "index.py")
    (tmp_path / "shared").symlink_to(ROOT / "shared")
    environment = layout.child_environment()
    async with (
        Proxy(environment["STONECHAT_REDIS_URL"]) as redis,
        Proxy(environment["STONECHAT_MONGO_URL"]) as mongo,
    ):
        container = await run(
            tmp_path,
            environment
            | {
                "FUNCTION_DIR": str(ROOT / "functions" / "send"),
                "STONECHAT_REDIS_URL": redis.url,
                "STONECHAT_MONGO_URL": mongo.url + "?directConnection=true",
                "STONECHAT_READY_KEPT": "0",
                "STONECHAT_READY_TIMEOUT": "0.5",
            },
        )

        async def until(status: int, text: str) -> None:
            async with asyncio.timeout(30):
                while True:
                    told = await container.http.get("/_/ready")
                    if told.status_code == status and told.text.startswith(text):
                        return

        pid = container.part.pid
        await until(200, "ready")
        for proxy, name in ((redis, "Redis"), (mongo, "MongoDB")):
            proxy.refusing = True
            proxy.cut()
            await until(503, f"not ready: {name} does not answer")
            assert (await container.http.get("/_/health")).status_code == 200
            proxy.refusing = False
            await until(200, "ready")
        assert (container.part.pid, container.part.running) == (pid, True)
