"""docs/writing-a-function.md as those without faas-cli follow it."""

import os
from pathlib import Path

import orjson

from local.layout import ROOT
from local.stack import Stack
from tests.walk import Walk


async def test_ten_minutes_without_faas_cli(stack: Stack, tmp_path: Path) -> None:
    layout = stack.layout
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")
    } | {
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "STONECHAT_URL": layout.connector_urls[0],
        "STONECHAT_ENV_FILE": str(tmp_path / "none.env"),
        "PYTHONPATH": str(ROOT),
        "DEPLOY_OPTIONS": f" --gateway-port {layout.gateway_port} --directory {layout.directory}",
    }
    told = await Walk(tmp_path, environment).go(faas=False)
    entries = orjson.loads(told[-1])["entries"]
    assert [(each["seq"], each["type"]) for each in entries] == [
        (1, "group"),
        (2, "poll"),
        (3, "vote"),
    ]
    assert entries[1]["body"] == {"question": "Tea?", "options": ["yes", "no"]}
    assert (entries[2]["ref"], entries[2]["body"]) == (2, {"option": 0})
