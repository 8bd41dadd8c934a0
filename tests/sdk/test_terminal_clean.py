"""Whatever others write, a terminal is not driven by it, and no line can be forged."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stonechat import terminal
from stonechat.entry import Entry
from stonechat.terminal import clean, screen
from stonechat.terminal.lines import called, line

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
SEQUENCES = (
    *(
        "\x1b[31m",
        "\x1b[2J",
        "\x1b[",
        "\x9b5A",
        "\x1b]0;title\x07",
        "\x1b]8;;x\x1b\\",
        "\x9d2;t\x9c",
    ),
    *("\x1bPq\x1b\\", "\x90q\x9c", "\x1b(0", "\x1bc", "\x1b", "\x1b]never ended", "\x1b[?1049h"),
)
PIECES = st.one_of(
    st.sampled_from(SEQUENCES),
    st.sampled_from([*BIDI, *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0))]),
    st.sampled_from(
        "\u200b\u200c\u200d\u2028\u2029\ufeff\ufe0f\u20e3\U0001f3f4\U000e0067\U000e007f"
    ),
    st.sampled_from("a1 👩👍🏽❤क्ष\u0301\u0334\u064b\u3164\u2800:›“”"),
    st.integers(0, 0x10FFFF).map(chr),
    st.binary(max_size=6).map(lambda some: some.decode("utf-8", "surrogateescape")),
    st.binary(max_size=6).map(lambda some: some.decode("latin-1")),
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def entry(text: str, **fields: object) -> Entry:
    return Entry("d:a:b", 7, "id", 0, "bob", "text", {"text": text}, **fields)  # type: ignore[arg-type]


def harmless(text: str) -> bool:
    """Whether a terminal does nothing with it but show it."""
    return not any(
        (unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") and each != "\n") or each in BIDI
        for each in text
    )


@given(TEXTS)
def test_what_is_clean_drives_no_terminal(text: str) -> None:
    found = clean.text(text)
    assert harmless(found)
    found.encode()
    assert clean.text(found) == found


@given(TEXTS)
def test_a_line_stays_one_line(text: str) -> None:
    for found in (clean.flat(text), clean.name(text)):
        assert harmless(found)
        assert "\n" not in found
        assert "  " not in found
    assert ": " not in clean.name(text) + "."
    assert clean.width(clean.name(text)) <= clean.NAME_COLUMNS
    assert clean.name(clean.name(text)) == clean.name(text)
    assert clean.flat(clean.flat(text)) == clean.flat(text)


@given(TEXTS)
def test_marks_stay_within_their_line(text: str) -> None:
    marks = re.findall("m+", "".join(_kinds(clean.text(text))))
    assert max(map(len, marks), default=0) <= clean.MARKS


def _kinds(text: str) -> list[str]:
    return ["m" if unicodedata.category(each) in ("Mn", "Me") else "." for each in text]


@given(TEXTS, st.integers(20, 60))
def test_no_line_is_wider_than_the_terminal(text: str, columns: int) -> None:
    lines = list(clean.lines(clean.text(text), columns, 10, 4))
    assert clean.width(lines[0]) + 10 <= columns
    assert all(clean.width(each) + 4 <= columns for each in lines[1:])
    without = "".join(lines).replace(" ", "")
    assert without == clean.text(text).replace("\n", "").replace(" ", "")


@given(st.lists(TEXTS, min_size=1, max_size=3).map("\n".join), TEXTS, TEXTS)
def test_only_the_first_line_of_a_message_is_at_the_margin(
    text: str, username: str, nickname: str
) -> None:
    shown = line(entry(text), "me", {"bob": called(username, nickname)})
    assert shown is not None
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(screen, "_write", lambda _, each: printed.append(each))
        screen.show(shown)
    assert len(printed) == 1
    assert harmless(printed[0])
    first, *rest = printed[0].split("\n")
    assert re.match(r"\d\d:\d\d #7 ", first)
    assert all(each.startswith(screen.INDENT) for each in rest)


@given(st.recursive(TEXTS, lambda inner: st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5))
def test_json_is_printable_ascii(value: object) -> None:
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(screen, "_write", lambda _, each: printed.append(each))
        screen.dump(value)
    assert printed[0].isascii()
    assert printed[0].isprintable()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("naïve Ångström, 北京, e\u0301", id="letters"),
        pytest.param("👩‍💻 👨‍👩‍👧 👍🏽 ❤️ 1️⃣ 🇩🇪", id="emoji"),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", id="flag"
        ),
        pytest.param("می‌خواهم", id="Persian"),
        pytest.param("क्‍ष श्री", id="Hindi"),
        pytest.param("שָׁלוֹם", id="Hebrew"),
        pytest.param("Việt Nam tiếng".replace("ệ", "e\u0323\u0302"), id="Vietnamese"),
        pytest.param("one\ntwo\n\n  three", id="lines"),
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert clean.text(text) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x9b31mred\x9d0;t\x9c", "red"),
        ("a\tb", "a    b"),
        ("a\r\nb\rc\x85d\u2028e", "a\nb\nc\nd\ne"),
        ("a\x00b\x7f", "a\ufffdb\ufffd"),
        ("ab\u200dc\u2060d", "abcd"),
        ("x\U000e0041\U000e0042", "x"),
        ("\ud83d", "\ufffd"),
        ("a" + "\u0335" * 9, "a" + "\u0335" * clean.MARKS),
    ],
)
def test_the_rest_goes(text: str, found: str) -> None:
    assert clean.text(text) == found


def test_a_name_does_not_look_like_another() -> None:
    assert called("mallory", "bob").startswith("mallory ")
    assert called("mallory", "bob\n12:00 #8 bob: pay").count("\n") == 0
    shown = line(entry("x"), "me", {"bob": "you"})
    assert shown is not None
    assert shown.who == "@you"


def test_what_the_program_says_of_a_message_is_not_what_they_wrote() -> None:
    about = line(entry("x", recalled={"by": "bob"}), "me", {})
    said = line(entry("(taken back)"), "me", {})
    assert about is not None
    assert said is not None
    assert (about.note, about.what) == ("taken back", "")
    assert (said.note, said.what) == ("", "(taken back)")


PRINTS = {"print", "print_formatted_text", "echo", "secho", "HTML", "ANSI", "getpass", "input"}
SCREEN_ONLY = {"stdout", "stderr", "__stdout__", "__stderr__"}


def test_nothing_prints_but_the_screen() -> None:
    files = sorted(Path(terminal.__file__).parent.glob("*.py"))
    assert len(files) > 10
    wrong = [
        f"{file.name}:{node.lineno}"
        for file in files
        if file.name != "screen.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Name) and node.id in PRINTS)
        or (isinstance(node, ast.Attribute) and node.attr in PRINTS | SCREEN_ONLY)
    ]
    assert wrong == []
