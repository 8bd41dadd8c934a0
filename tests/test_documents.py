"""What the pages say to type is typed by a test, or says why not."""

import re

import pytest

from local.layout import ROOT
from tests.pages import RUNNABLE, Block, blocks, pages

# Which test runs the blocks of a page, or those below a heading.
RUN_BY = {
    "README.md": "tests/system/test_newcomer.py",
    "docs/quick-start.md": "tests/system/test_newcomer.py",
    "sdk/python/README.md": "tests/system/test_newcomer.py",
    "examples/README.md": "tests/system/test_newcomer.py",
    "docs/writing-a-function.md": "tests/system/test_walk.py",
    "docs/operating.md#On one machine": "tests/system/test_walk.py",
    "docs/operating.md#Is it in order?": "tests/system/test_newcomer.py",
    "docs/operating.md#The connectors' key": "tests/system/test_rotation.py",
    "docs/operating.md#The metrics token": "tests/system/test_rotation.py",
    "docs/operating.md#The signing key": "tests/system/test_rotation.py",
    "docs/operating.md#Of `make up`": "tests/system/test_backup.py",
    "docs/operating.md#Metrics to watch": "tests/system/test_newcomer.py",
}
LANGUAGES = {*RUNNABLE, "yaml", "json", "text"}


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


def test_every_block_says_what_it_is() -> None:
    found = all_blocks()
    assert found
    assert [each.place for each in found if each.language not in LANGUAGES] == []


def test_every_block_that_can_be_run_is_run_or_says_why_not() -> None:
    left = [
        each.place
        for each in all_blocks()
        if each.language in RUNNABLE
        and not each.excused
        and (each.mark or not {each.page, f"{each.page}#{each.heading}"} & RUN_BY.keys())
    ]
    assert left == []


@pytest.mark.parametrize("place", RUN_BY)
def test_what_is_said_to_be_run_is_there(place: str) -> None:
    page, _, heading = place.partition("#")
    found = [each for each in blocks(page) if each.runs and heading in ("", each.heading)]
    assert found
    test = (ROOT / RUN_BY[place]).read_text()
    assert (heading or page.rsplit("/", 1)[-1]) in test


def test_commands_stand_in_blocks_that_say_so() -> None:
    """A page has no indented block, which nobody would run."""
    for page in pages():
        lines = (ROOT / page).read_text().splitlines()
        indented = [
            line for line in lines if line.startswith(("    $ ", "    stonechat ", "    make "))
        ]
        assert indented == [], page


def _anchors(page: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), flags=re.M)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in _anchors(str(file.resolve().relative_to(ROOT))), target
