"""The command `stonechat`, as a script calls it."""

import asyncio
from pathlib import Path

import orjson
import pytest

from tests.terminal import Terminal

DEAD = "ws://127.0.0.1:9/v1"  # the discard port, where nothing listens


async def test_a_name_is_registered_once_and_kept_private(
    terminal: Terminal, name: str, tmp_path: Path
) -> None:
    code, first, said = await terminal.run("whoami", name)
    assert code == 0
    assert "registered" in said
    assert await terminal.run("whoami", name) == (0, first, "")
    assert [each for each in (tmp_path / "state").iterdir() if each.stat().st_mode & 0o077] == []


async def test_lines_are_sent_in_order_as_they_come(terminal: Terminal, name: str) -> None:
    await terminal.run("whoami", name + "b")
    process = await terminal.start("send", name + "a", "--to", name + "b")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"first\n")
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).endswith(b" 1\n")  # and its input is still open
        rest = "".join(f"{number}\n" for number in range(2, 1502))
        output, said = await process.communicate(rest.encode())
    assert process.returncode == 0, said
    assert [int(line.split()[1]) for line in output.splitlines()] == list(range(2, 1502))


async def test_the_first_tail_shows_the_last_entries(terminal: Terminal, name: str) -> None:
    alice, bob = name + "a", name + "b"
    await terminal.run("whoami", bob)
    await terminal.run("send", alice, "--to", bob, given="".join(f"{n}\n" for n in range(1, 13)))
    for where in ((), ("--with", alice)):
        code, lines, _ = await terminal.run("tail", bob, *where, "--no-follow")
        assert code == 0
        assert [line.split(" ", 2)[2] for line in lines] == [f"{alice}: {n}" for n in range(3, 13)]
        code, lines, _ = await terminal.run("tail", bob, *where, "--no-follow", "--lines", "1")
        assert [line.split(" ", 2)[1:] for line in lines] == [["12", f"{alice}: 12"]]
        code, lines, _ = await terminal.run("tail", bob, *where, "--json", "-n", "10")
        assert [orjson.loads(line)["seq"] for line in lines] == list(range(3, 13))
    assert await terminal.run("tail", bob, "--no-follow", "--lines", "0") == (0, [], "")
    assert (await terminal.run("tail", bob, "--with", alice, "--in", "x"))[0] == 2


@pytest.mark.parametrize("one", [False, True], ids=["all", "one"])
async def test_tail_goes_on_where_it_ended(terminal: Terminal, name: str, one: bool) -> None:
    alice, bob, carol = name + "a", name + "b", name + "c"
    where = ("--with", alice) if one else ()
    await terminal.run("whoami", bob)
    await terminal.run("send", alice, "--to", bob, "old")
    following = await terminal.start("tail", bob, *where, "--json", "-n", "2")
    assert following.stdout is not None
    async with asyncio.timeout(60):
        assert orjson.loads(await following.stdout.readline())["seq"] == 1
        await terminal.run("send", alice, "--to", bob, "new")
        assert orjson.loads(await following.stdout.readline())["body"] == {"text": "new"}
        assert await following.wait() == 0
    # What was followed with another filter meanwhile is nobody's loss.
    await terminal.run("send", alice, "--to", bob, "missed")
    await terminal.run("send", carol, "--to", bob, "hi")
    await terminal.run("tail", bob, "--with", carol, "-n", "1")
    left = ["missed"] if one else ["hi", "missed"]
    code, lines, _ = await terminal.run("tail", bob, *where, "--json", "-n", str(len(left)))
    assert code == 0
    assert sorted(orjson.loads(each)["body"]["text"] for each in lines) == left


async def test_refusals_are_one_line(terminal: Terminal, name: str) -> None:
    await terminal.run("whoami", name)
    code, lines, said = await terminal.run("send", name, "--to", "nobody-at-all", "x")
    assert (code, lines) == (1, [])
    assert said == "stonechat: nobody is called nobody-at-all (not_found)\n"
    code, _, said = await terminal.run("send", name, "--to", name, "x" * 70_000)
    assert (code, said.count("\n")) == (1, 1)
    code, _, said = await terminal.run("whoami", name, "--url", DEAD)
    assert (code, said.count("\n")) == (3, 1)
    assert said.startswith("stonechat: ")


async def test_any_method_is_called(terminal: Terminal, name: str) -> None:
    code, lines, _ = await terminal.run("call", name, "user.search", f'{{"q": "{name}"}}')
    assert code == 0
    assert [each["username"] for each in orjson.loads(lines[-1])["users"]] == [name]
    code, _, said = await terminal.run("call", name, "no.such")
    assert (code, "unknown_method" in said) == (1, True)
    code, _, said = await terminal.run("call", name, "user.search", '{"q": 1}')
    assert (code, ": q: " in said and "(invalid_params" in said) == (1, True)
    for wrong in ("[1]", "{"):
        code, _, said = await terminal.run("call", name, "user.search", wrong)
        assert (code, "params" in said) == (2, True)


async def test_friends_are_made_and_listed(terminal: Terminal, name: str) -> None:
    alice, bob = name + "a", name + "b"
    for each in (alice, bob):
        await terminal.run("whoami", each)
    asked = await terminal.run("friends", "request", alice, bob, "--note", "it is me")
    assert asked == (0, ["outgoing"], "")
    assert (await terminal.run("friends", "list", bob))[1] == [f"incoming  {alice} “it is me”"]
    assert (await terminal.run("friends", "accept", bob, alice))[1] == ["friend"]
    noted = await terminal.run("friends", "note", bob, alice, "--alias", "A", "--tag", "x")
    assert noted[1] == ["friend"]
    assert (await terminal.run("friends", "list", bob))[1] == [f"friend    {alice} A #x"]
    _, lines, _ = await terminal.run("friends", "list", bob, "--only", "friend", "--json")
    assert orjson.loads(lines[0])["username"] == alice
    code, _, said = await terminal.run("friends", "accept", bob, alice)
    assert (code, said.count("\n")) == (1, 1)


async def test_names_are_completed(terminal: Terminal, name: str) -> None:
    alice, bob = name + "a", name + "b"
    await terminal.run("whoami", bob)
    await terminal.run("friends", "request", alice, bob)
    for words in (
        f"stonechat chat {alice} --with {name}",
        f"stonechat send {alice} --to {name}",
        f"stonechat friends block {alice} {name}",
    ):
        assert await terminal.complete(words) == [bob]
    assert await terminal.complete(f"stonechat chat {alice} --with nobody") == []
    assert await terminal.complete(f"stonechat chat {bob} --with {name}") == []


async def test_groups_are_made_and_listed(terminal: Terminal, name: str) -> None:
    alice, bob, group = name + "a", name + "b", f"{name} team"
    for each in (alice, bob):
        await terminal.run("whoami", each)
    code, (gid,), said = await terminal.run("groups", "create", alice, group, bob)
    assert (code, said) == (0, "")
    assert (await terminal.run("groups", "list", bob))[1] == [f"{gid} member 2 {group}"]
    _, lines, _ = await terminal.run("groups", "members", bob, group)
    assert sorted(lines) == [f"member {bob}", f"owner  {alice}"]
    assert (await terminal.run("groups", "remove", alice, gid, bob))[1] == [f"removed {bob}"]
    assert (await terminal.run("groups", "invite", alice, group, bob))[1] == [f"member {bob}"]
    assert (await terminal.run("groups", "leave", bob, group))[1] == ["left"]
    code, _, said = await terminal.run("groups", "leave", bob, group)
    assert (code, said.count("\n")) == (1, 1)


async def test_a_chat_is_with_somebody_or_in_a_group(terminal: Terminal, name: str) -> None:
    assert (await terminal.run("chat", name))[0] == 2
    assert (await terminal.run("chat", name, "--with", "x", "--in", "y"))[0] == 2


async def test_a_client_finds_nothing_to_mend_where_all_is_well(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no checkout of the server
    assert await terminal.run("check") == (0, [], "stonechat: nothing to mend\n")
    assert await terminal.run("check", "--json") == (0, [], "")


async def test_a_check_says_what_a_client_cannot_reach(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, (line,), said = await terminal.run("check", "--url", DEAD)
    assert (code, said) == (1, "stonechat: 1 to mend\n")
    assert line.startswith(f"error: {DEAD}: nobody answers")
    for url in ("http://127.0.0.1:9/v1", "bar", "ws:///v1"):
        code, (line,), _ = await terminal.run("check", "--url", url, "--json")
        assert (code, orjson.loads(line)["subject"]) == (1, "url")


async def test_a_check_in_a_checkout_looks_at_the_server_too(terminal: Terminal) -> None:
    _, lines, said = await terminal.run("check", "--json")
    found = [orjson.loads(line) for line in lines]
    assert said == ""
    assert [each for each in found if each["level"] == "error"] == []
    assert "STONECHAT_S3_BUCKET" in {each["subject"] for each in found}
    code, lines, _ = await terminal.run("check", "--env", "nowhere.env")
    assert code == 1
    assert (
        "error: STONECHAT_ENV_FILE: nowhere.env cannot be read: No such file or directory" in lines
    )
