"""What a process looks at before it does anything: its settings, its secrets, the names of its
environment's variables. All that is wrong is told at once, a line each."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import structlog
from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared import secretfiles, setting_types, telemetry, variables
from shared.contradictions import contradictions
from shared.findings import Finding, error, serious, warning
from shared.settings import Settings

Needs = Callable[[Settings], Iterable[str]]

REFUSED = 2  # the exit code of a process that does not start like this

_TYPES = {
    "int": "is no whole number",
    "float": "is no number",
    "finite": "is no number",
    "bool": "is neither",
}


def of_connector(config: Settings) -> list[str]:
    """The secrets that a connector needs."""
    needed = [secretfiles.SIGNING_PUBLIC, secretfiles.CONNECTOR_KEY]
    if config.routes_file is None:
        needed += [secretfiles.GATEWAY_USER, secretfiles.GATEWAY_PASSWORD]
    return needed


def of_function(*own: str) -> list[str]:
    """The secrets that a function needs which has these of its own."""
    return [secretfiles.CONNECTOR_PUBLIC, secretfiles.METRICS_TOKEN, *own]


def of_nobody(config: Settings) -> list[str]:
    """None."""
    return []


def require(part: str, needs: Needs) -> None:
    """Logs what is wrong, and ends the process where that is more than a warning. For a part that
    runs on and needs these secrets."""
    found = examine(needs)
    if found:
        telemetry.configure(part, "info")
    logger = structlog.get_logger(__name__)
    for each in found:
        if each.level == "error":
            logger.error("cannot_start", why=each.line)
        else:
            logger.warning("setting_doubtful", why=each.line)
    if serious(found):
        sys.exit(REFUSED)


def require_of_command() -> None:
    """The same for a command, which needs no secret: the lines go to standard error, as they
    are."""
    tell(examine(of_nobody))


def tell(found: Iterable[Finding]) -> None:
    """Prints findings, and ends the process where one is more than a warning."""
    found = list(found)
    for each in found:
        print(f"{each.level}: {each}", file=sys.stderr)
    if serious(found):
        sys.exit(REFUSED)


def examine(needs: Needs) -> list[Finding]:
    """What is wrong with this process's settings, with the secrets that it needs and with those
    that are there."""
    config, found = read(os.environ.get(variables.ENV_FILE.name))
    return found + examine_secrets(config.secrets_dir, needs(config))


def examine_secrets(folder: Path, needed: Iterable[str]) -> list[Finding]:
    """What is wrong with the secrets of a folder."""
    needed = list(needed)
    if needed and not folder.is_dir():
        name = f"{variables.PREFIX}SECRETS_DIR"
        return [error(name, f"names no folder; expected one with {', '.join(needed)}")]
    return secretfiles.examine(folder, needed)


def read(file: str | None) -> tuple[Settings, list[Finding]]:
    """The settings of the environment and of this file, and what is wrong with them. In place of
    a setting that makes no sense there is its default."""
    found = list(_of_file(file)) if file else []
    readable = file if not serious(found) else None
    given: dict[str, Any] = {}
    try:
        config = Settings(_env_file=readable, _env_file_encoding="utf-8")
    except ValidationError as invalid:
        for each in invalid.errors():
            name = str(each["loc"][0])
            given[name] = Settings.model_fields[name].default
            found.append(error(_variable(name), _told(name, each)))
        config = Settings(_env_file=readable, _env_file_encoding="utf-8", **given)
    for rule, line in contradictions(config):
        if rule.small not in given and rule.large not in given:
            found.append(error(_variable(rule.small), line))
    named = [*os.environ, *(_names(file) if readable else ())]
    for name, near in variables.unknown(named, Settings.model_fields):
        meant = f"did you mean {near}?" if near else "expected one of docs/settings.md"
        found.append(warning(name, f"is no setting; {meant}"))
    return config, found


def expected(name: str) -> str:
    """What a setting has to be, for people."""
    return setting_types.expected(Settings.model_fields[name])


def _variable(name: str) -> str:
    return f"{variables.PREFIX}{name.upper()}"


def _told(name: str, wrong: ErrorDetails) -> str:
    """Never what was given: an address may carry a password."""
    kind = wrong["type"]
    if kind == "value_error":  # our own words
        told = str(wrong["ctx"]["error"])
    else:
        words = (_TYPES[each] for each in _TYPES if kind.startswith(each))
        told = next(words, "is out of range" if "than" in kind else "makes no sense")
    most = f", up to {setting_types.MOST}" if told == "is too large" else ""
    return f"{told}; expected {expected(name)}{most}"


def _of_file(file: str) -> Iterator[Finding]:
    """What keeps a file of settings from being read."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield error(variables.ENV_FILE.name, f"{file} is not text in UTF-8")
        return
    except OSError as failure:
        yield error(variables.ENV_FILE.name, f"{file} cannot be read: {failure.strerror}")
        return
    for each in parse_stream(StringIO(text)):
        if each.error:
            line = each.original.line
            yield error(variables.ENV_FILE.name, f"{file} has no NAME=value in line {line}")


def _names(file: str | None) -> list[str]:
    if file is None:
        return []
    text = Path(file).read_text(encoding="utf-8")
    return [each.key for each in parse_stream(StringIO(text)) if each.key]
