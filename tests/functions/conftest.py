"""What tests of functions share: settings for the length of a test."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared import stores
from shared.settings import settings

Set = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """`configure(guess_free=2)`: this process's settings until the test ends."""

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setitem(os.environ, f"STONECHAT_{name.upper()}", str(value))
        forget(values)

    def forget(values: Any) -> None:
        settings.cache_clear()
        if "redis_url" in values:
            stores.redis_client.cache_clear()

    yield change
    monkeypatch.undo()
    forget(["redis_url"])
