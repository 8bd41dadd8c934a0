"""The rules that hold the tree together: who may import whom, and what is announced."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
OURS = {"shared", "functions", "examples", "connector", "stonechat", "local", "benchmarks", "tests"}
MAY_IMPORT = {
    "shared": {"shared"},
    "functions": {"shared"},
    "examples": {"shared"},
    "examples/bot": {"stonechat"},
    "connector": {"connector", "shared"},
    "sdk": {"stonechat"},
    "template": {"shared"},
    "local": OURS - {"tests", "benchmarks", "examples"},
    "benchmarks": {"benchmarks", "stonechat", "local", "shared"},
}
STACKS = {
    folder: yaml.safe_load((ROOT / file).read_text())
    for folder, file in (("functions", "stack.yml"), ("examples", "examples/stack.yml"))
}
FUNCTIONS = [
    pytest.param(folder, name, id=name)
    for folder, stack in STACKS.items()
    for name in sorted(stack["functions"])
]


def imported(file: Path) -> Iterator[str]:
    """The top-level names of ours that a file imports; relative ones stay in their folder."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_imports_go_one_way(folder: str) -> None:
    within = [other for other in MAY_IMPORT if other.startswith(f"{folder}/")]
    files = [
        file
        for file in (ROOT / folder).rglob("*.py")
        if not any(file.is_relative_to(ROOT / other) for other in within)
    ]
    wrong = [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in files
        for module in imported(file)
        if (top := module.split(".")[0]) in OURS and top not in MAY_IMPORT[folder]
    ]
    assert files
    assert wrong == []


def module(name: str) -> str:
    """A function's package, and its `Function` in there: OpenFaaS' names may have a dash."""
    return name.replace("-", "_")


@pytest.mark.parametrize("folder", sorted(STACKS))
def test_functions_are_one_folder_each(folder: str) -> None:
    folders = {path.parent.name for path in (ROOT / folder).glob("*/handler.py")}
    assert folders == {module(name) for name in STACKS[folder]["functions"]}


def test_examples_are_deployed_as_the_functions_are() -> None:
    ours, examples = STACKS["functions"], STACKS["examples"]
    assert examples | {"functions": None} == ours | {"functions": None}
    assert not set(examples["functions"]) & set(ours["functions"])
    for name, each in examples["functions"].items():
        # From the working directory, which is the repository's root.
        assert each["handler"] == f"./examples/{module(name)}"
        assert each["lang"] == "stonechat"


def test_redis_keys_and_collections_are_spelled_once() -> None:
    prefixes = ('f"seq:', 'f"tail:', 'f"node:', 'f"channel:', 'f"device:', 'f"guess')
    wrong = [
        str(file.relative_to(ROOT))
        for folder in ("shared", "functions", "connector")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "keys.py" and any(prefix in file.read_text() for prefix in prefixes)
    ]
    assert wrong == []


def calls(folders: tuple[str, ...]) -> Iterator[tuple[Path, ast.Call, str]]:
    """The calls in the files of folders, each with what is called."""
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT), node, ast.unparse(node.func)


def test_exceptions_are_logged_as_they_are() -> None:
    """Not as text of ours: `tracebacks` decides what may be said of them."""
    wrong = [
        f"{file}:{call.lineno} {ast.unparse(node)}"
        for file, call, name in calls(("shared", "functions", "examples", "connector", "template"))
        if name.startswith("logger.")
        for node in ast.walk(call)
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod))
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("str", "repr", "format"))
    ]
    assert wrong == []


def test_threads_are_made_where_they_learn_whose_work_they_do() -> None:
    made = ("Thread", "threading.Thread", "ThreadPoolExecutor", "futures.ThreadPoolExecutor")
    found = calls(("shared", "functions", "examples", "connector"))
    assert [str(file) for file, _, name in found if name in made] == ["shared/threads.py"]


@pytest.mark.parametrize(("folder", "name"), FUNCTIONS)
def test_annotations_say_what_the_handler_has(folder: str, name: str, layout: object) -> None:
    handler = importlib.import_module(f"{folder}.{module(name)}.handler")
    function = getattr(handler, module(name))
    methods = function.methods
    annotations = STACKS[folder]["functions"][name]["annotations"]

    def listed(key: str) -> list[str]:
        return sorted(filter(None, annotations.get(key, "").split(",")))

    secrets = STACKS[folder]["functions"][name]["secrets"]
    assert sorted(function.needs) == sorted(secrets)
    assert handler.start == function.start
    assert function.name == name
    assert annotations["topic"] == "stonechat"
    assert listed("stonechat.methods") == sorted(methods)
    assert listed("stonechat.before") == sorted(function.hooks)
    assert listed("stonechat.events") == sorted(function.events)
    assert listed("stonechat.raw") == sorted(function.raws)
    assert listed("stonechat.reads") == sorted(each for each in methods if methods[each].reads)
    assert listed("stonechat.public") == sorted(each for each in methods if methods[each].public)


@pytest.mark.parametrize(("folder", "name"), FUNCTIONS)
def test_the_stack_file_leaves_nothing_to_defaults(folder: str, name: str) -> None:
    function = STACKS[folder]["functions"][name]
    assert function["image"] == f"stonechat/{name}:latest"
    assert function["lang"] == "stonechat"
    assert function["readonly_root_filesystem"] is True
    for bound in ("requests", "limits"):
        assert set(function[bound]) == {"memory", "cpu"}
    low, high = (int(function["labels"][f"com.openfaas.scale.{end}"]) for end in ("min", "max"))
    assert 1 <= low <= high <= 5
    assert {"stonechat-connector-public", "stonechat-metrics-token"} <= set(function["secrets"])
    assert int(function["environment"]["STONECHAT_THREADS"]) > 0


def test_few_enough_functions_for_openfaas_ce() -> None:
    assert len(STACKS["functions"]["functions"]) <= 12


@pytest.mark.parametrize(("folder", "name"), FUNCTIONS)
def test_no_module_is_many_things(folder: str, name: str) -> None:
    longest = {"functions": 400, "examples": 200}[folder]
    for file in (ROOT / folder / module(name)).rglob("*.py"):
        assert len(file.read_text().splitlines()) <= longest, file
