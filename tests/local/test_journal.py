"""How log lines are shown."""

import re

import orjson
import pytest

from local.journal import Journal, is_routine, plain, wrapped


def shown(part: str, line: str) -> list[str]:
    lines: list[str] = []
    Journal(lines.append, colour=False).tell(part, line)
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines]


def test_a_line_of_our_own_parts() -> None:
    line = '{"event":"routes_kept","level":"warning","part":"x","timestamp":"t","n":1,"why":"a b"}'
    assert shown("connector-2", line) == ['connector-2 │ warning routes_kept n=1 why="a b"\n']


def test_functions_speak_for_themselves() -> None:
    line = '{"event":"store_failed","level":"error","part":"send","exception":"one\\ntwo"}'
    assert shown("gateway", line) == [
        "send        │ error store_failed\n",
        "send        │     one\n",
        "send        │     two\n",
    ]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x1b[31ma", "a\x00", "a\u2028b", "a\u0085b"])
def test_what_is_no_text_is_escaped(text: str) -> None:
    record = orjson.dumps({"event": text, "level": "info", "part": text, "n": text}).decode()
    for line in (text, record, wrapped("poll", text), wrapped("poll", record)):
        (found,) = shown("gateway", line)
        assert found.endswith("\n")
        assert found[:-1].isprintable()
        assert plain(line).isprintable()
        assert "\\" in found


def test_a_value_is_one_fact() -> None:
    record = {"event": "e", "level": "info", "a": 'b" c=d', "e": "f=g", "h": "", "i": ["j", "k"]}
    (found,) = shown("x", orjson.dumps(record).decode())
    assert found == 'x           │ info e a="b\\" c=d" e="f=g" h="" i=["j","k"]\n'


def test_a_function_is_shown_under_its_own_name() -> None:
    for line in ("Traceback (most recent call last):", '{"event":"e","part":"other","n":1}'):
        assert [each.partition(" ")[0] for each in shown("gateway", wrapped("poll", line))] == [
            "poll"
        ]


def test_routine() -> None:
    assert is_routine('{"event":"connector_started","level":"info","part":"connector"}')
    assert not is_routine('{"event":"routes_kept","level":"warning","part":"connector"}')
    assert not is_routine(wrapped("poll", "Traceback (most recent call last):"))


def test_any_other_line_is_shown_as_it_is() -> None:
    for line in ("plain", "{not json", "[1]", '{"no":"event"}'):
        assert shown("gateway", line) == [f"gateway     │ {line}\n"]
