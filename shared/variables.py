"""The environment variables that are called STONECHAT_… and are none of `Settings`."""

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

PREFIX = "STONECHAT_"


class Variable(NamedTuple):
    name: str
    default: str
    about: str
    reader: str


ENV_FILE = Variable(
    "STONECHAT_ENV_FILE",
    "",
    "a file of NAME=value lines with settings; the environment goes before it. "
    "`make up` reads `stonechat.env` where nothing is said",
    "every process",
)

OTHERS = (
    ENV_FILE,
    Variable(
        "STONECHAT_THREADS", "16", "calls that a function's process serves at once", "functions"
    ),
    Variable("STONECHAT_FUNCTION_HOST", "0.0.0.0", "where a function listens", "functions"),  # noqa: S104
    Variable(
        "STONECHAT_LOCAL_STORE",
        "",
        "the document store that a new `.local` gets: `rust` or `python`; the first that is there",
        "`make up`",
    ),
    Variable(
        "STONECHAT_WATCHDOG",
        "",
        "of-watchdog's program, for functions with the label `com.stonechat.watchdog`",
        "`make up`",
    ),
    Variable("STONECHAT_URL", "ws://127.0.0.1:8001/v1", "a connector", "the command `stonechat`"),
    Variable(
        "STONECHAT_STATE",
        "",
        "the folder of sign-ins and of what a device keeps; `stonechat` in the user's data folder",
        "the command `stonechat`",
    ),
    Variable(
        "STONECHAT_PASSWORD", "", "of an account without a kept one", "the command `stonechat`"
    ),
    Variable(
        "STONECHAT_INVITE",
        "",
        "the code to register with, where one is needed",
        "the command `stonechat`",
    ),
    Variable(
        "STONECHAT_DEBUG",
        "",
        "anything: a fault of the command's own is told in full",
        "the command `stonechat`",
    ),
)


def unknown(names: Iterable[str], settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """The names that begin as ours do and are nobody's, each with the known one that is nearest,
    or nothing."""
    known = [name.upper() for name in settings]
    known += [each.name.removeprefix(PREFIX) for each in OTHERS]
    found = []
    for name in sorted({each.upper() for each in names}):
        # The command's own completion (`_STONECHAT_COMPLETE`) begins with another letter.
        own = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and own not in known:
            near = difflib.get_close_matches(own, known, 1)
            found.append((name, PREFIX + near[0] if near else ""))
    return found
