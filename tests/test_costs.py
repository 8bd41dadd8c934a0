"""What cannot flake about speed: round trips of a batch, copies of a frame, queries and indexes.

Counts, not times. A batch of a hundred calls asks the stores as often as a batch of one.
"""

import asyncio
import sys
from typing import Any

import orjson
import pytest

from local.layout import ROOT, Layout
from local.stack import Stack
from shared.collections import INDEXES

MANY = 100
PORTION = 50  # keys in one query (shared/finds.py)


@pytest.fixture(scope="module")
async def counted(layout: Layout, stores: Stack) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.costs"),
        cwd=ROOT,
        env=layout.child_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    found: dict[str, Any] = orjson.loads(out.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("method", "redis", "store"),
    [
        # policy; numbers; announcing. One insert.
        ("message.send", 3, 1),
        # states; tails. The store is not asked.
        ("conversation.list", 2, 0),
        # who has more than a page: states; numbers; the page's tails.
        ("conversation.list of many", 3, 0),
        # tails; blocks and marks; new marks; announcing. One bulk write.
        ("conversation.read", 4, 1),
        ("message.history", 1, 1),
    ],
)
def test_a_batch_asks_as_often_as_one_call(
    counted: dict[str, Any], method: str, redis: int, store: int
) -> None:
    found = counted["trips"][method]
    assert found["redis"] == [redis, redis]
    one, many = found["store"]
    assert one == store
    assert many <= store * MANY // PORTION if method == "message.history" else many == store


def test_every_query_begins_with_an_index(counted: dict[str, Any]) -> None:
    without = [
        (collection, fields)
        for collection, fields in counted["filters"]
        if not set(fields) & ({"_id"} | _first_fields(collection))
    ]
    assert len(counted["filters"]) > 20
    assert without == []


def _first_fields(collection: str) -> set[str]:
    return {next(iter(index.document["key"])) for index in INDEXES.get(collection, [])}
