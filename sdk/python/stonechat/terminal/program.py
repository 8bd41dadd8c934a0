"""The program: its arguments as text, wrong usage in one line, and no traceback."""

import os
import sys
import traceback

import typer

from stonechat.terminal import screen, stdin
from stonechat.terminal.commands import app
from stonechat.terminal.running import MISUSED, REFUSED

DEBUG_VARIABLE = "STONECHAT_DEBUG"


def main() -> None:
    """Ends the process with the command's exit code."""
    screen.prepare()
    try:
        code = _run()
    except (screen.Closed, screen.Unwritable):
        screen.abandon()
        code = REFUSED
    sys.exit(code)


def _run() -> int:
    texts = list(map(_text, sys.argv[1:]))
    if None in texts:
        screen.tell("an argument is no text, neither in UTF-8 nor in the locale's encoding")
        return MISUSED
    sys.argv[1:] = [each for each in texts if each is not None]
    try:
        return app(standalone_mode=False) or 0
    except typer.Abort:
        return REFUSED
    except Exception as error:
        if _is_help(error):
            return MISUSED
        if hasattr(error, "format_message"):  # wrong usage, whichever click typer has
            screen.tell(error.format_message())
            return MISUSED
        if os.environ.get(DEBUG_VARIABLE):
            screen.tell_all(traceback.format_exc())
        screen.tell(f"a fault of its own: {type(error).__name__}: {error}")
        return REFUSED


def _text(argument: str) -> str | None:
    """What the argument's bytes are as text. None where they are none."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return stdin.decoded(os.fsencode(argument))
    return argument


def _is_help(error: Exception) -> bool:
    """Shows the help that a command without arguments asks for."""
    if type(error).__name__ != "NoArgsIsHelpError":
        return False
    error.show()  # type: ignore[attr-defined]
    return True
