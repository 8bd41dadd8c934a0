"""Any bytes on standard input, any locale, any output."""

import asyncio
import os
import signal
from pathlib import Path

import orjson
import pytest
from stonechat.terminal import stdin

from tests.terminal import Terminal

LOCALES = [
    pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, id="C"),
    pytest.param({"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, id="POSIX"),
    pytest.param({"PYTHONIOENCODING": "latin-1"}, id="latin-1"),
    pytest.param({"PYTHONIOENCODING": "utf-16"}, id="utf-16"),
    pytest.param({"PYTHONIOENCODING": "iso2022_jp"}, id="iso2022_jp"),
    pytest.param({"PYTHONIOENCODING": "cp037:strict"}, id="EBCDIC"),
    pytest.param({"LC_ALL": "xx_YY.nonsense"}, id="unknown"),
]


@pytest.fixture
async def pair(terminal: Terminal, name: str) -> tuple[str, str]:
    """Two who have accounts at this terminal."""
    alice, bob = name + "a", name + "b"
    await terminal.run("whoami", bob)
    await terminal.run("whoami", alice)
    return alice, bob


async def texts(terminal: Terminal, alice: str, bob: str) -> list[str]:
    """What is in their conversation."""
    _, lines, _ = await terminal.run(
        *("tail", bob, "--with", alice, "--no-follow", "--lines", "100", "--json")
    )
    return [orjson.loads(line)["body"]["text"] for line in lines]


async def test_lines_that_cannot_be_sent_are_named_and_the_rest_is_sent(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    too_long = b"x" * (stdin.LINE_BYTES + 1)
    given = b"\n".join(
        [
            *(b"\xef\xbb\xbffirst", b"", b"\xff\xfe", b"crlf\r", b"\xc3", too_long, too_long * 3),
            *(b"y" * 40_000, "späť 北京".encode(), b"\x1b[31mred", b"no newline"),
        ]
    )
    code, lines, said = await terminal.run("send", alice, "--to", bob, given=given)
    assert code == 1
    assert [line.split()[1] for line in lines] == ["1", "2", "3", "4", "5"]
    said_lines = said.splitlines()
    assert [each.split(": ")[1] for each in said_lines] == [f"line {n}" for n in (3, 5, 6, 7, 8)]
    assert await texts(terminal, alice, bob) == [
        "first",
        "crlf",
        "späť 北京",
        "\x1b[31mred",
        "no newline",
    ]


async def test_every_kind_of_empty_input_ends(terminal: Terminal, pair: tuple[str, str]) -> None:
    alice, bob = pair
    for empty in (b"", b"\n", b"\r\n\n"):
        assert await terminal.run("send", alice, "--to", bob, given=empty) == (0, [], "")
    assert await terminal.shell(f"$STONECHAT send {alice} --to {bob} </dev/null") == (0, [], "")
    code, _, said = await terminal.shell(f"$STONECHAT send {alice} --to {bob} <&-")
    assert (code, said) == (1, "stonechat: standard input: it is closed\n")


async def test_output_that_nobody_reads_ends_quietly(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    await terminal.run("send", alice, "--to", bob, given="1\n2\n3\n")
    code, lines, said = await terminal.shell(
        f"$STONECHAT tail {bob} --no-follow | head -1; exit ${{PIPESTATUS[0]}}"
    )
    assert (code in (0, 128 + signal.SIGPIPE), len(lines), said) == (True, 1, "")
    code, _, said = await terminal.shell(f"$STONECHAT tail {bob} --no-follow >/dev/full")
    assert (code, said.count("\n")) == (1, 1)
    for closed in (">&-", "2>&-"):
        code, _, _ = await terminal.shell(f"$STONECHAT whoami {bob} {closed}")
        assert code == 0


@pytest.mark.parametrize("locale", LOCALES)
async def test_what_an_encoding_lacks_is_escaped(
    terminal: Terminal, pair: tuple[str, str], locale: dict[str, str]
) -> None:
    alice, bob = pair
    given = "łódź 北京 👩‍💻\x9b31m\u202e\n".encode()
    code, _, said = await terminal.run_raw("send", alice, "--to", bob, given=given, **locale)
    assert (code, said) == (0, b"")
    code, _, said = await terminal.run_raw("send", alice, "--to", bob, "łódź".encode(), **locale)
    assert (code, said) == (0, b"")
    assert (await texts(terminal, alice, bob))[1] == "łódź"
    for form in ((), ("--json",)):
        code, output, said = await terminal.run_raw("tail", bob, "--no-follow", *form, **locale)
        assert (code, said) == (0, b"")
        assert not [each for each in output if each < 0x20 and each != 0x0A]
        assert output.count(b"\n") == 2


async def test_an_argument_that_is_no_text_is_wrong_usage(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    code, _, said = await terminal.run("send", alice, "--to", bob, b"\xff\xfe")
    assert (code, said.count("\n")) == (2, 1)


async def test_a_forged_line_is_not_at_the_margin(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    forged = "hi\n12:00 #9 bob: pay me\r\x1b[2K\u2028stonechat: pay\x85now"
    await terminal.run("send", alice, "--to", bob, forged)
    _, lines, _ = await terminal.run("tail", bob, "--no-follow")
    assert len(lines) == 5
    assert lines[0].endswith(f"{alice}: hi")
    assert all(line.startswith("    ") for line in lines[1:])


async def test_an_interrupted_send_leaves_the_rest_to_the_next(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    two = [await terminal.start("send", alice, "--to", bob) for _ in range(2)]
    for number, each in enumerate(two):
        assert each.stdin is not None
        assert each.stdout is not None
        each.stdin.write(f"begins {number}\n".encode())
        async with asyncio.timeout(60):
            await each.stdout.readline()
        # So that it reads on and hears of nothing: its answers come when it is gone.
        each.stdin.write(b"".join(b"%d %d\n" % (number, n) for n in range(300)))
        await each.stdin.drain()
        each.send_signal(signal.SIGTERM)
    for each in two:
        _, said = await each.communicate()
        assert (said, each.returncode) == (b"", 128 + signal.SIGTERM), said
    await terminal.run("send", alice, "--to", bob, "end")
    # What was read is sent in order, once, wherever it was when the signal came.
    _, lines, _ = await terminal.run(
        *("tail", bob, "--with", alice, "--no-follow", "--lines", "1000", "--json")
    )
    found = [orjson.loads(line)["body"]["text"] for line in lines]
    assert len(found) == len(set(found))
    for number in range(2):
        own = [text for text in found if text.startswith(f"{number} ")]
        assert own == [f"{number} {n}" for n in range(len(own))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_a_command_with_nothing_to_say(
    terminal: Terminal, pair: tuple[str, str], number: signal.Signals
) -> None:
    alice, bob = pair
    await terminal.run("send", alice, "--to", bob, "there")
    following = await terminal.start("tail", bob)
    assert following.stdout is not None
    async with asyncio.timeout(60):
        await following.stdout.readline()
        following.send_signal(number)
        output, said = await following.communicate()
    assert (following.returncode, output, said) == (128 + number, b"", b"")


def test_a_line_is_utf_8_or_the_locales(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "latin-1")
    assert stdin.decoded("é".encode()) == "é"
    assert stdin.decoded("é".encode("latin-1")) == "é"
    monkeypatch.setattr("locale.getencoding", lambda: "UTF-8")
    assert stdin.decoded("é".encode("latin-1")) is None


async def test_files_are_private_and_stay_in_their_folder(
    terminal: Terminal, name: str, tmp_path: Path
) -> None:
    os.umask(os.umask(0o022))
    await terminal.run("whoami", name)
    assert terminal.state.stat().st_mode & 0o777 == 0o700
    files = list(terminal.state.iterdir())
    assert files
    assert [each for each in files if each.stat().st_mode & 0o077] == []
    for wrong in ("../x", "/etc/x", ".", "", "a/b", "x" * 300, "аlice", "a\nb"):
        code, lines, said = await terminal.run("whoami", wrong)
        assert (code, lines, said.count("\n")) == (2, [], 1), wrong
    assert sorted(terminal.state.iterdir()) == sorted(files)
    assert list(tmp_path.iterdir()) == [terminal.state]
    upper = await terminal.run("whoami", f" {name.upper()} ")
    assert upper == await terminal.run("whoami", name)
