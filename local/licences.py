"""The licences of all that is installed, as the packages themselves say: `python -m local.licences`
writes `docs/licences.md`."""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.layout import ROOT

FILE = ROOT / "docs" / "licences.md"
_PROJECTS = (ROOT / "pyproject.toml", ROOT / "sdk" / "python" / "pyproject.toml")
_APART = ("bench",)  # groups that are not installed with the others
_HEAD = """# Licences

What is installed and under which licence, as each package says; `python -m local.licences` writes
this table. *Images* says what the images of connectors and functions hold. Everything else is for
`make up` and the tests alone and is handed on to nobody. [Platforms](platforms.md) says more of the
three stores.

| package | licence | images |
|---|---|---|
"""


class Package(NamedTuple):
    name: str
    licence: str
    shipped: bool  # in images


def packages() -> list[Package]:
    """Those that our projects ask for, and what these ask for, by name. What a platform other than
    this one needs is left out."""
    ours = _asked(_PROJECTS[0])
    shipped = _closure([*ours[""], *ours["connector"]])
    every = shipped | _closure(
        [
            each
            for file in _PROJECTS
            for group, asked in _asked(file).items()
            if group not in _APART
            for each in asked
        ]
    )
    return [Package(name, _licence(name), name in shipped) for name in sorted(every)]


def _asked(project: Path) -> dict[str, list[str]]:
    """What each group asks for; the one without a name is installed everywhere."""
    told = tomllib.loads(project.read_text())
    always: list[str] = told["project"].get("dependencies", [])
    optional: dict[str, list[str]] = told["project"].get("optional-dependencies", {})
    groups: dict[str, list[str]] = told.get("dependency-groups", {})
    return {"": always} | optional | groups


def _closure(asked: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = [(Requirement(each), "") for each in asked]
    seen = set()
    while waiting:
        wanted, extra = waiting.pop()
        name = canonicalize_name(wanted.name)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        found.add(name)
        for each in ("", *wanted.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                needs = metadata.requires(name) or ()
                waiting += [(Requirement(need), each) for need in needs]
    return found


def _licence(name: str) -> str:
    said = metadata.metadata(name)
    classified = [
        each.rsplit(" :: ", 1)[1]
        for each in said.get_all("Classifier") or ()
        if each.startswith("License :: ") and each.count(" :: ") > 1
    ]
    expressed, plain = (said.get_all(each) or () for each in ("License-Expression", "License"))
    found = "; ".join(expressed or classified or plain) or _file_of(name)
    return " ".join(found.split())


def _file_of(name: str) -> str:
    """By the first line of its licence's file."""
    for file in metadata.files(name) or ():
        if "LICENSE" in file.name.upper():
            first = file.read_text().strip().splitlines()[0]
            return re.sub(r"^The | License$", "", first)
    return "unknown"


def written() -> str:
    return _HEAD + "".join(row(each) for each in packages())


def row(package: Package) -> str:
    return f"| {package.name} | {package.licence} | {'yes' if package.shipped else ''} |\n"


def main() -> int:
    FILE.write_text(written())
    return 0


if __name__ == "__main__":
    sys.exit(main())
