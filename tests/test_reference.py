"""The published reference is what the code is."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import reference, settings_page
from local.chart import CHART
from shared import secretfiles, variables
from shared.settings import Settings
from shared.versions import RELEASE


@pytest.mark.parametrize(
    ("file", "document"),
    [(reference.OPENRPC, reference.openrpc), (reference.ASYNCAPI, reference.asyncapi)],
    ids=["openrpc", "asyncapi"],
)
def test_the_files_are_up_to_date(
    layout: object, file: Path, document: Callable[[], dict[str, Any]]
) -> None:
    stale = "run `make reference` and commit what it writes"
    assert file.read_bytes() == reference.written(document()), stale


def test_the_page_of_settings_is_up_to_date_and_has_them_all() -> None:
    stale = "run `make reference` and commit what it writes"
    page = settings_page.written()
    assert settings_page.PAGE.read_text() == page, stale
    for name, field in Settings.model_fields.items():
        (line,) = (
            line
            for line in page.splitlines()
            if line.startswith(f"| `STONECHAT_{name.upper()}` |") and line.count(" | ") == 4
        )
        assert field.description, name
        assert "|  |" not in line.replace("|  | " + field.description, ""), name
    listed = [name for names in settings_page.sections().values() for name in names]
    assert listed == list(Settings.model_fields)
    for other in (*secretfiles.SECRETS, *(each.name for each in variables.OTHERS)):
        assert f"| `{other}` |" in page


def test_variables_that_are_read_elsewhere_are_known() -> None:
    """What the code reads from its environment is in the page, whoever reads it."""
    known = {each.name for each in variables.OTHERS}
    known |= {f"STONECHAT_{name.upper()}" for name in Settings.model_fields}
    read = set()
    for folder in ("connector", "functions", "local", "sdk", "shared", "template"):
        for file in (reference.ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r'"(STONECHAT_[A-Z0-9_]*[A-Z0-9])"', file.read_text()))
    assert read <= known


def test_the_release_is_one() -> None:
    root = reference.ROOT
    for project in ("pyproject.toml", "sdk/python/pyproject.toml"):
        assert tomllib.loads((root / project).read_text())["project"]["version"] == RELEASE
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == RELEASE


def test_every_method_says_what_it_takes_and_returns(layout: object) -> None:
    for method in reference.methods():
        assert method.about, method.name
        assert method.result.json_schema() != {"type": "null"}, method.name


def test_every_method_says_where_it_is_over_http_and_every_error_its_status(
    layout: object,
) -> None:
    document = reference.openrpc()
    (server,) = document["servers"]
    assert server["url"].endswith(server["x-path"])
    paths = {each["name"]: each.get("x-path") for each in document["methods"]}
    of_sockets = {name for name in paths if name.startswith("session.")}
    assert {name for name, path in paths.items() if path is None} == of_sockets
    assert set(paths.values()) == {"/v1/rpc", None}
    errors = document["components"]["errors"]
    told = {each["x-http-status"] for each in errors.values()}
    assert told == {400, 401, 403, 404, 409, 413, 429, 503}
    assert errors["too_large"]["x-http-status"] == 413


def test_every_method_is_in_the_protocol_page(layout: object) -> None:
    page = (reference.ROOT / "docs" / "protocol.md").read_text()
    assert [each.name for each in reference.methods() if f"`{each.name}`" not in page] == []
