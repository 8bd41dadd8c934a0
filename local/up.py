"""`python -m local up`: the whole system, until Ctrl-C or SIGTERM."""

import asyncio
import signal

from local import descriptors
from local.journal import Journal
from local.layout import Layout
from local.part import PartFailedError
from local.stack import Stack
from local.terminal import Terminal
from shared.settings import Settings

_CONNECTOR = "ws://127.0.0.1:8001/v1"  # which `stonechat` asks by itself


async def up(layout: Layout, room: int, terminal: Terminal, colour: bool) -> int:
    """Runs the stack and returns the exit code. A second signal while it stops ends everything at
    once."""
    log = Journal(terminal.write, colour)
    stopping = asyncio.Event()
    try:
        shortage = descriptors.raise_limit(_sockets(layout))
        stack = Stack(layout, log.tell, keep=True, room=room)
    except (descriptors.TooFewError, ValueError) as error:
        log.tell("local", f"failed: {error}")
        return 1
    except OSError as error:
        log.tell("local", f"failed: cannot write in {layout.directory}: {error.strerror}")
        return 1
    if shortage:
        log.tell("local", shortage)
    hurries: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            hurries.add(loop.create_task(stack.kill()))
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    failure = await _until_failed(stack, stopping, log)
    if failure:
        log.tell("local", f"failed: {failure}")
    log.tell("local", "stopping")
    await stack.stop()
    log.tell("local", "stopped")
    return 1 if failure else 0


def _sockets(layout: Layout) -> int:
    given = layout.environment.get("STONECHAT_SESSIONS_LIMIT", "")
    default: int = Settings.model_fields["sessions_limit"].default
    return int(given) if given.isdecimal() else default


async def _until_failed(stack: Stack, stopping: asyncio.Event, log: Journal) -> str | None:
    """Starts the stack and returns why it failed, or None when it is asked to stop."""

    async def run() -> str:
        try:
            await stack.start()
        except PartFailedError as error:
            return str(error)
        for line in greeting(stack.layout):
            log.tell("local", line)
        return await stack.failed()

    running = asyncio.create_task(run())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not stopping.is_set():
        stopped.cancel()
        return running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return None


def greeting(layout: Layout) -> list[str]:
    """What is where, and what to try."""

    def place(port: int | None, name: str) -> str:
        if port is not None:
            return f"127.0.0.1:{port}"
        return f"external, {name} says where"

    gateway = layout.gateway_url
    if layout.gateway_port is None:
        gateway = place(None, "STONECHAT_GATEWAY_URL") + "; no function is started here"
    url = layout.connector_urls[0]
    option = "" if url == _CONNECTOR else f" --url {url}"
    return [
        f"clients   {'  '.join(layout.connector_urls)}",
        f"          {'  '.join(layout.door_urls)}",
        f"gateway   {gateway}",
        f"metrics   http://127.0.0.1:{layout.connector_ports[0]}/metrics",
        f"valkey    {place(layout.redis_port, 'STONECHAT_REDIS_URL')}",
        f"mongo     {place(layout.mongo_port, 'STONECHAT_MONGO_URL')}",
        f"s3        {place(layout.s3_port, 'STONECHAT_S3_URL')}",
        f"data      {layout.directory}   secrets {layout.secrets}",
        "ready. Try, in two other terminals:",
        f"    .venv/bin/stonechat chat alice --with bob{option}",
        f"    .venv/bin/stonechat chat bob --with alice{option}",
        "or call a method over HTTP:",
        *_curl(layout),
    ]


def _curl(layout: Layout) -> list[str]:
    request = (
        '{"jsonrpc":"2.0","id":1,"method":"auth.register",'
        '"params":{"username":"carol","password":"correct horse"}}'
    )
    return [f"    curl {layout.door_urls[0]} -d '{request}'"]
