"""The documentation's pages and their blocks. A block of commands or of Python is run by a test, or
says why not where its language stands: `no-run: needs a cluster`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from local.layout import ROOT

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.M)
_NO_RUN = re.compile(r"^no-run: \w[\w' ,.;/-]{7,}$")
RUNNABLE = ("sh", "python")


class Block(NamedTuple):
    page: str  # from the top of the repository
    heading: str  # the one above it
    line: int
    language: str
    mark: str  # what else stands beside the language
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether a test is to run it."""
        return self.language in RUNNABLE and not self.mark

    @property
    def excused(self) -> bool:
        return _NO_RUN.match(self.mark) is not None


def pages() -> list[str]:
    """All that people read: those at the top, the documentation, and each part's own."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("sdk/*/README.md")]
    found += [*ROOT.glob("examples/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    return sorted(str(each.relative_to(ROOT)) for each in found)


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text()
    for found in _FENCE.finditer(text):
        language, _, mark = found["info"].strip().partition(" ")
        above = _HEADING.findall(_FENCE.sub("", text[: found.start()]))
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, above[-1] if above else "", line, language, mark, found["text"])


def running(page: str, heading: str | None = None) -> list[Block]:
    """Those of a page, or below one of its headings, that are to be run."""
    return [each for each in blocks(page) if each.runs and heading in (None, each.heading)]
