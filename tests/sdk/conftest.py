"""What tests of the client share."""

from pathlib import Path

import pytest

from local.stack import Stack
from tests.terminal import Terminal


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path) -> Terminal:
    """The command `stonechat` with an empty state."""
    return Terminal(stack.layout.connector_urls[0], tmp_path / "state")
