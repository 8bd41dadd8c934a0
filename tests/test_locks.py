"""What is installed is locked: by version and by hash, all that is asked for and nothing else."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SERVER = tomllib.loads((ROOT / "pyproject.toml").read_text())
SDK = tomllib.loads((ROOT / "sdk/python/pyproject.toml").read_text())
OURS = SERVER["project"]["dependencies"]
EXTRAS = SERVER["project"]["optional-dependencies"]
LOCAL = SERVER["dependency-groups"]["local"]
CLIENT = [*SDK["project"]["dependencies"], *SDK["project"]["optional-dependencies"]["cli"]]

# What each lock is made for, but for the lock of uv: that is for itself.
ASKED = {
    "requirements.lock": [*OURS, *EXTRAS["connector"], *EXTRAS["dev"], *LOCAL, *CLIENT],
    "template/stonechat/requirements.lock": OURS,
    "infra/connector.lock": [*OURS, *EXTRAS["connector"]],
    "benchmarks/requirements.lock": [*OURS, *EXTRAS["bench"]],
    "tests/infra/requirements.lock": ["kubernetes-validate", "pyyaml"],
    "requirements-uv.lock": ["uv"],
}
# Those whose packages are installed here, so that what they need is known.
KNOWN = ("requirements.lock", "template/stonechat/requirements.lock", "infra/connector.lock")
# Installed as ranges and with no hash: its old releases leave the registry.
RANGES = {canonicalize_name(Requirement(each).name) for each in LOCAL}

_ENTRY = re.compile(
    r"([A-Za-z0-9._-]+)==(\S+)(?: ; ([^\\]+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)
_INSTALL = re.compile(r"\bpip\W+install\b|\$\(INSTALL\)")
_FILES = ("Makefile", "*.sh", "*Dockerfile", "*.py", "*.yml", "*.yaml", "run")


class Pin(NamedTuple):
    name: str
    version: str
    marker: str


def pins(lock: str) -> list[Pin]:
    found = [
        Pin(canonicalize_name(name), version, marker)
        for name, version, marker, _ in _ENTRY.findall((ROOT / lock).read_text())
    ]
    assert found
    return found


def applies(marker: object, extra: str = "") -> bool:
    return marker is None or Requirement(f"x ; {marker}").marker.evaluate({"extra": extra})


def here(lock: str) -> dict[str, str]:
    """What of it this machine and this Python would get."""
    found = [pin for pin in pins(lock) if applies(pin.marker or None)]
    assert len({pin.name for pin in found}) == len(found), "one version a package"
    return {pin.name: pin.version for pin in found}


def needed(asked: Iterable[str]) -> Iterator[Requirement]:
    """These requirements and what they need in turn, as far as that is installed."""
    waiting, seen = [Requirement(each) for each in asked], set()
    while waiting:
        each = waiting.pop()
        if not applies(each.marker):
            continue
        yield each
        for extra in ("", *each.extras):
            key = canonicalize_name(each.name), extra
            if key in seen:
                continue
            seen.add(key)
            try:
                found = [Requirement(line) for line in requires(each.name) or ()]
            except PackageNotFoundError:
                continue
            for of in found:
                if applies(of.marker, extra):
                    of.marker = None
                    waiting.append(of)


@pytest.mark.parametrize("lock", ASKED)
def test_every_line_of_a_lock_has_a_hash(lock: str) -> None:
    assert _ENTRY.sub("", (ROOT / lock).read_text()) == ""


@pytest.mark.parametrize("lock", ASKED)
def test_a_lock_fits_what_is_asked_for(lock: str) -> None:
    locked = here(lock)
    unmet = {
        str(each)
        for each in needed(ASKED[lock])
        if (name := canonicalize_name(each.name)) not in RANGES
        and not each.specifier.contains(locked.get(name, "0.dev0"), prereleases=True)
    }
    assert unmet == set(), "run `make lock`"


@pytest.mark.parametrize("lock", KNOWN)
def test_a_lock_has_nothing_that_nobody_needs(lock: str) -> None:
    wanted = {canonicalize_name(each.name) for each in needed(ASKED[lock])} - RANGES
    assert set(here(lock)) == wanted, "run `make install`, or `make lock`"


@pytest.mark.parametrize("lock", sorted(set(ASKED) - {"requirements.lock"}))
def test_no_two_locks_differ(lock: str) -> None:
    every = set(pins("requirements.lock"))
    names = {pin.name for pin in every}
    assert {pin for pin in pins(lock) if pin.name in names} <= every


def test_the_sdk_is_built_by_what_is_locked() -> None:
    locked = here("requirements.lock")
    for each in map(Requirement, SDK["build-system"]["requires"]):
        assert each.specifier.contains(locked[canonicalize_name(each.name)])


def commands() -> Iterator[tuple[str, str]]:
    """Every line that installs Python packages, continued ones as one, and the file it is in."""
    skipped = {".venv", ".tools", ".local", "build", "sdk"}  # the SDK tells people what to install
    for pattern in _FILES:
        for file in ROOT.rglob(pattern):
            path = file.relative_to(ROOT)
            if file == Path(__file__) or skipped & set(path.parts) or not file.is_file():
                continue
            text = file.read_text().replace("\\\n", " ")
            if file.suffix == ".py":  # a command is a list there, over some lines
                text = re.sub(r'",?\s*"|"\]\s*\n\s*command \+= \["', " ", text)
            yield from ((str(path), line) for line in text.splitlines() if _INSTALL.search(line))


def test_whatever_installs_asks_for_hashes() -> None:
    found = dict.fromkeys(commands())
    files = {file for file, _ in found}
    assert files == {
        "Makefile",
        "infra/connector.Dockerfile",
        "infra/local.Dockerfile",
        "local/images.py",
        "template/stonechat/Dockerfile",
        "tests/infra/tools.sh",
    }
    loose = [
        line for _, line in found if "--require-hashes" not in line and "(INSTALL)" not in line
    ]
    # The SDK, which is ours, and what is a range.
    (line,) = loose
    assert line.split("--compile-bytecode ")[1] == (
        "--no-deps --no-build-isolation --group local -e sdk/python"
    )


def test_make_writes_every_lock() -> None:
    assert set(re.findall(r"\$\(LOCK\) -o (\S+)", (ROOT / "Makefile").read_text())) == set(ASKED)
