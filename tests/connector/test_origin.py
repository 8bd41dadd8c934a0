"""Which Redis a node speaks to, on a real one. What it was before is made up here; the system's
tests replace it (`tests/system/faults/test_resync.py`)."""

import pytest

from shared import keys
from tests.connector.desks import Desk, desk

__all__ = ["desk"]  # a fixture


@pytest.mark.parametrize(
    ("mark", "stays"),
    [("7:{run}", True), ("7:0123456789abcdef", False), ("nonsense", False), (None, False)],
)
async def test_a_mark_of_another_process_is_taken_away(
    desk: Desk, mark: str | None, stays: bool
) -> None:
    run = (await desk.client.info("server"))["run_id"]
    if mark is not None:
        await desk.client.set(keys.GENERATION, mark.format(run=run))
    await desk.client.connection_pool.disconnect()
    found = await desk.client.get(keys.GENERATION)
    assert (found is not None) == stays
    assert not desk.inbox.lost, "whose mark it was says nothing about what this node told"


async def test_another_process_is_noticed_by_whoever_connects(desk: Desk) -> None:
    await desk.client.ping()
    await desk.client.connection_pool.disconnect()
    await desk.client.ping()
    assert not desk.inbox.lost, "it is the same"
    desk.origin._run = b"another"
    await desk.client.ping()
    assert not desk.inbox.lost, "who is connected has met it"
    await desk.client.connection_pool.disconnect()
    await desk.client.ping()
    assert desk.inbox.lost


async def test_data_that_were_replaced_are_noticed_by_the_heartbeat(desk: Desk) -> None:
    """And the mark that was there then is taken away, but not one that was raised since."""
    mark = await desk.mark(7)
    await desk.node.beat()
    await desk.node.beat()
    assert not desk.inbox.lost
    desk.origin._replication = "another"
    await desk.node.beat()
    assert desk.inbox.lost
    assert await desk.client.get(keys.GENERATION) is None
    await desk.client.set(keys.GENERATION, mark)
    await desk.origin.look()
    raised = await desk.mark(8)
    desk.origin._replication = "another"
    assert not await desk.origin.look()
    assert await desk.client.get(keys.GENERATION) == raised
