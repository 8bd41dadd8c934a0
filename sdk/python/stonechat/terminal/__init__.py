"""The command `stonechat`: chatting in a terminal, and sending and following in scripts."""

import sys


def main() -> None:
    """The console script. Needs the extra `cli`."""
    try:
        from stonechat.terminal.commands import app
    except ModuleNotFoundError as missing:
        sys.exit(f"stonechat: {missing.name} is not installed: pip install 'stonechat[cli]'")
    app()


__all__ = ["main"]
