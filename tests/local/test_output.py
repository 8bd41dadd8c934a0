"""Logs and the terminal: whatever cannot be written holds nobody up, and is told later."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from local import output
from local.output import Log
from local.terminal import Terminal
from tests.local.full import needs_tmpfs, on_a_small_disk


def test_all_is_written_where_there_is_room(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.write(b"one\ntw")
        log.write(b"o\n")
    with Log(tmp_path / "log") as log:
        log.write(b"three\n")
    assert (tmp_path / "log").read_text() == "one\ntwo\nthree\n"


def test_a_log_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    with Log(tmp_path / "none" / "log") as log:
        log.write(b"lost\n")
        log.write(b"lost too\n")
        (tmp_path / "none").mkdir()
        log.write(b"kept\n")
    notice, kept = (tmp_path / "none" / "log").read_bytes().splitlines()
    assert orjson.loads(notice) == {"event": "log_lost", "level": "warning", "bytes": 14}
    assert kept == b"kept"


# Fills a disk, writes on, makes room, writes again; prints the log.
FULL = """
import pathlib, sys
from local.output import Log
folder = pathlib.Path(sys.argv[1])
with Log(folder / "log") as log:
    log.write(b"before\\n")
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass
    for number in range(1000):
        log.write(b"%d %s\\n" % (number, b"x" * 100))
    (folder / "filler").unlink()
    log.write(b"after\\n")
    log.write(b"end\\n")
print((folder / "log").read_text())
"""


@needs_tmpfs
def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path) -> None:
    told = subprocess.run(
        [*on_a_small_disk(tmp_path, 1), sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert told[0] == "before"
    (place,) = [number for number, line in enumerate(told) if "log_lost" in line]
    lost = orjson.loads(told[place])["bytes"]
    assert told[place + 1 : place + 3] == ["after", "end"]
    written = sum(len(line) + 1 for line in told[1:place])
    all_of_it = sum(len(f"{number} \n") + 100 for number in range(1000))
    assert lost in (all_of_it - written, all_of_it - written + 1)  # a line that was cut is ended


async def test_a_copier_outlives_its_log(tmp_path: Path) -> None:
    """What is read is told, though none of it can be kept."""
    source, told = asyncio.StreamReader(), list[str]()
    source.feed_data(b"one\ntwo\n")
    source.feed_eof()
    await output.copy(source, tmp_path / "none" / "log", told.append)
    assert told == ["one", "two"]


def test_a_terminal_shows_all_in_order() -> None:
    ours, theirs = os.pipe()
    terminal = Terminal(theirs)
    for number in range(100):
        terminal.write(f"{number}\n")
    terminal.close()
    os.close(theirs)
    with os.fdopen(ours) as shown:
        assert shown.read().split() == [str(number) for number in range(100)]


def test_a_terminal_that_stands_still_loses_lines_and_says_so() -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    terminal = Terminal(theirs, limit=10)
    for _ in range(200):
        terminal.write("x" * 999 + "\n")  # returns, though nobody reads
    with os.fdopen(ours) as reader:
        shown = lost = 0
        while shown + lost < 200:
            line = reader.readline()
            notice = "lines were not shown" in line
            shown, lost = shown + (not notice), lost + (int(line.split()[0][1:]) if notice else 0)
        assert shown < 20
        terminal.write("again\n")
        assert reader.readline() == "again\n"
        terminal.close()
        os.close(theirs)


def test_a_terminal_that_is_gone() -> None:
    terminal = Terminal(os.open("/dev/full", os.O_WRONLY))
    for _ in range(100):
        terminal.write("x\n")
    terminal.close()


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_a_process_that_said_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log").write_bytes(text)
    assert output.last_line(tmp_path / "log") == "it said nothing"
