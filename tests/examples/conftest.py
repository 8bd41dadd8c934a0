"""A house that has deployed the examples beside our own functions."""

import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from local.layout import ROOT, Layout, on_free_ports
from local.stack import Stack
from tests.conftest import CHEAP_PASSWORDS
from tests.examples.site import Site
from tests.logs import errors


@pytest.fixture(scope="session")
async def site() -> AsyncIterator[Site]:
    """A web site on the loopback, which the previews of this house may fetch by its address."""
    async with Site() as made:
        yield made


@pytest.fixture(scope="session")
async def house(layout: Layout, site: Site) -> AsyncIterator[Stack]:
    """The whole system with one connector, so that events are handled in the order they happen.
    This process's own settings stay those of the `layout` that all tests share."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as folder:
        words = Path(folder) / "words.txt"
        words.write_text("# of this house\nbalderdash\n")
        made = on_free_ports(
            Path(folder),
            connectors=1,
            MODERATION_WORDS=str(words),
            LINK_PREVIEW_PORTS=f"[{site.port}]",
            LINK_PREVIEW_INTERNAL_HOSTS='["127.0.0.1"]',
            LINK_PREVIEW_SECONDS="2",
            LINK_PREVIEW_RETRY_AFTER="0.1",
            **CHEAP_PASSWORDS,
        )
        async with Stack(replace(made, stack_file=merged(Path(folder)))) as stack:
            yield stack
        assert errors(made.logs) == []


def merged(folder: Path) -> Path:
    """A stack file with our functions and the examples."""
    stack, examples = (
        yaml.safe_load((ROOT / file).read_text()) for file in ("stack.yml", "examples/stack.yml")
    )
    stack["functions"] |= examples["functions"]
    for each in stack["functions"].values():
        each["handler"] = str(ROOT / each["handler"])
    file = folder / "stack.yml"
    file.write_text(yaml.safe_dump(stack))
    return file
