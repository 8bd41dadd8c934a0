"""What a page says of itself: its title and description, by Open Graph (https://ogp.me) or HTML.

Pages are hostile. These expressions take a time that grows with the length of the page and no
faster, which the standard library's parser does not promise.
"""

import html
import re
from typing import Any

_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_META = re.compile(r"<meta\s([^<]*)", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""\b(property|name|content)\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE
)
_RAW_LENGTH = 2000  # of what is read of a text before it is tidied
_TITLE_LENGTH = 200
_TEXT_LENGTH = 500


def card(page: str, url: str) -> dict[str, Any] | None:
    """The body of a `card` for this page, None where it has no title. There is no image in it:
    every reader's client would fetch that from the stranger's server."""
    said = _metas(page)
    title = said.get("og:title") or _tidy(found[1] if (found := _TITLE.search(page)) else "")
    if not title:
        return None
    body = {"title": _cut(title, _TITLE_LENGTH), "url": url}
    text = said.get("og:description") or said.get("description")
    return body | ({"text": _cut(text, _TEXT_LENGTH)} if text else {})


def _metas(page: str) -> dict[str, str]:
    """The contents of the page's `meta` elements, by property or name; of several, the first."""
    said: dict[str, str] = {}
    for meta in _META.finditer(page):
        given = {
            name.lower(): double or single for name, double, single in _ATTRIBUTE.findall(meta[1])
        }
        key = given.get("property") or given.get("name")
        if key and (content := _tidy(given.get("content", ""))):
            said.setdefault(key.lower(), content)
    return said


def _tidy(text: str) -> str:
    return " ".join(html.unescape(text[:_RAW_LENGTH]).split())


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
