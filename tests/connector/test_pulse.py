"""A node's heartbeat: what it proves, and what not."""

import asyncio

import pytest

from connector.pulse import Pulse
from shared import keys
from tests.connector.desks import Desk, desk

__all__ = ["desk"]  # a fixture


async def test_each_beat_follows_upon_the_one_before(desk: Desk) -> None:
    pulse, alive = desk.pulse, keys.node_alive(desk.node_id)
    assert [await pulse.beat() for _ in range(3)] == [True] * 3
    for value in (None, "1", "x", "99"):
        if value is None:
            await desk.client.delete(alive)
        else:
            await desk.client.set(alive, value)
        assert not await pulse.beat(), value
        assert await pulse.beat(), "it begins anew"
    assert 0 < await desk.client.pttl(alive) <= 15_000


async def test_a_beat_that_failed_may_have_been_written(desk: Desk) -> None:
    alive = keys.node_alive(desk.node_id)
    await desk.pulse.beat()
    for written in (True, False):
        desk.pulse._written += 1  # and then the connection was gone
        if written:
            await desk.client.set(alive, desk.pulse._written)
        assert await desk.pulse.beat()


@pytest.mark.parametrize(
    ("found", "least", "proves"),
    [
        (b"3", 3, True),
        (b"2", 2, True),
        (b"2", 3, False),
        (None, 3, False),
        (b"x", 3, False),
        (b"4", 3, False),
        (None, 0, True),
    ],
)
async def test_what_is_found_proves_where_it_is_certain(
    desk: Desk, found: bytes | None, least: int, proves: bool
) -> None:
    for _ in range(3):
        await desk.pulse.beat()
    assert await desk.pulse.reaches(found, least) == proves


async def test_a_beat_that_is_under_way_is_waited_for(desk: Desk) -> None:
    """Its number proves nothing before it is known what it followed upon."""
    pulse: Pulse = desk.pulse
    await pulse.beat()
    async with pulse._beating:
        waiting = asyncio.create_task(pulse.reaches(b"2", 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        pulse.sure = 2
    assert await waiting
