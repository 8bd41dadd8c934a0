"""`python -m local up`: the whole system, until Ctrl-C or SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from local import journal
from local.layout import Layout, from_environment
from local.part import PartFailedError
from local.stack import Stack

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Stonechat on one machine."""


@app.command()
def up(
    connectors: Annotated[int, typer.Option(min=1, max=16)] = 1,
    directory: Annotated[Path, typer.Option(help="where data and logs are kept")] = Path(".local"),
) -> None:
    """Starts everything and shows its log."""
    sys.exit(asyncio.run(_up(from_environment(directory.resolve(), connectors))))


async def _up(layout: Layout) -> int:
    log = journal.to_terminal()
    stack = Stack(layout, log.tell)
    stopping = asyncio.Event()
    signals = 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            asyncio.get_running_loop().create_task(stack.kill())
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    start = asyncio.create_task(stack.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([start, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        return 0
    try:
        start.result()
    except PartFailedError as failure:
        log.tell("local", f"failed: {failure}")
        return 1
    for line in _greeting(layout):
        log.tell("local", line)
    failed = asyncio.create_task(stack.failed())
    await asyncio.wait([failed, stopped], return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if failed.done() and not stopped.done():
        log.tell("local", f"failed: {failed.result()}")
        code = 1
    failed.cancel()
    log.tell("local", "stopping")
    await stack.stop()
    log.tell("local", "stopped")
    return code


def _greeting(layout: Layout) -> list[str]:
    def place(port: int | None, name: str) -> str:
        if port is not None:
            return f"127.0.0.1:{port}"
        return f"external, {name} says where"

    first = layout.connector_ports[0]
    return [
        f"clients   {'  '.join(layout.connector_urls)}",
        f"gateway   {layout.gateway_url}/function/NAME",
        f"metrics   http://127.0.0.1:{first}/metrics",
        f"valkey    {place(layout.redis_port, 'STONECHAT_REDIS_URL')}",
        f"mongo     {place(layout.mongo_port, 'STONECHAT_MONGO_URL')}",
        f"s3        {place(layout.s3_port, 'STONECHAT_S3_URL')}",
        f"data      {layout.directory}   secrets {layout.secrets}",
        "ready. Try, in two other terminals:",
        "    .venv/bin/stonechat chat alice --with bob",
        "    .venv/bin/stonechat chat bob --with alice",
    ]


if __name__ == "__main__":
    app()
