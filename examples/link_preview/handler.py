"""Link previews: the first link of a text message gets a `card` in reply, with the page's title.

The card is written in the name of who wrote the message, so that they can recall the one as they
can the other. The event may come twice: the card's `cid` follows from the message's place, so there
is one card.
"""

import re
from collections.abc import Sequence

import httpx
import structlog

from shared import bodies, membership, policy
from shared.entry import Draft, shown
from shared.errors import CallError, Reason
from shared.events import Happened, now_ms
from shared.function import Function
from shared.ids import derived_id
from shared.log import log
from shared.secretfiles import CONTENT_KEYS
from shared.settings import settings

from . import page
from .addresses import Refused, Unreachable
from .config import config
from .fetching import fetch_all

logger = structlog.get_logger(__name__)

link_preview = Function("link-preview", secrets=[CONTENT_KEYS])

COMMAND = "link-preview"
_LINK = re.compile(r"\bhttps?://[^\s<>\"]{1,1500}", re.IGNORECASE)


@link_preview.event("message.created")
def preview(happened: Sequence[Happened]) -> list[CallError | None]:
    """Appends a card to each message with a link. What cannot be reached is tried again, until the
    message is `patience` old; what has nothing to show is left alone."""
    links = {index: link for index, each in enumerate(happened) if (link := _link(each))}
    outcomes: list[CallError | None] = [None] * len(happened)
    drafts: dict[int, Draft] = {}
    pages = fetch_all(list(links.values()), config())
    for (index, link), found in zip(links.items(), pages, strict=True):
        try:
            drafts[index] = _draft(happened[index], link, found)
        except Refused as why:
            logger.info("no_preview", id=happened[index].id, why=why)
        except Unreachable as why:
            logger.info("no_preview_yet", id=happened[index].id, why=why)
            if now_ms() - happened[index].ts < config().patience * 1000:
                outcomes[index] = CallError(Reason.UNAVAILABLE, retry_after=config().retry_after)
    for index, outcome in zip(drafts, log().append(list(drafts.values())), strict=True):
        if isinstance(outcome, CallError):
            outcomes[index] = outcome
    return outcomes


def _link(happened: Happened) -> str | None:
    """The first link of a message, as it stands in the log now. The event itself has no content."""
    conv, seq = happened.data["conv"], happened.data["seq"]
    if happened.data["type"] != "text":
        return None
    for entry in log().storage.between(conv, seq, seq):
        text = shown(entry, None, log().content).get("body", {}).get("text", "")
        if found := _LINK.search(text):
            # A sentence ends behind a link, and brackets close around it.
            link = found[0].rstrip(".,;:!?'")
            return link if "(" in link else link.rstrip(")")
    return None


def _draft(happened: Happened, link: str, found: str | Refused | Unreachable) -> Draft:
    """The card. Raises what was found instead of a page, and `Refused`."""
    if not isinstance(found, str):
        raise found
    if _link(happened) != link:
        raise Refused("recalled or edited meanwhile")
    body = page.card(found, str(httpx.URL(link)))
    if body is None:
        raise Refused("no title")
    conv, seq, sender = (happened.data[name] for name in ("conv", "seq", "sender"))
    try:
        bodies.check("card", body, settings().body_limit)
        policy.writer(sender, membership.parsed(conv))
    except CallError as refusal:
        raise Refused(str(refusal.reason)) from None
    return Draft(
        conv=conv,
        sender=sender,
        command=COMMAND,
        cid=derived_id(conv, str(seq)),
        type="card",
        body=body,
        reply_to=seq,
    )


start = link_preview.start
handle = link_preview.handle
ready = link_preview.ready
