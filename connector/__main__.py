"""`python -m connector`: one connector, until SIGTERM or SIGINT."""

import asyncio
import gc
import signal
import sys

import aiohttp
import structlog
import uvloop

from connector.connector import Connector
from connector.origin import Origin
from shared import startup, telemetry
from shared.secretfiles import SecretMissingError
from shared.settings import Settings, settings

logger = structlog.get_logger(__name__)


async def serve(config: Settings) -> None:
    """Runs a connector on the given settings."""
    origin = Origin(config)
    async with (
        origin.client,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        ) as http,
    ):
        connector = Connector(config, http, origin)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, connector.stop)
        await connector.run()


def main() -> int:
    startup.require("connector", startup.of_connector)
    config = settings()
    telemetry.configure("connector", config.log_level, quotes=config.log_quotes)
    # A storm of sessions makes objects that stay; looking at all of them again and again for
    # cycles costs a seventh of a connector's time then, and finds none.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        uvloop.run(serve(config))
    except (SecretMissingError, OSError) as error:
        logger.error("connector_failed", error=error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
