"""One part: a process that is started, watched, stopped and killed."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from local.health import LackingError
from local.part import Part, PartFailedError

# Ready when it wrote a file; ends at SIGTERM, and says so.
PROGRAM = """
    import pathlib, signal
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    print("x" * 200_000)
    print("started", flush=True)
    pathlib.Path("ready").touch()
    signal.sigwait([signal.SIGTERM])
    print("ended")
"""

Make = Callable[..., Part]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(program: str = PROGRAM, **options: object) -> Part:
        async def check() -> bool:
            return (tmp_path / "ready").exists()

        return Part(
            "thing",
            [sys.executable, "-c", dedent(program)],
            environment=dict(os.environ),
            log=tmp_path / "log" / "thing.log",
            check=check,
            folder=tmp_path,
            **options,  # type: ignore[arg-type]
        )

    return make


async def test_all_it_says_is_told_and_kept(make: Make, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    part = make(tell=lambda name, line: told.append((name, line)))
    await part.start()
    await part.stop()
    assert told[-2:] == [("thing", "started"), ("thing", "ended")]
    assert sum(line.count("x") for _, line in told) == 200_000
    assert (tmp_path / "log" / "thing.log").read_text() == "x" * 200_000 + "\nstarted\nended\n"
    await part.wait()


async def test_a_killed_part_is_named_with_its_last_line(make: Make) -> None:
    part = make()
    await part.start()
    part.signal(signal.SIGKILL)
    with pytest.raises(PartFailedError) as failed:
        await part.wait()
    assert str(failed.value) == "thing died (signal SIGKILL): started"
    await part.start()
    assert part.running
    await part.stop()
    assert not part.running


async def test_what_does_not_end_is_killed_with_all_it_started(make: Make, tmp_path: Path) -> None:
    stubborn = """
        import os, pathlib, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            pathlib.Path("child").write_text(str(os.getpid()))
            pathlib.Path("ready").touch()
        signal.pause()
    """
    part = make(stubborn, grace=0.1)
    await part.start()
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    await part.stop()
    async with asyncio.timeout(10):
        while child.exists() and " Z " not in child.read_text():
            await asyncio.sleep(0.01)


async def test_one_that_is_never_ready_is_ended(make: Make) -> None:
    part = make("import signal\nprint('busy', flush=True)\nsignal.pause()", patience=1)
    with pytest.raises(PartFailedError, match="thing was not ready after 1 s: busy"):
        await part.start()
    assert not part.running


async def test_one_that_lives_and_is_not_ready_is_left_to_become_so(
    make: Make, tmp_path: Path
) -> None:
    async def alive() -> bool:
        return (tmp_path / "alive").exists()

    program = "import pathlib, signal\npathlib.Path('alive').touch()\nsignal.pause()"
    part = make(program, alive=alive, patience=1)
    with pytest.raises(PartFailedError, match="thing was not ready after 1 s"):
        await part.start()
    assert not part.running
    (tmp_path / "ready").touch()
    await part.start()
    (tmp_path / "ready").unlink()
    with pytest.raises(PartFailedError, match="thing was not ready after 1 s"):
        await part.restart()
    assert part.running
    part.signal(signal.SIGKILL)
    with pytest.raises(PartFailedError, match="thing died"):
        await part.wait()
    await part.revive()
    assert part.running
    await part.stop()


async def test_what_one_lacks_is_said_rather_than_its_last_line(tmp_path: Path) -> None:
    async def check() -> bool:
        raise LackingError("the store does not answer")

    program = "import signal\nprint('busy', flush=True)\nsignal.pause()"
    part = Part(
        "thing",
        [sys.executable, "-c", program],
        environment=dict(os.environ),
        log=tmp_path / "log",
        check=check,
        patience=1,
    )
    with pytest.raises(PartFailedError, match="ready after 1 s: the store does not answer"):
        await part.start()
    assert not part.running


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    async def check() -> bool:
        return False

    part = Part("thing", ["/nonexistent/thing"], environment={}, log=tmp_path / "log", check=check)
    with pytest.raises(PartFailedError, match=r"thing cannot start: .*nonexistent"):
        await part.start()
    await part.stop()


async def test_who_waits_for_a_part_waits_for_what_takes_its_place(make: Make) -> None:
    part = make()
    await part.start()
    waiting = asyncio.create_task(part.wait())
    first = part.pid
    await part.restart()
    assert part.running
    assert part.pid != first
    assert not waiting.done()
    part.signal(signal.SIGKILL)
    with pytest.raises(PartFailedError, match="thing died"):
        await waiting


async def test_a_part_that_does_not_come_again_is_dead(make: Make, tmp_path: Path) -> None:
    check = "assert not pathlib.Path('broken').exists(), 'broken'"
    part = make(PROGRAM.replace("print", f"{check}\n    print", 1))
    await part.start()
    waiting = asyncio.create_task(part.wait())
    (tmp_path / "broken").touch()
    (tmp_path / "ready").unlink()
    with pytest.raises(PartFailedError, match="thing did not start"):
        await part.restart()
    with pytest.raises(PartFailedError, match=r"thing died .*broken"):
        await waiting
