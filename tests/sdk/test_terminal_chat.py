"""A chat at a terminal, as a person has it."""

import asyncio
import signal

import pytest
from stonechat.terminal import account, typed

from tests.terminal import Terminal

READY = "\x1b[?2004h"  # the terminal is told so where a line can be typed


@pytest.fixture
async def pair(terminal: Terminal, name: str) -> tuple[str, str]:
    """Two who have accounts at this terminal and have written to each other."""
    alice, bob = name + "a", name + "b"
    await terminal.run("whoami", bob)
    await terminal.run("send", alice, "--to", bob, "first words")
    return alice, bob


async def test_two_chat_and_a_second_chat_and_other_commands_beside_them(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    async with (
        terminal.screen("chat", alice, "--with", bob) as hers,
        terminal.screen("chat", alice, "--with", bob) as second,
        terminal.screen("chat", bob, "--with", alice) as his,
    ):
        for each in (hers, second, his):
            await each.until("first words")
            await each.until(READY)
        hers.type("how are you\r")
        for each in (hers, second, his):
            await each.until("how are you")
        await terminal.run("send", alice, "--to", bob, "beside")
        for each in (hers, second, his):
            await each.until("beside")
        code, _, said = await terminal.run("friends", "list", alice)
        assert (code, said) == (0, "")
        for each in (hers, second):
            each.type(b"\x04")
            assert await each.ended() == 0
        his.process.send_signal(signal.SIGTERM)
        assert await his.ended() == 128 + signal.SIGTERM


async def test_one_more_than_fits_is_told_so_at_once(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    tails = []
    for _ in range(account.SEATS):
        following = await terminal.start("tail", bob)
        assert following.stdout is not None
        async with asyncio.timeout(60):
            await following.stdout.readline()
        tails.append(following)
    code, lines, said = await terminal.run("tail", bob)
    assert (code, lines, said.count("\n")) == (1, [], 1)
    assert bob in said
    assert "sqlite" not in said
    assert (await terminal.run("tail", bob, "--no-follow"))[0] == 0
    assert (await terminal.run("tail", bob, "--with", alice, "-n", "1"))[0] == 0
    for each in tails:
        each.terminate()
        await each.wait()


async def test_what_arrives_does_not_drive_the_terminal(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    async with terminal.screen("chat", bob, "--with", alice, columns=60) as his:
        await his.until(READY)
        nasty = "\x01<b>&\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x00" + "pad " * 20 + "12:00 #9 bob"
        await terminal.run("send", alice, "--to", bob, given=nasty)
        shown = await his.until("#9 bob")
        assert b"owned" not in shown
        assert b"<b>&" in shown
        assert not {"\u202e".encode(), "\x9b".encode()} & {
            shown[i : i + 3] for i in range(len(shown))
        }
        await terminal.run("send", alice, "--to", bob, "still here")
        await his.until("still here")
        his.type(b"\x03")
        assert await his.ended() == 0


async def test_messages_are_answered_edited_and_taken_back(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    async with (
        terminal.screen("chat", alice, "--with", bob) as hers,
        terminal.screen("chat", bob, "--with", alice) as his,
    ):
        for each in (hers, his):
            await each.until("first words")
            await each.until(READY)
        his.type("/reply an answer\r")
        await hers.until("(to #1): an answer")
        his.type("/react #1 👍\r")
        await hers.until("(👍 on #1)")
        his.type("/edit an edited answer\r")
        await hers.until("(edits #2): an edited answer")
        his.type("/recall\r")
        await hers.until("(takes #2 back)")
        his.type("//not a command\r")
        await hers.until(": /not a command")
        his.type("/nonsense\r")
        await his.until("no command /nonsense")
        his.type("/edit #1 not mine\r")
        await his.until("not done: ")
        his.type("/help\r")
        await his.until("/recall [#N]")
    _, lines, _ = await terminal.run("tail", bob, "--with", alice, "--no-follow")
    assert any(line.endswith("you (to #1, taken back)") for line in lines), lines


@pytest.mark.parametrize("columns", [1, 7])
async def test_a_terminal_may_be_narrow(
    terminal: Terminal, pair: tuple[str, str], columns: int
) -> None:
    alice, bob = pair
    async with terminal.screen("chat", bob, "--with", alice, columns=columns) as his:
        await his.until(READY)
        his.type("narrow\r")
        his.type(b"\x04")
        assert await his.ended() == 0
        assert b"Traceback" not in his.told
    _, lines, _ = await terminal.run("tail", alice, "--with", bob, "--no-follow", "--lines", "1")
    assert [line.split(": ")[-1] for line in lines] == ["narrow"]


@pytest.mark.parametrize("term", ["dumb", ""])
async def test_a_chat_without_a_capable_terminal_is_lines(
    terminal: Terminal, pair: tuple[str, str], term: str
) -> None:
    alice, bob = pair
    async with terminal.screen("chat", bob, "--with", alice, TERM=term) as his:
        await his.until("first words")
        his.type("plain\r")
        shown = await his.until("you: plain")
        assert b"\x1b" not in shown
        his.type(b"\x04")
        assert await his.ended() == 0
    code, lines, said = await terminal.run("chat", alice, "--with", bob, given="piped\n\xff")
    assert (code, said) == (0, "")
    assert lines[0].endswith("first words")
    code, lines, _ = await terminal.run("tail", bob, "--with", alice, "--no-follow")
    assert {"piped", "plain"} <= {line.split(": ")[-1] for line in lines}


async def test_a_terminal_that_closes_ends_the_chat(
    terminal: Terminal, pair: tuple[str, str]
) -> None:
    alice, bob = pair
    async with terminal.screen("chat", bob, "--with", alice, NO_COLOR="1") as his:
        await his.until(READY)
        assert not his.coloured
        his.close()
        assert await his.ended() in (0, 128 + signal.SIGHUP, 128 + signal.SIGPIPE)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hi", typed.Typed("say", "hi")),
        ("//etc", typed.Typed("say", "/etc")),
        ("/reply yes", typed.Typed("reply", "yes")),
        ("/reply #12 yes\nno", typed.Typed("reply", "yes\nno", 12)),
        ("/recall #3", typed.Typed("recall", "", 3)),
        ("/help", typed.Typed("help")),
    ],
)
def test_what_is_typed_is_a_message_or_a_command(text: str, found: typed.Typed) -> None:
    assert typed.parse(text) == found


@pytest.mark.parametrize("text", ["/", "/etc/passwd", "/reply", "/recall no", "/x #1", "\udcff"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        typed.parse(text)
