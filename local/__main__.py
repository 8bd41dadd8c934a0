"""`python -m local up`: the whole system, until Ctrl-C or SIGTERM. While it runs, `python -m local
deploy`: a function more, and `python -m local restart`: functions or connectors anew."""

import asyncio
import signal
import sys
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import typer

from local import journal
from local.control import ControlError, ask
from local.deploy import DeployFailedError, Front
from local.deployment import StackFileError, read_stack
from local.layout import Layout, from_environment, settings_file
from local.part import PartFailedError
from local.stack import Stack
from shared import secretfiles, startup

app = typer.Typer(add_completion=False, no_args_is_help=True)


class Restarted(StrEnum):
    FUNCTIONS = "functions"
    CONNECTORS = "connectors"


@app.callback()
def _commands() -> None:
    """Stonechat on one machine."""


@app.command()
def up(
    connectors: Annotated[int, typer.Option(min=1, max=16)] = 1,
    gateway_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    directory: Annotated[Path, typer.Option(help="where data and logs are kept")] = Path(".local"),
) -> None:
    """Starts everything and shows its log."""
    layout = _layout(directory, connectors, gateway_port)
    sys.exit(asyncio.run(_up(layout)))


@app.command()
def deploy(
    file: Annotated[Path, typer.Option("--file", "-f", help="the stack file")] = Path("stack.yml"),
    only: Annotated[str, typer.Option("--filter", help="names with * and ?")] = "*",
    gateway_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    directory: Annotated[Path, typer.Option(help="where data and logs are kept")] = Path(".local"),
) -> None:
    """Deploys functions of a stack file to what runs: clients can call them at once."""
    layout = _layout(directory, 1, gateway_port)
    try:
        user, password = (
            secretfiles.read(layout.secrets, name)
            for name in (secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD)
        )
        front = Front(layout.gateway_url, user, password)
        for packed in read_stack(file, Path.cwd()):
            if fnmatch(packed.deployment.name, only):
                front.up(packed)
                typer.echo(f"deployed {packed.deployment.name}")
    except (StackFileError, DeployFailedError, secretfiles.SecretMissingError) as error:
        typer.echo(f"failed: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def restart(
    what: Restarted,
    directory: Annotated[Path, typer.Option(help="where data and logs are kept")] = Path(".local"),
) -> None:
    """Restarts functions or connectors of what runs, so that they read their secrets again. Calls
    that they have are answered."""
    try:
        ask(directory.resolve(), what)
    except ControlError as error:
        typer.echo(f"failed: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{what} restarted")


def _layout(directory: Path, connectors: int, gateway_port: int) -> Layout:
    """Ends the process, with a line for each, where settings or secrets make no sense."""
    file = settings_file()
    _, found = startup.read(str(file) if file else None)
    startup.tell(found)
    layout = from_environment(directory.resolve(), connectors, gateway_port)
    startup.tell(startup.examine_secrets(layout.secrets, ()))
    return layout


async def _up(layout: Layout) -> int:
    log = journal.to_terminal()
    stack = Stack(layout, log.tell)
    stopping = asyncio.Event()
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


async def _until_failed(stack: Stack, stopping: asyncio.Event, log: journal.Journal) -> str | None:
    """Starts the stack and returns why it failed, or None when it is asked to stop."""

    async def run() -> str:
        try:
            await stack.start()
        except PartFailedError as error:
            return str(error)
        for line in _greeting(stack.layout):
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


def _greeting(layout: Layout) -> list[str]:
    def place(port: int | None, name: str) -> str:
        if port is not None:
            return f"127.0.0.1:{port}"
        return f"external, {name} says where"

    gateway = layout.gateway_url
    if layout.gateway_port is None:
        gateway = place(None, "STONECHAT_GATEWAY_URL") + "; no function is started here"
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
        "    .venv/bin/stonechat chat alice --with bob",
        "    .venv/bin/stonechat chat bob --with alice",
        "or call a method over HTTP:",
        *_curl(layout),
    ]


def _curl(layout: Layout) -> list[str]:
    request = (
        '{"jsonrpc":"2.0","id":1,"method":"auth.register",'
        '"params":{"username":"carol","password":"correct horse"}}'
    )
    return [f"    curl {layout.door_urls[0]} -d '{request}'"]


if __name__ == "__main__":
    app()
