"""The command `stonechat`: chatting in a terminal, and sending and following in scripts.

`program` takes the arguments to `commands`, `people` and `groups`, which say what is asked;
`running` signs in with an `account`, whose `files` are one folder, and ends with an exit code. What
is printed goes through `screen`, which cleans it (`clean`); `lines` says how an entry reads.
"""

import sys


def main() -> None:
    """The console script. Needs the extra `cli`."""
    try:
        from stonechat.terminal import program
    except ModuleNotFoundError as missing:
        sys.exit(f"stonechat: {missing.name} is not installed: pip install 'stonechat[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    program.main()


__all__ = ["main"]
