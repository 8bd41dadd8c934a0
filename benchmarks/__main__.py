"""`python -m benchmarks SCENARIO`, or `all`. Each run starts its peers anew, one after another."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from benchmarks import report
from benchmarks.figures import Figures, medians
from benchmarks.peers import NotOffered, Peer
from benchmarks.peers.ejabberd import Ejabberd
from benchmarks.peers.stonechat import Stonechat
from benchmarks.scenarios import dm, group, growth, history, hop, sessions, stages, storm

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Out = Annotated[Path, typer.Option(help="where results go")]
Runs = Annotated[int, typer.Option(min=1, help="of which the medians are taken")]
Peers = Annotated[bool, typer.Option(help="measure ejabberd beside us, where it is installed")]
OUT = Path("benchmarks/results")
# A person's limits are not what is measured: one generator stands for thousands of people.
FREE = {
    "STONECHAT_RATE_PER_SECOND": "100000",
    "STONECHAT_RATE_BURST": "1000000",
    "STONECHAT_FIRST_MESSAGES_PER_HOUR": "1000000",
    "STONECHAT_ADDED_PER_DAY": "1000000",
}


def run(
    scenario: str,
    out: Path,
    runs: int,
    options: dict[str, Any],
    ours: Callable[[Stonechat], Awaitable[Figures]],
    theirs: Callable[[Peer[Any]], Awaitable[Figures]] | None = None,
    connectors: int = 1,
) -> None:
    """Measures, prints and saves."""
    found: dict[str, list[Figures]] = {"stonechat": []}

    async def once() -> None:
        peer = Stonechat(connectors, **FREE)
        await peer.start()
        options["document_store"] = peer.stack.part("mongo").program
        try:
            found["stonechat"].append(await ours(peer))
        finally:
            await peer.stop()

    async def beside(work: Callable[[Peer[Any]], Awaitable[Figures]]) -> None:
        other = Ejabberd()
        try:
            await other.start()
            found.setdefault(other.name, []).append(await work(other))
        except NotOffered as why:
            typer.echo(f"left out: {why}")
        except (TimeoutError, ConnectionError, RuntimeError, ExceptionGroup) as failure:
            typer.echo(f"{other.name} did not do {scenario}: {failure!r}")
        finally:
            await other.stop()

    for number in range(runs):
        works = [once()] + ([beside(theirs)] if theirs is not None else [])
        for work in works if number % 2 == 0 else reversed(works):
            gc.collect()
            uvloop.run(work)
    report.save(out, scenario, options, found)
    for peer, measured in found.items():
        for name, value in sorted(medians(measured).items()) if measured else []:
            typer.echo(f"{scenario:<12}{peer:<11}{name:<44}{value:>14,.3f}")


@app.command("dm")
def dm_(seconds: float = 8, runs: Runs = 3, peers: Peers = True, out: Out = OUT) -> None:
    """Direct messages of 200 sessions, in a closed loop and at fixed rates."""

    async def measure(peer: Peer[Any]) -> Figures:
        return await dm.measure(peer, seconds, (200, 500))

    run("dm", out, runs, {"seconds": seconds}, measure, measure if peers else None)


@app.command("group")
def group_(
    members: int = 1000,
    deliveries: Annotated[int, typer.Option(help="of messages in bursts")] = 600_000,
    connectors: int = 1,
    runs: Runs = 3,
    peers: Peers = True,
    out: Out = OUT,
) -> None:
    """One message to everybody in a room."""

    async def measure(peer: Peer[Any]) -> Figures:
        return await group.measure(peer, members, deliveries, connectors)

    options = {"members": members, "deliveries": deliveries, "connectors": connectors}
    name = f"group-{members}" + ("" if connectors == 1 else f"-on-{connectors}")
    other = measure if peers and connectors == 1 else None
    run(name, out, runs, options, measure, other, connectors)


@app.command("sessions")
def sessions_(
    count: int = 10_000, seconds: float = 20, runs: Runs = 1, peers: Peers = True, out: Out = OUT
) -> None:
    """Sessions that do nothing."""

    async def measure(peer: Peer[Any]) -> Figures:
        return await sessions.measure(peer, count, seconds)

    options = {"count": count, "seconds": seconds}
    run(f"sessions-{count}", out, runs, options, measure, measure if peers else None)


@app.command("growth")
def growth_(seconds: float = 40, runs: Runs = 1, out: Out = OUT) -> None:
    """Ten times the members, ten times the sessions."""

    async def measure(peer: Stonechat) -> Figures:
        return await growth.measure(peer, seconds)

    run("growth", out, runs, {"seconds": seconds}, measure)


@app.command("storm")
def storm_(count: int = 5000, runs: Runs = 3, peers: Peers = True, out: Out = OUT) -> None:
    """Everybody comes back at once."""

    async def measure(peer: Peer[Any]) -> Figures:
        return await storm.measure(peer, count)

    run("storm", out, runs, {"count": count}, measure, measure if peers else None)


@app.command("hop")
def hop_(calls: int = 500, runs: Runs = 3, out: Out = OUT) -> None:
    """An empty function."""

    async def measure(peer: Stonechat) -> Figures:
        return await hop.measure(peer, calls)

    run("hop", out, runs, {"calls": calls}, measure)


@app.command("history")
def history_(entries: int = 10_000, runs: Runs = 3, out: Out = OUT) -> None:
    """A conversation read back."""

    async def measure(peer: Stonechat) -> Figures:
        return await history.measure(peer, entries)

    run("history", out, runs, {"entries": entries}, measure)


@app.command("stages")
def stages_(rate: int = 500, seconds: float = 8, runs: Runs = 3, out: Out = OUT) -> None:
    """Where a message's time goes."""

    async def measure(peer: Stonechat) -> Figures:
        return await stages.measure(peer, rate, seconds)

    run("stages", out, runs, {"rate": rate, "seconds": seconds}, measure)


@app.command("report")
def report_(out: Out = OUT) -> None:
    """The table and the plots of what was saved."""
    (out / "results.md").write_text(report.table(out))
    report.plot(out)
    typer.echo(report.table(out))


@app.command("all")
def all_(runs: Runs = 3, peers: Peers = True, out: Out = OUT) -> None:
    """Everything, and the report. `runs` is of the short scenarios; the long ones run once."""
    if peers and os.environ.get("BENCH_INSTALL_PEERS") == "yes":
        _install()
    dm_(runs=runs, peers=peers, out=out)
    for members in (10, 1000, 10_000):
        group_(members=members, runs=runs if members < 10_000 else 1, peers=peers, out=out)
    group_(members=10_000, connectors=2, runs=1, peers=False, out=out)
    for count in (1000, 10_000, 15_000):
        sessions_(count=count, runs=1, peers=peers, out=out)
    growth_(out=out)
    storm_(runs=1, peers=peers, out=out)
    hop_(runs=runs, out=out)
    history_(runs=runs, out=out)
    stages_(runs=runs, out=out)
    report_(out=out)


def _install() -> None:
    """ejabberd from Debian's packages, without its service."""

    async def install() -> None:
        command = ["apt-get", "install", "-y", "--no-install-recommends", "ejabberd"]
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
        )
        await process.wait()

    asyncio.run(install())


if __name__ == "__main__":
    app()
