"""The documentation, followed: docs/writing-a-function.md by those without faas-cli, what
docs/operating.md says of one machine, and what docs/quick-start.md says of HTTP."""

import os
from pathlib import Path

import orjson

from local.layout import ROOT
from local.stack import Stack
from tests.walk import Shell, Walk, commands


async def test_ten_minutes_without_faas_cli(stack: Stack, tmp_path: Path) -> None:
    layout = stack.layout
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")
    } | {
        "HOME": str(tmp_path / "home"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "STONECHAT_URL": layout.connector_urls[0],
        "STONECHAT_ENV_FILE": os.devnull,
        "PYTHONPATH": str(ROOT),
        "DEPLOY_OPTIONS": f" --directory {layout.directory}",
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


async def test_operating_what_is_deployed(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".local").symlink_to(stack.layout.directory)
    (tmp_path / "stack.yml").symlink_to(ROOT / "stack.yml")
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    deployed, secrets = commands("operating.md", "On one machine")
    told = await Shell(tmp_path, mine).run(f"set -euo pipefail\n{deployed}")
    assert "message.send" in told
    assert told.splitlines()[-1].startswith("deployed presence: presence.get ")
    told = await Shell(tmp_path, mine).run(f"set -euo pipefail\n{secrets}")
    lines = told.splitlines()
    assert lines[1].startswith("updated our-key: ")
    assert "our-key" in lines
    assert lines[-1] == "removed our-key"


async def test_a_first_call_over_http(stack: Stack, tmp_path: Path, name: str) -> None:
    script = "".join(commands("quick-start.md", "From anything else"))
    for written, here in (
        ("http://127.0.0.1:8001/v1/rpc", stack.layout.door_urls[0]),
        ('"dora"', f'"{name}"'),
    ):
        assert written in script
        script = script.replace(written, here)
    told = await Shell(tmp_path, os.environ).run(f"set -euo pipefail\n{script}")
    sent, read = map(orjson.loads, told.replace("}{", "}\n{").splitlines())
    assert sent["result"]["seq"] == 1
    (entry,) = read["result"]["entries"]
    assert entry["body"] == {"text": "hi"}
    assert entry["id"] == sent["result"]["id"]
