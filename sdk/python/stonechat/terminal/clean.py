"""Text of others, made fit to be printed. No terminal here.

What comes from elsewhere (messages, names, errors) may drive a terminal, hide or turn around what
it says, or look like a line of somebody else's. What leaves this module does none of that:

- the only control character is the newline; terminals' own sequences are taken out whole, other
  controls, broken and unassigned characters show as U+FFFD;
- nothing turns the direction of text, and nothing invisible stays but what emoji and the scripts
  that need joiners are written with;
- a letter carries so many marks, and no more.

To clean twice is to clean once.
"""

import re
import unicodedata
from collections.abc import Iterator

from wcwidth import wcwidth

TAB = "    "
MARKS = 4  # on one letter; languages need no more
NAME_COLUMNS = 40
BROKEN = "\ufffd"

# A terminal's sequences, with ESC or one C1 control in front: CSI, then strings (DCS, SOS, OSC, PM,
# APC) that are ended, then the short ones.
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[P\\]X^_]|[\x90\x98\x9d-\x9f])[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
)
_NEWLINE = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile(r"\s+")
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_PRESENTATION = "\ufe0e\ufe0f"
_KEYCAP = "\u20e3"
_SKIN = range(0x1F3FB, 0x1F400)
_PICTOGRAPHS = range(0x1F000, 0x1FB00)  # newer emoji than this Python knows are there too
_TAGS = range(0xE0000, 0xE0080)
# Format characters that are seen: signs of Arabic, Syriac and Kaithi before a number or a name.
_SEEN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2") | {
    "\U000110bd",
    "\U000110cd",
}
# Letters and marks that show nothing.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b\u180c\u180d\u180e\u180f"
) | {
    chr(code)
    for first, last in ((0xFE00, 0xFE0D), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}
# Scripts whose letters a joiner shapes: from Arabic to Myanmar, from Tagalog to Vedic, and more.
_JOINING = (
    *((0x600, 0x109F), (0x1700, 0x1C8F), (0x1CD0, 0x1CFF), (0xA800, 0xABFF)),
    *((0x10A00, 0x10FFF), (0x11000, 0x11FFF), (0x1E900, 0x1E95F)),
)


def text(given: object) -> str:
    """As above, with newlines and spaces as they are."""
    found = str(given)
    if found.isascii() and found.isprintable():
        return found
    found = _NEWLINE.sub("\n", _SEQUENCE.sub("", found)).replace("\t", TAB)
    return "".join(_standing("".join(map(_allowed, found))))


def flat(given: object) -> str:
    """The same on one line, with one space wherever there was space."""
    return _BLANKS.sub(" ", text(given)).strip(" ")


def name(given: object, columns: int = NAME_COLUMNS) -> str:
    """A name that ends where it ends: on one line, not wider than that, without what the program
    puts around names."""
    found = re.sub(r":(?= |$)|[“”()]", "", flat(given))
    return cut(flat(found), columns) or "?"


def cut(given: str, columns: int) -> str:
    """What of clean text on one line fits."""
    if width(given) <= columns:
        return given
    used, end = 0, 0
    while (used := used + _width(given[end])) < columns:
        end += 1
    return given[:end].rstrip(" ") + "…"


def lines(given: str, columns: int | None, first: int, rest: int) -> Iterator[str]:
    """The lines of clean text, the first of which begins in column `first` and others in column
    `rest`; none is wider than a terminal of so many columns, which would break it itself."""
    start = first
    for each in given.split("\n"):
        if columns is None:
            yield each
        else:
            yield from _wrapped(each, columns, start, rest)
        start = rest


def width(given: str) -> int:
    """Columns of clean text on one line."""
    return sum(map(_width, given))


def _width(each: str) -> int:
    return max(0, wcwidth(each))


def _wrapped(given: str, columns: int, start: int, rest: int) -> Iterator[str]:
    begin, space, used = 0, -1, start
    for at, each in enumerate(given):
        used += _width(each)
        if used > columns and at > begin:
            end = space if space > begin else at
            yield given[begin:end].rstrip(" ")
            begin = end
            used = rest + width(given[begin : at + 1])
        if each == " ":
            space = at + 1
    yield given[begin:]


def _allowed(each: str) -> str:
    """What stands for this character, wherever it is. Those that only some places allow stay."""
    if each == "\n" or " " <= each <= "~":
        return each
    if each == "\u2800":  # a blank of braille, which pictures are made of
        return " "
    if each in _INVISIBLE:
        return ""
    kind = unicodedata.category(each)
    if kind in ("Cc", "Cs"):
        return BROKEN
    if kind == "Cn":
        known = ord(each) in _PICTOGRAPHS and ord(each) & 0xFFFE != 0xFFFE
        return each if known else "" if ord(each) in _TAGS else BROKEN
    if kind == "Cf":
        conditional = each in (_ZWNJ, _ZWJ) or ord(each) in _TAGS
        return each if conditional or each in _SEEN else ""
    return " " if kind in ("Zl", "Zp") else each


def _standing(given: str) -> Iterator[str]:
    """Without joiners, presentations, tags and marks that belong to nothing."""
    before, marks, at = "\n", 0, 0
    while at < len(given):
        if flag := _FLAG.match(given, at):
            before, marks, at = flag[0][-1], 0, flag.end()
            yield flag[0]
            continue
        each = given[at]
        at += 1
        is_mark = unicodedata.category(each) in ("Mn", "Me")
        if is_mark and (marks == MARKS or before == "\n"):
            continue
        if _belongs(each, before, given[at : at + 1]):
            if each not in (_ZWJ, _ZWNJ):
                marks = marks + 1 if is_mark else 0
            before = each
            yield each


def _belongs(each: str, before: str, after: str) -> bool:
    if each == _ZWJ and _is_pictorial(before) and _is_pictorial(after):
        return True
    if each in (_ZWJ, _ZWNJ):
        return _is_joining(before)
    if each in _PRESENTATION:
        keycap = before in "0123456789#*" and after == _KEYCAP
        return keycap or (_is_pictorial(before) and before not in _PRESENTATION)
    return ord(each) not in _TAGS


def _is_pictorial(each: str) -> bool:
    """Whether this is a symbol, or says how one is shown."""
    if each == "":
        return False
    if each in _PRESENTATION or ord(each) in _SKIN or ord(each) in _PICTOGRAPHS:
        return True
    return unicodedata.category(each) in ("So", "Sm") or each in "©®‼⁉↔"


def _is_joining(each: str) -> bool:
    letter = unicodedata.category(each)[0] in "LM"
    return letter and any(first <= ord(each) <= last for first, last in _JOINING)
