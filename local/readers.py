"""Which process reads which setting, found in the code: a process reads what any module that it
imports reads."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from shared.settings import Settings

ROOT = Path(__file__).parent.parent
_OURS = ("connector", "functions", "local", "shared")
# Names that hold settings: `config.lanes`, `self._config.lanes`, `settings().lanes`.
_HOLDERS = frozenset({"config", "_config", "settings"})
_NAMING = ("at_most", "up_to")


def readers() -> dict[str, list[str]]:
    """The processes of each setting: connectors, the functions, `make up`; of what none of
    them reads, `stonechat check`. All functions together are `functions`."""
    functions = list(yaml.safe_load((ROOT / "stack.yml").read_text())["functions"])
    starts = {"connector": "connector.__main__", "`make up`": "local.__main__"}
    starts |= {name: f"functions.{name}.handler" for name in functions}
    read = {process: _reads(start) for process, start in starts.items()}
    found = {}
    for name in Settings.model_fields:
        having = [each for each in functions if name in read[each]]
        told = ["functions"] if having == functions else [f"`{each}`" for each in having]
        connector = ["connectors"] if name in read["connector"] else []
        local = ["`make up`"] if name in read["`make up`"] else []
        found[name] = connector + told + local or ["`stonechat check`"]
    return found


def _reads(start: str) -> set[str]:
    """The settings that a module and all it imports read."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if module in seen or file is None or module == "shared.settings":
            continue
        seen.add(module)
        settings, imports = _facts(file, module)
        found |= settings
        waiting += imports
    return found


def _file(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    package = path / "__init__.py"
    return next((file for file in (path.with_suffix(".py"), package) if file.is_file()), None)


@cache
def _facts(file: Path, module: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a module reads by itself, and what it imports of ours."""
    tree = ast.parse(file.read_text())
    return frozenset(_settings(tree)), tuple(_imports(tree, module))


def _settings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in Settings.model_fields:
            holder = node.value.func if isinstance(node.value, ast.Call) else node.value
            name = holder.attr if isinstance(holder, ast.Attribute) else None
            name = holder.id if isinstance(holder, ast.Name) else name
            if name in _HOLDERS:
                yield node.attr
        # A limit that is named where it is declared: `up_to("list_limit")`.
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and isinstance(called, ast.Name) and called.id in _NAMING:
            texts = (each.value for each in node.args if isinstance(each, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    package = module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith(_OURS))
        elif isinstance(node, ast.ImportFrom):
            name = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            if name.startswith(_OURS):
                yield name
                yield from (f"{name}.{each.name}" for each in node.names)
