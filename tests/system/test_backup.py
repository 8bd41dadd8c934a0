"""Backup and restore by the commands of docs/operating.md, while people write."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from local.layout import Layout, on_free_ports
from local.stack import Stack
from tests import walk
from tests.conftest import CHEAP_PASSWORDS
from tests.logs import errors
from tests.walk import Shell
from tests.wire import Wire, direct

PAGE = "operating.md"
PEOPLE = ("ada", "ben", "cleo", "dan")


def home(folder: Path) -> Layout:
    return on_free_ports(folder / ".local", connectors=1, **CHEAP_PASSWORDS)


@pytest.fixture
async def lost(tmp_path: Path) -> AsyncIterator[Stack]:
    """A house that burns down."""
    async with Stack(home(tmp_path)) as made:
        yield made


def shell(own: Stack, folder: Path) -> Shell:
    """The operator's, where `make up` runs on other ports."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    return Shell(folder, mine | own.layout.child_environment())


class Writers:
    """People who write to each other and to a group, and make new groups. A refusal ends it."""

    def __init__(self, people: list[Wire], conv: str) -> None:
        self.acknowledged: dict[tuple[str, int], str] = {}  # ids
        self._people = people
        self._conv = conv
        self._stopping = asyncio.Event()

    async def write(self, number: int) -> None:
        me, other = self._people[number], self._people[number - 1]
        count = 0
        while not self._stopping.is_set():
            count += 1
            for to in (self._conv, direct(me.uid, other.uid)):
                sent = await me.send(to, f"{to} {count}", f"{me.uid} says {count}")
                self.acknowledged[to, sent["seq"]] = sent["id"]
            if count % 5 == 0:
                name = f"number {count}"
                made = await me.call("group.create", cid=name, name=name, members=[other.uid])
                self.acknowledged[made["conv"], 1] = ""

    async def go_on(self) -> None:
        """Returns when more was written."""
        enough = len(self.acknowledged) + 60
        async with asyncio.timeout(60):
            while len(self.acknowledged) < enough:
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._stopping.set()


@pytest.mark.timeout(180)
async def test_a_house_is_lost_and_comes_back(lost: Stack, tmp_path: Path) -> None:
    saving, keys, checking = walk.commands(PAGE, "Of `make up`")
    people = [await Wire.sign_in(lost.layout.connector_urls[0], name) for name in PEOPLE]
    uids = [each.uid for each in people[1:]]
    made = await people[0].call("group.create", cid="c", name="All of us", members=uids)
    writers = Writers(people, made["conv"])
    writing = [asyncio.create_task(writers.write(number)) for number in range(len(people))]
    await writers.go_on()
    before = dict(writers.acknowledged)
    await shell(lost, tmp_path).run(saving)
    assert len(writers.acknowledged) > len(before)
    writers.stop()
    await asyncio.gather(*writing)
    await lost.stop()
    shutil.rmtree(tmp_path / ".local")

    again = Stack(home(tmp_path))
    operator = shell(again, tmp_path)
    await operator.run(keys)
    async with again:
        await operator.run(checking)
        await _holds(again, before, writers.acknowledged)
    assert errors(again.layout.logs) == []


async def _holds(
    again: Stack, before: dict[tuple[str, int], str], after: dict[tuple[str, int], str]
) -> None:
    """What was acknowledged before the copy began is there, everything can be read, and new
    messages get new numbers."""
    url = again.layout.connector_urls[0]
    people = [await Wire.sign_in(url, name) for name in PEOPLE]
    seen: dict[tuple[str, int], dict[str, Any]] = {}
    for person in people:
        for conv in await _listed(person):
            entries = await _history(person, conv)
            assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1))
            assert [each for each in entries if each.get("unreadable")] == []
            seen.update({(conv, each["seq"]): each for each in entries})
    assert {place for place in before if place not in seen} == set()
    for place, id_ in before.items():
        assert id_ in ("", seen[place]["id"]), place
    assert [each for each in seen.values() if each["type"] == "text" and not each.get("body")] == []
    for conv in {conv for conv, _ in before if conv.startswith(("g:", "d:"))}:
        highest = max(seq for where, seq in seen if where == conv)
        for person in people:
            if conv in await _listed(person):
                sent = await person.send(conv, f"after {highest}", "we are back")
                highest += 1
                assert sent["seq"] == highest, conv
                assert sent["id"] not in {each["id"] for each in seen.values()}
    assert len(after) > len(before)


async def _listed(person: Wire) -> list[str]:
    found = await person.call("conversation.list")
    return [each["conv"] for each in found["conversations"]]


async def _history(person: Wire, conv: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    more = True
    while more:
        after = entries[-1]["seq"] if entries else 0
        page = await person.call("message.history", conv=conv, after=after, limit=200)
        assert page["entries"] or not page["more"], conv
        entries += page["entries"]
        more = page["more"]
    return entries
