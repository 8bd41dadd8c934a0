"""How log lines are shown."""

import re

from local.journal import Journal


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


def test_any_other_line_is_shown_as_it_is() -> None:
    for line in ("plain", "{not json", "[1]", '{"no":"event"}'):
        assert shown("gateway", line) == [f"gateway     │ {line}\n"]
