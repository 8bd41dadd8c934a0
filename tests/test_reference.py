"""The published reference is what the code is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import reference


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
