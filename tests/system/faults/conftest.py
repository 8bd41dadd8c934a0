"""A stack of its own for the faults, which kill its stores."""

import asyncio
import os
import random
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from local.layout import on_free_ports
from local.stack import Stack
from tests.conftest import CHEAP_PASSWORDS
from tests.crowd import Crowd
from tests.logs import errors

CLIENTS = int(os.environ.get("CLIENTS", "50"))
ROUNDS = int(os.environ.get("ROUNDS", "1"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        given = os.environ.get("SEED")
        # Processes that run tests side by side must agree on what the tests are.
        run = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex())
        salted = random.Random(f"{run.random()} {metafunc.function.__name__}")
        seeds = [int(given)] if given else [salted.randrange(10**6) for _ in range(ROUNDS)]
        metafunc.parametrize("seed", seeds, ids=[f"seed={seed}" for seed in seeds])


@pytest.fixture(scope="session")
async def fragile() -> AsyncIterator[Stack]:
    """The whole system, with two connectors."""
    with tempfile.TemporaryDirectory(prefix="stonechat-faults-") as folder:
        stack = Stack(on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS))
        await stack.start()
        try:
            yield stack
        finally:
            await asyncio.shield(stack.stop())
        assert errors(stack.layout.logs) == []


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
async def crowd(fragile: Stack, name: str, seed: int) -> AsyncIterator[Crowd]:
    """Clients that chat all the time, 300-500 messages a second in all."""
    urls = fragile.layout.connector_urls
    async with Crowd(urls, name, CLIENTS, seed=seed, pause=0.1) as made:
        await made.until_acknowledged(200)
        yield made


@pytest.fixture
def saved(fragile: Stack) -> Iterator[Path]:
    """Where a copy of Valkey's data may be kept."""
    with tempfile.TemporaryDirectory(prefix="stonechat-saved-") as folder:
        yield Path(folder) / "valkey"
