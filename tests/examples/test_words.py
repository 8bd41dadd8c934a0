"""Which words are found."""

from pathlib import Path

import pytest

from examples.moderation import words

LIST = frozenset({"ass", "straße".casefold(), "café"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class assignment", []),
        ("an ass.", ["ass"]),
        ("ASS, Ass", ["ass"]),
        ("ａｓｓ", ["ass"]),
        ("a\u200bs\u00ads", ["ass"]),
        ("STRASSE", ["strasse"]),
        ("cafe\u0301", ["café"]),
        ("cafe", []),
        ("ass Straße", ["ass", "strasse"]),
        ("", []),
    ],
)
def test_whole_words_however_they_are_written(text: str, expected: list[str]) -> None:
    assert words.found({"text": text}, LIST) == expected


def test_every_text_of_a_body_counts_and_nothing_else_does() -> None:
    assert words.found({"title": "x", "more": [1, None, {"deep": ["an ass"]}]}, LIST) == ["ass"]
    assert words.found({"number": 1, "none": None}, LIST) == []
    for odd in (None, 7, True, []):
        assert words.found(odd, LIST) == []


def test_depth_is_no_way_out() -> None:
    body: object = "ass"
    for _ in range(100_000):
        body = [body]
    assert words.found(body, LIST) == ["ass"]


def test_a_list_is_read_as_messages_are(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# comment\n\nStraße # and why\n  CAFE\u0301\n", encoding="utf-8")
    assert words.read(file) == {"strasse", "café"}


@pytest.mark.parametrize("line", ["two words", "semi-detached", "!!"])
def test_a_line_that_would_never_be_found_is_no_list(tmp_path: Path, line: str) -> None:
    file = tmp_path / "words.txt"
    file.write_text(f"fine\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        words.read(file)
