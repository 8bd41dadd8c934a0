"""Everything that is printed, or asked for, goes through here: it is cleaned, a message has one
line that begins at the margin, and what the terminal cannot show is escaped."""

import codecs
import errno
import getpass
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, TextIO

from prompt_toolkit import print_formatted_text
from prompt_toolkit.formatted_text import FormattedText

from stonechat.terminal import clean
from stonechat.terminal.lines import Line

INDENT = "    "
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # signals that end a command
_NARROW = 20  # columns below which a terminal breaks lines as it likes
_ASCII = "".join(map(chr, range(0x20, 0x7F)))


class Closed(Exception):
    """Whoever read what is printed has gone."""


class Unwritable(Exception):
    """What should be printed cannot be written."""


def prepare() -> None:
    """What an encoding does not have is escaped; one that is not ASCII and more gives way to it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            encoding = stream.encoding if _is_ascii_and_more(stream.encoding) else "ascii"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")  # type: ignore[union-attr]


def abandon() -> None:
    """Nothing more is printed, not even what is still kept to be."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_interactive() -> bool:
    """Whether somebody types at a terminal that can do more than print."""
    streams = (sys.stdin, sys.stdout)
    able = all(stream is not None and stream.isatty() for stream in streams)
    return able and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def say(*fields: object, columns: int = 0) -> None:
    """One line of output; the first of its fields is filled up to so many columns."""
    first, *rest = map(clean.flat, fields)
    _write(sys.stdout, " ".join(filter(None, [first.ljust(columns), *rest])))


def dump(value: Any) -> None:
    """One line of JSON, all of it ASCII without controls."""
    _write(sys.stdout, json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f"))


def tell(message: object) -> None:
    """One line beside the output, about what the program does or did not do."""
    _write(sys.stderr, f"stonechat: {clean.flat(message)}")


def tell_all(message: object) -> None:
    """Several lines beside the output."""
    for each in clean.text(message).split("\n"):
        _write(sys.stderr, each)


def show(line: Line, *place: object) -> None:
    """A message or what else is in a conversation; `place` stands before it instead of the time."""
    head, body = _laid_out(line, place or (line.when, f"#{line.seq}"))
    _write(sys.stdout, "".join(head) + body)


def show_in_colours(line: Line) -> None:
    """The same above what is being typed."""
    (place, who, note), body = _laid_out(line, (line.when, f"#{line.seq}"))
    mark = " ✓" if line.mine else ""
    colour = "ansicyan" if line.mine else "ansigreen"
    grey = "ansigray"
    parts = [(grey, place), (colour, who), (grey, note), ("", body), (grey, mark)]
    print_formatted_text(FormattedText(parts))


def tell_in_colours(message: object) -> None:
    """A line of the program's own above what is being typed."""
    columns = _columns(sys.stdout)
    lines = clean.lines(clean.flat(message), columns, 0, len(INDENT))
    print_formatted_text(FormattedText([("ansired", f"\n{INDENT}".join(lines))]))


def toolbar(*fields: object) -> FormattedText:
    """The line below what is being typed."""
    return FormattedText([("", " " + " · ".join(filter(None, map(clean.flat, fields))))])


def prompt() -> FormattedText:
    """What stands before what is being typed."""
    return FormattedText([("", _shown("›") + " ")])


def ask_password(username: str) -> str:
    """Raises `EOFError` where none is given, and `KeyboardInterrupt` where a signal ends it."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in ENDING}
    try:
        return getpass.getpass(f"Password of {clean.name(username)}: ")
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _laid_out(line: Line, place: tuple[object, ...]) -> tuple[tuple[str, str, str], str]:
    """Place, name and note, which are one line, and then what follows them."""
    said = f" ({clean.flat(line.note)})" if line.note else ""
    head = " ".join(map(clean.flat, place)) + " ", line.who, said
    if not line.what:
        return head, ""
    columns = _columns(sys.stdout)
    first = clean.width("".join(head)) + 2
    lines = clean.lines(clean.text(line.what), columns, first, len(INDENT))
    return head, ": " + f"\n{INDENT}".join(lines)


def _columns(stream: TextIO | None) -> int | None:
    """Of the terminal that this is, if it is one that is wide enough to care."""
    with suppress(OSError, AttributeError, ValueError):
        columns = os.get_terminal_size(stream.fileno()).columns  # type: ignore[union-attr]
        return columns if columns >= _NARROW else None
    return None


def _write(stream: TextIO | None, line: str) -> None:
    """Raises `Closed` and `Unwritable`. Nothing happens where there is nowhere to write to."""
    if stream is None:
        return
    try:
        stream.write(line + "\n")
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EIO):
            raise Closed from None
        raise Unwritable(f"cannot write: {error.strerror}") from None


def _shown(mark: str) -> str:
    try:
        mark.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return ">"
    return mark


def _is_ascii_and_more(encoding: str) -> bool:
    with suppress(LookupError, UnicodeError):
        plain = _ASCII.encode(encoding) == _ASCII.encode("ascii")
        return plain and not codecs.lookup(encoding).name.startswith("iso2022")
    return False
