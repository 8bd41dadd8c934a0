"""What waits for the app: bounded by making others wait, or by forgetting the oldest."""

import pytest
from stonechat.errors import Disconnected
from stonechat.inbox import Inbox


async def test_there_is_no_room_at_the_limit_until_half_is_taken() -> None:
    inbox: Inbox[int] = Inbox(4)
    inbox.put([1, 2, 3])
    assert inbox.room.is_set()
    inbox.put([4])
    assert not inbox.room.is_set()
    assert await inbox.take() == 1
    assert not inbox.room.is_set()
    assert await inbox.take() == 2
    assert inbox.room.is_set()


async def test_a_lossy_one_forgets_the_oldest() -> None:
    inbox: Inbox[int] = Inbox(3, lossy=True)
    inbox.put(range(10))
    assert inbox.room.is_set()
    assert [await inbox.take() for _ in range(3)] == [7, 8, 9]


async def test_its_end_comes_after_its_last_item() -> None:
    inbox: Inbox[int] = Inbox(3)
    inbox.put([1])
    inbox.end(Disconnected("closed"))
    assert await inbox.take() == 1
    for _ in range(2):
        with pytest.raises(Disconnected):
            await inbox.take()
