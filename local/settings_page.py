"""The page of all settings and secrets, made from the code: docs/settings.md."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from local.chart import functions
from local.layout import ROOT
from local.readers import readers
from shared import secretfiles, startup, variables
from shared.contradictions import RULES
from shared.setting_types import MOST
from shared.settings import Settings

PAGE = ROOT / "docs" / "settings.md"

_HEAD = f"""# Settings and secrets

Written by `make reference` from `shared/settings.py`, `shared/variables.py` and
`shared/secretfiles.py`. What they mean in use is in [operating.md](operating.md).

Each setting is an environment variable, or a line `NAME=value` of the file that
`STONECHAT_ENV_FILE` names; the environment goes before the file. All are looked at when a process
starts: what makes no sense is told, a line each, and the process ends with exit code 2. No number
may be above {MOST}. A variable that begins with `STONECHAT_` and is not here is a warning, with the
name that is nearest. `stonechat check` tells the same at any time
([operating.md](operating.md#is-it-in-order)).
"""


def written() -> str:
    """The page's text."""
    return "\n".join([_HEAD, *_settings(), *_rules(), *_others(), *_secrets()])


def sections() -> dict[str, list[str]]:
    """The names of settings below their headings, which are the comments above them."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in inspect.getsource(Settings).splitlines():
        heading = re.fullmatch(r"    # (.+)\.", line)
        name = re.match(r"    ([a-z0-9_]+): ", line)
        if heading and not found.get(heading[1]):
            names = found.setdefault(heading[1], [])
        elif name and name[1] in Settings.model_fields:
            names.append(name[1])
    return {heading: names for heading, names in found.items() if names}


def _settings() -> Iterator[str]:
    who = readers()
    for heading, names in sections().items():
        yield f"## {heading}\n"
        yield "| variable | expected | default | what it is | read by |"
        yield "|---|---|---|---|---|"
        for name in names:
            field = Settings.model_fields[name]
            yield _row(
                f"`{_variable(name)}`",
                startup.expected(name),
                _default(field.default),
                field.description or "",
                ", ".join(who[name]),
            )
        yield ""


def _rules() -> Iterator[str]:
    yield "## What must fit together\n"
    yield "| variable | is | | because |"
    yield "|---|---|---|---|"
    for rule in RULES:
        small, large = f"`{_variable(rule.small)}`", f"`{_variable(rule.large)}`"
        yield _row(small, "below" if rule.strict else "at most", large, rule.why)
    yield ""


def _others() -> Iterator[str]:
    yield "## Read elsewhere\n"
    yield "| variable | default | what it is | read by |"
    yield "|---|---|---|---|"
    for each in variables.OTHERS:
        yield _row(f"`{each.name}`", _default(each.default), each.about, each.reader)
    yield ""


def _secrets() -> Iterator[str]:
    having = {name: each["secrets"] for name, each in functions().items()}
    connectors = startup.of_connector(Settings(_env_file=None, routes_file=None))
    yield "## Secrets\n"
    yield (
        "A file each, of this name, in the folder `STONECHAT_SECRETS_DIR`: text in UTF-8, for its\n"
        "owner alone (mode 0600); white space around it does not count. None has a default, and a\n"
        "process that lacks one, or has one that makes no sense, does not start.\n"
    )
    yield "| secret | expected | what it is for | how to make it | read by |"
    yield "|---|---|---|---|---|"
    for secret in secretfiles.SECRETS.values():
        names = [name for name, theirs in having.items() if secret.name in theirs]
        told = ["functions"] if len(names) == len(having) else [f"`{name}`" for name in names]
        who = (["connectors"] if secret.name in connectors else []) + told
        make = f"`{secret.make}`" if secret.make.startswith("python") else secret.make
        yield _row(f"`{secret.name}`", secret.form, secret.about, make, ", ".join(who))
    yield ""


def _variable(name: str) -> str:
    return f"{variables.PREFIX}{name.upper()}"


def _default(value: Any) -> str:
    told = str(value).lower() if isinstance(value, bool) else value
    return "" if told in (None, "") else f"`{told}`"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
