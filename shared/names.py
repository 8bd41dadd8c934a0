"""What people are called, and what they prove themselves with: text in one form, so that two who
type the same are the same.

- Usernames follow RFC 8265's UsernameCaseMapped, without the space around them, and are then 3 to
  32 of `a-z0-9_.-`.
- Passwords follow RFC 8265's OpaqueString, and have 8 to 128 characters then.
- Names to show (people's, groups', nicknames) follow RFC 8266: spaces are one U+0020 each and none
  stand around; what looks the same by compatibility is the same (NFKC); control, invisible and
  direction characters are refused, and so is a name with nothing to see. Unlike RFC 8266, emoji may
  be joined and presented as emoji (ZWJ, variation selectors, tags of flags).
"""

import re
import unicodedata
from functools import cache
from typing import Annotated, Any

from precis_i18n import get_profile
from pydantic import AfterValidator, Field, WithJsonSchema

USERNAME = r"^[a-z0-9_.-]{3,32}$"
PASSWORD_MIN, PASSWORD_MAX = 8, 128
TYPED_LIMIT = 512  # characters of what is typed, before it has its form

_username = re.compile(r"[a-z0-9_.-]{3,32}").fullmatch
_spaces = re.compile(" +")

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_VIRAMA = 9  # combining class
_PRESENTATION = "\ufe0e\ufe0f"
_KEYCAP = "\u20e3"
_BLACK_FLAG = "\U0001f3f4"
_TAGS = range(0xE0020, 0xE0080)
_REFUSED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters, marks and symbols that show nothing.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}


def username(typed: str) -> str:
    """The username that this means. Raises `ValueError` where it can be nobody's."""
    try:
        found = str(_profile("UsernameCaseMapped").enforce(typed.strip()))
    except UnicodeError:
        found = ""
    if not _username(found):
        raise ValueError("a username has 3 to 32 characters of a-z, 0-9 and _.-")
    return found


def password(typed: str) -> str:
    """The password in the one form that is hashed. Raises `ValueError`."""
    try:
        return str(_profile("OpaqueString").enforce(typed))
    except UnicodeError:  # whose text would show what was typed
        raise ValueError("a password has no control or invisible characters") from None


def shown(typed: str) -> str:
    """A name in the form that is stored and shown. Raises `ValueError`."""
    text = unicodedata.normalize("NFKC", typed)
    text = "".join(" " if unicodedata.category(each) == "Zs" else each for each in text)
    text = _spaces.sub(" ", text).strip(" ")
    for at, each in enumerate(text):
        if not _may_stand(text, at):
            raise ValueError(f"U+{ord(each):04X} may not stand in a name")
    if not any(unicodedata.category(each)[0] in "LNPS" for each in text):
        raise ValueError("a name has something to see")
    return text


def _may_stand(text: str, at: int) -> bool:
    each, before, after = text[at], text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if each in (_ZWJ, _ZWNJ) and before and unicodedata.combining(before) == _VIRAMA:
        return True  # RFC 5892, A.1 and A.2
    if each == _ZWJ:
        return _is_pictorial(before) and _is_pictorial(after)
    if each in _PRESENTATION:
        keycap = before != "" and before in "0123456789#*" and after == _KEYCAP
        return keycap or (_is_pictorial(before) and before not in _PRESENTATION)
    if ord(each) in _TAGS:
        return _flag_of(text, at)
    return each not in _INVISIBLE and unicodedata.category(each) not in _REFUSED


def _is_pictorial(each: str) -> bool:
    """Whether this is a symbol, or says how one is shown."""
    if each == "":
        return False
    if each in _PRESENTATION or 0x1F3FB <= ord(each) <= 0x1F3FF:
        return True
    return each != "\u2800" and unicodedata.category(each) in ("So", "Sm")


def _flag_of(text: str, at: int) -> bool:
    """Whether this tag belongs to a flag: one follows the black flag, the last one ends it."""
    first = at
    while first > 0 and ord(text[first]) in _TAGS:
        first -= 1
    return text[first] == _BLACK_FLAG


@cache
def _profile(name: str) -> Any:
    return get_profile(name)


def _has(low: int, high: int) -> AfterValidator:
    def check(text: str) -> str:
        if not low <= len(text) <= high:
            raise ValueError(f"has {low} to {high} characters")
        return text

    return AfterValidator(check)


# What the published reference says of a name to show; its form is said in words.
def _schema(low: int, high: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": low, "maxLength": high})


_Typed = Annotated[str, Field(max_length=TYPED_LIMIT)]

Username = Annotated[
    _Typed, AfterValidator(username), WithJsonSchema({"type": "string", "pattern": USERNAME})
]
Password = Annotated[
    _Typed,
    AfterValidator(password),
    _has(PASSWORD_MIN, PASSWORD_MAX),
    _schema(PASSWORD_MIN, PASSWORD_MAX),
]
DisplayName = Annotated[_Typed, AfterValidator(shown), _has(1, 64), _schema(1, 64)]
GroupName = Annotated[_Typed, AfterValidator(shown), _has(1, 100), _schema(1, 100)]
# One that an empty text removes.
OptionalName = Annotated[
    _Typed, AfterValidator(lambda typed: shown(typed) if typed else ""), _has(0, 64), _schema(0, 64)
]
