"""`python -m shared.check`: whether an installation is in order. A line for each finding.

It looks at settings, secrets, versions, the stores, the gateway and their clocks, from where it
runs: in a connector's container, in a function's, or in a checkout. The settings are those of
`--env FILE`, or else of the environment; in a checkout without any, those of the stack that
`make up` runs (`.local/settings.env`), or else of `stonechat.env`.

The exit code is 0 where there is nothing but information, 1 where something was found, 2 on wrong
usage.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from shared import secretfiles, startup, storechecks, variables, versions
from shared.findings import Finding, error
from shared.settings import Settings
from shared.threads import Pool

TIMEOUT = 5.0  # seconds for one look
_STACK = Path(".local/settings.env")
_FILES = (_STACK, Path("stonechat.env"))
_STORES: Sequence[storechecks.Check] = (
    storechecks.redis_store,
    storechecks.mongo_store,
    storechecks.s3_store,
    storechecks.gateway,
)


def examine(timeout: float = TIMEOUT, *, whole: bool = False) -> list[Finding]:
    """All that is found with this process's settings. `whole`: all secrets must be there."""
    config, found = startup.read(os.environ.get(variables.ENV_FILE.name))
    wrong = {each.subject for each in found if each.level == "error"}
    if variables.ENV_FILE.name in wrong:
        return found  # where the secrets and the stores are is not known
    needed = secretfiles.SECRETS if whole else _needed(config)
    found += startup.examine_secrets(config.secrets_dir, needed)
    found += versions.examine()
    with Pool(len(_STORES)) as pool:
        looks = [pool.submit(look, config, timeout) for look in _STORES]
        for look in looks:
            # Where an address makes no sense, what is at the default one is of no interest.
            found += [each for each in look.result() if each.subject not in wrong]
    return found


def _needed(config: Settings) -> list[str]:
    """The secrets of who has these: a connector's folder has its key, a function's has not; who has
    both kinds has them for everybody."""

    def has(*names: str) -> bool:
        return any((config.secrets_dir / name).exists() for name in names)

    if not has(secretfiles.CONNECTOR_KEY):
        return startup.of_function()
    if has(secretfiles.SIGNING_KEY, secretfiles.CONTENT_KEYS):
        return list(secretfiles.SECRETS)
    return startup.of_connector(config)


def choose(given: Path | None) -> Path | None:
    """The file of settings to use, None where the environment has them."""
    if given is not None:
        return given
    if any(name.upper() in _PLACES for name in os.environ):
        return None
    return next((file for file in _FILES if file.is_file()), None)


_PLACES = {
    variables.ENV_FILE.name,
    *(f"{variables.PREFIX}{name}" for name in ("REDIS_URL", "MONGO_URL", "SECRETS_DIR")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.check", description="In order or not.")
    parser.add_argument("--env", type=Path, metavar="FILE", help="settings, NAME=value a line")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--timeout", type=_seconds, default=TIMEOUT, help="seconds for each look")
    asked = parser.parse_args(arguments)
    file = choose(asked.env)
    if file is not None:
        os.environ[variables.ENV_FILE.name] = str(file)
    try:
        found = examine(asked.timeout, whole=file == _STACK)
    except Exception as failure:  # the last resort: a line, and no traceback
        found = [error("check", f"broke off ({type(failure).__name__})")]
    for each in found:
        print(orjson.dumps(each._asdict()).decode() if asked.json else f"{each.level}: {each}")
    if not asked.json:
        print(f"{len(_to_mend(found)) or 'nothing'} to mend", file=sys.stderr)
    return 1 if _to_mend(found) else 0


def _to_mend(found: Iterable[Finding]) -> list[Finding]:
    return [each for each in found if each.level != "info"]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 60:
        raise ValueError
    return seconds


if __name__ == "__main__":
    sys.exit(main())
