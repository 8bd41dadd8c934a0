"""What is found wrong with an installation, one line each, for people and for programs."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["error", "warning", "info"]


class Finding(NamedTuple):
    """`subject` is a setting, a secret or a part; `text` says what is wrong and what is expected,
    and never holds a secret's value. Of the levels, `error` means that nothing starts with it, and
    `info` that one should know it."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return self.line

    @property
    def line(self) -> str:
        """All of it but its level."""
        return " ".join(f"{self.subject}: {self.text}".split())


def error(subject: str, text: str) -> Finding:
    return Finding("error", subject, text)


def warning(subject: str, text: str) -> Finding:
    return Finding("warning", subject, text)


def info(subject: str, text: str) -> Finding:
    return Finding("info", subject, text)


def serious(found: Iterable[Finding]) -> list[Finding]:
    """Those that keep a process from starting."""
    return [each for each in found if each.level == "error"]
