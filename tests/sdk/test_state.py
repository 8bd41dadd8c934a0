"""What a client remembers, in memory and in a file."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stonechat.errors import StateInUse, UnusableState
from stonechat.state import MemoryState, SqliteState, State

FILLED = """
import sys
from stonechat.state import SqliteState
state = SqliteState(sys.argv[1])
state.put("device", "d1")
state.put("tokens", {"access_token": "x"})
state.put("gone", 1)
state.put("gone", None)
state.begin({"d:a:b": 2, "d:a:c": 9})
state.set_last("d:a:b", 3)
state.set_last("d:a:b", 4)
state.keep([("message.send", {"cid": cid}) for cid in ("c1", "c2", "c3", "c1")])
state.drop("c2")
print("filled", flush=True)
sys.stdin.read()
"""


@contextmanager
def filled_elsewhere(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the state open, and is killed in the end if not before."""
    command = [sys.executable, "-c", FILLED, str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "filled\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_file_remembers_what_a_killed_process_put(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state.sqlite"
    with filled_elsewhere(file) as process:
        process.kill()
        process.wait()
        state = SqliteState(file)
    assert state.get("tokens") == {"access_token": "x"}
    assert state.get("gone") is None
    assert state.get("begun") is True
    assert state.lasts() == {"d:a:b": 4, "d:a:c": 9}
    assert state.kept() == [("message.send", {"cid": "c1"}), ("message.send", {"cid": "c3"})]
    state.close()
    assert [each for each in file.parent.iterdir() if each.stat().st_mode & 0o077] == []


def test_a_file_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with filled_elsewhere(file), pytest.raises(StateInUse, match=r"state\.sqlite"):
        SqliteState(file, patience=0.1)
    SqliteState(file).close()


def test_another_file_is_no_state_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to look for one in it\n" * 50)
    before = file.read_bytes()
    with pytest.raises(UnusableState, match=r"notes\.txt cannot be used"):
        SqliteState(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("make", [lambda path: MemoryState(), SqliteState])
def test_another_account_starts_anew_on_the_same_device(
    make: Callable[[Path], State], tmp_path: Path
) -> None:
    state = make(tmp_path / "state.sqlite")
    state.put("device", "d1")
    state.put("tokens", {"access_token": "x"})
    state.begin({"d:a:b": 2})
    state.keep([("message.send", {"cid": "c1"})])
    state.forget()
    assert state.get("device") == "d1"
    assert (state.get("tokens"), state.get("begun")) == (None, None)
    assert (state.lasts(), state.kept()) == ({}, [])
    state.close()


def test_a_beginning_is_all_or_nothing(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.sqlite")
    impossible: Any = object()
    with pytest.raises(sqlite3.Error):
        state.begin({"d:a:b": 1, "d:a:c": impossible})
    assert (state.lasts(), state.get("begun")) == ({}, None)
    state.begin({"d:a:b": 1})
    assert (state.lasts(), state.get("begun")) == ({"d:a:b": 1}, True)
    state.close()
