"""The published reference is what the code is."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from local import examples, reference, refusals, settings_page
from local.chart import CHART
from local.stack import Stack
from shared import secretfiles, variables
from shared.errors import Reason
from shared.settings import Settings
from shared.versions import RELEASE
from tests import scene
from tests.record import Recorder, written


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
    statuses = document["x-http-status"]
    assert statuses.keys() == errors.keys()
    assert set(statuses.values()) == {400, 401, 403, 404, 409, 413, 429, 503}
    assert statuses["too_large"] == 413


def test_every_method_is_in_the_protocol_page(layout: object) -> None:
    page = (reference.ROOT / "docs" / "protocol.md").read_text()
    assert [each.name for each in reference.methods() if f"`{each.name}`" not in page] == []


def test_the_protocol_page_says_which_function_serves_each_method(layout: object) -> None:
    page = (reference.ROOT / "docs" / "protocol.md").read_text()
    table = page.split("| methods | served by |")[1].split("\n\n")[0]
    served: dict[str, str] = {}
    for row in table.splitlines()[2:]:
        names, owner = row.strip("| ").split(" | ")
        for name in re.findall(r"`([\w.*]+)`", names):
            served[name] = owner.strip("`")
    served["session.open"] = served["session.renew"] = "connector"
    for method in reference.methods():
        family = f"{method.name.split('.')[0]}.*"
        assert served.get(method.name, served.get(family)) == method.owner, method.name


def test_every_method_has_an_example_that_fits(layout: object) -> None:
    found = {each.name: each for each in reference.methods()}
    assert found.keys() == examples.examples().keys()
    for name, example in examples.examples().items():
        found[name].params.validate_python(example.params, strict=True)
        found[name].result.validate_python(example.result)


async def test_the_examples_are_what_the_system_answers(stack: Stack) -> None:
    recorder = Recorder()
    await scene.play(recorder, stack.layout.connector_urls[0])
    stale = "run `make reference` and commit what it writes"
    assert orjson.loads(written(recorder)) == orjson.loads(examples.FILE.read_bytes()), stale


def test_every_refusal_in_the_code_is_announced(layout: object) -> None:
    """Each reason that a function's code names is one of a method of that function."""
    announced: dict[str, set[str]] = {}
    document = reference.openrpc()
    for method in document["methods"]:
        reasons = {each["$ref"].rsplit("/", 1)[1] for each in method["errors"]}
        assert reasons <= document["components"]["errors"].keys()
        announced.setdefault(method.get("x-function", "connector"), set()).update(reasons)
    assert announced["connector"]
    for function in announced.keys() - {"connector"}:
        files = (reference.ROOT / "functions" / function).glob("*.py")
        named = {
            name for file in files for name in re.findall(r"\bReason\.(\w+)", file.read_text())
        }
        assert {str(Reason[name]) for name in named} <= announced[function], function


@pytest.mark.parametrize(
    ("about", "reasons"),
    [
        (
            "Does. Refuses with `not_found` (no `blocked`. At all), `conflict`. `muted` is not.",
            {"not_found", "blocked", "conflict"},
        ),
        ("Does it; refuses like `a.other`.", {"forbidden"}),
        ("`not_found` is a state. Nothing is refused.", set()),
    ],
    ids=["sentence", "like-another", "none"],
)
def test_a_docstring_says_with_what_a_method_refuses(about: str, reasons: set[str]) -> None:
    abouts = {"a.one": about, "a.other": "Refuses with `forbidden`."}
    found = refusals.of_method("a.one", abouts, public=True)
    assert set(found) - refusals.OF_ANY == reasons
    assert set(refusals.of_method("a.one", abouts, public=False)) > set(found)


# What OpenRPC 1.3 lets an object hold; `x-` fields only where it says so.
_METHOD = {"name", "tags", "summary", "description", "paramStructure", "params", "result"}
_METHOD |= {"errors", "examples"}


def test_the_document_is_what_openrpc_allows(layout: object) -> None:
    document = reference.openrpc()
    for method in document["methods"]:
        assert {each for each in method if not each.startswith("x-")} == _METHOD, method["name"]
        required = [each["required"] for each in method["params"]]
        assert required == sorted(required, reverse=True), method["name"]
        (example,) = method["examples"]
        names = {each["name"] for each in method["params"]}
        assert {each["name"] for each in example["params"]} <= names
    for error in document["components"]["errors"].values():
        assert error.keys() == {"code", "message", "data"}


@pytest.mark.parametrize("file", [reference.OPENRPC, reference.ASYNCAPI], ids=["rpc", "async"])
def test_every_reference_leads_somewhere(file: Path) -> None:
    document = orjson.loads(file.read_bytes())
    found = set(re.findall(r'"\$ref": ?"([^"]+)"', file.read_text()))
    assert found
    for pointer in found:
        here = document
        for step in pointer.removeprefix("#/").split("/"):
            here = here[step.replace("~1", "/").replace("~0", "~")]
