"""The real parts that tests run on: the stores alone, or the whole system. Started once a run."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from local.layout import Layout, on_free_ports
from local.stack import Stack
from shared.settings import settings as config
from tests.logs import errors

# Tests sign many people in; what a password hash costs is not what they test.
CHEAP_PASSWORDS = {"STONECHAT_ARGON2_MEMORY_KIB": "8192", "STONECHAT_ARGON2_TIME_COST": "1"}


@pytest.fixture(scope="session")
def layout() -> Iterator[Layout]:
    """Free ports, a folder of its own, and this process's settings pointed at them."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        made = on_free_ports(Path(folder), connectors=2, **CHEAP_PASSWORDS)
        settings = made.child_environment()
        os.environ |= {name: settings[name] for name in settings if name.startswith("STONECHAT_")}
        config.cache_clear()  # whoever was imported before has read others
        yield made


@pytest.fixture(scope="session")
async def started(layout: Layout) -> AsyncIterator[Stack]:
    """The stack of this run, of which the stores are running."""
    stack = Stack(layout)
    await stack.start_stores()
    try:
        yield stack
    finally:
        await asyncio.shield(stack.stop())
    assert errors(layout.logs) == []


@pytest.fixture(scope="session")
async def stores(started: Stack) -> Stack:
    """Valkey, the document store and the S3 store."""
    return started


@pytest.fixture(scope="session")
async def stack(started: Stack) -> Stack:
    """The whole system, with two connectors."""
    await started.start_rest()
    return started


@pytest.fixture
def name() -> str:
    """A username that nobody has."""
    return f"u{secrets.token_hex(6)}"
