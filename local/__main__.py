"""`python -m local`: what it can do is in `commands`. Any Python 3 can read this file, and says in
one line what is missing."""

import sys

_OURS = ("connector", "functions", "local", "shared")


def main() -> "str | int | None":
    """Runs the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this is where it is found out)
        return "Stonechat needs Python 3.11 or newer, as in: make PYTHON=python3.12 up"
    try:
        from local.commands import app
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing in _OURS:
            raise
        return (
            f"the package {missing} is not there for {sys.executable}: `make up` installs, once, "
            "what is needed; then say .venv/bin/python -m local"
        )
    app()
    return None


if __name__ == "__main__":
    sys.exit(main())
