"""The one form of what people type."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared import names


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("bob", "bob"),
        ("Bob ", "bob"),
        ("\t BOB\n", "bob"),
        ("\uff22\uff4f\uff42", "bob"),  # full width
        ("a_b-c.9", "a_b-c.9"),
        ("\u212ate", "kte"),  # the Kelvin sign
    ],
)
def test_usernames(typed: str, form: str) -> None:
    assert names.username(typed) == form


@pytest.mark.parametrize(
    "typed", ["", "ab", "a b c", "b\u00f6b", "bob\u200b", "\u0131\u0131\u0131", "bob\x00"]
)
def test_no_usernames(typed: str) -> None:
    with pytest.raises(ValueError, match="username"):
        names.username(typed)


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("  two   spaces ", "  two   spaces "),
        ("no\u00a0break\u3000wide", "no break wide"),
        ("Caf\u0065\u0301 au lait", "Caf\u00e9 au lait"),
        ("Gro\u00df und klein", "Gro\u00df und klein"),
        ("\uff21 full width", "\uff21 full width"),
    ],
)
def test_passwords(typed: str, form: str) -> None:
    assert names.password(typed) == form


@pytest.mark.parametrize("typed", ["", "tab\tbed", "nul\x00led", "zero\u200bwidth"])
def test_no_passwords(typed: str) -> None:
    with pytest.raises(ValueError, match="password") as refused:
        names.password(typed)
    assert not typed or typed not in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("  Ann \u3000 Lee ", "Ann Lee"),
        ("Jose\u0301", "Jos\u00e9"),
        ("\u738b\u5c0f\u660e", "\u738b\u5c0f\u660e"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\uff21nn", "Ann"),
        ("\u2764\ufe0f Bob", "\u2764\ufe0f Bob"),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        ),
        ("\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3fd"),
        ("1\ufe0f\u20e3", "1\ufe0f\u20e3"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
    ],
)
def test_names_to_show(typed: str, form: str) -> None:
    assert names.shown(typed) == form


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "\u3000\u00a0", "\u0301", "\u2800", "\u3164", "\u115f", "\uffa0"),
        *(f"a{each}b" for each in "\x00\t\n\x7f\u0085\u2028\u00ad\u061c\u180e\ufeff\ufffe\ue000"),
        *(f"a{each}b" for each in "\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069"),
        *("a\ufe0f", "\ufe0f", "\U000e0061", "\U0001f3f3\U000e0067", "a\U000e0100", "x\u034fy"),
        *("\U0001f468\u200d", "\u200d\U0001f468", "\u2764\ufe0f\ufe0f"),
    ],
    ids=ascii,
)
def test_no_names_to_show(typed: str) -> None:
    with pytest.raises(ValueError, match="name"):
        names.shown(typed)


@given(st.text(max_size=40))
def test_a_form_is_its_own_form_and_has_nothing_hidden(typed: str) -> None:
    try:
        form = names.shown(typed)
    except ValueError:
        return
    assert names.shown(form) == form
    assert form == form.strip() != ""
    assert not {unicodedata.category(each) for each in form} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("kind", "longest"), [(names.DisplayName, 64), (names.GroupName, 100), (names.OptionalName, 64)]
)
def test_how_long_a_name_may_be(kind: object, longest: int) -> None:
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(f" {'x' * longest} ") == "x" * longest
    for typed in ("x" * (longest + 1), "\ufb03" * (longest // 3 + 1), "x" * 600, 5):
        with pytest.raises(ValidationError):
            adapter.validate_python(typed, strict=True)


def test_an_optional_name_is_removed_by_nothing_and_by_no_blank() -> None:
    adapter = TypeAdapter(names.OptionalName)
    assert adapter.validate_python("") == ""
    with pytest.raises(ValidationError):
        adapter.validate_python("  ")
