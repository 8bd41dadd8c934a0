"""What is read of a page."""

import time

import pytest

from examples.link_preview.page import card
from shared import bodies
from tests.examples.site import PAGE

URL = "https://example.com/"


def test_open_graph_comes_before_html() -> None:
    assert card(PAGE, URL) == {
        "title": 'The "better" title',
        "text": "What it is about",
        "url": URL,
    }


def test_a_title_alone_is_enough_and_nothing_less() -> None:
    assert card("<TITLE lang=en>\n A &amp; B\n</TITLE>", URL) == {"title": "A & B", "url": URL}
    assert card("<title> </title><meta name=description content=x>", URL) is None
    assert card("", URL) is None


def test_the_first_of_several_counts() -> None:
    page = '<meta property="og:title" content="one"><meta property="og:title" content="two">'
    assert card(page, URL) == {"title": "one", "url": URL}


def test_what_is_long_fits_a_card() -> None:
    page = f'<title>{"t" * 9000}</title><meta name="description" content="{"d" * 9000}">'
    body = card(page, URL)
    assert body is not None
    bodies.check("card", body, 32 * 1024)
    assert body["title"].endswith("t…")


@pytest.mark.parametrize(
    "part",
    [
        *("<", "<title", "<title>", "<title ", "<meta ", "<meta", "<a", "<!--"),
        *('<meta content="', "<meta content='", "<meta name=", "content =", 'name="" ', "&#9"),
    ],
)
def test_a_hostile_page_costs_little(part: str) -> None:
    began = time.process_time()
    card((part * 262144)[:262144], URL)
    card("<meta " + (part * 262144)[:262144], URL)
    assert time.process_time() - began < 1


def test_a_number_that_is_no_character() -> None:
    body = card(f"<title>x&#{'9' * 9000};&#xD800;</title>", URL)
    assert body is not None
    bodies.check("card", body, 32 * 1024)
