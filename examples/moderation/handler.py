"""Moderation: messages with a word of a list are refused before anybody stores them.

The list is the file that `MODERATION_WORDS` names, such as a secret, else `words.txt` beside this
module. It is read when the function starts; without it the function does not start.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from shared.doors import Proposal
from shared.errors import CallError, Reason
from shared.function import Function

from . import words

moderation = Function("moderation")

WORDS = words.read(
    Path(os.environ.get("MODERATION_WORDS") or Path(__file__).with_name("words.txt"))
)


@moderation.before("message.send")
@moderation.before("message.edit")
def review(proposals: Sequence[Proposal]) -> list[CallError | None]:
    """Refuses with `forbidden` and, in `data.words`, what was found. A message that is passed on
    was reviewed when it was written."""
    return [_verdict(each) for each in proposals]


def _verdict(proposal: Proposal) -> CallError | None:
    found = words.found(proposal.params.get("body"), WORDS)
    return CallError(Reason.FORBIDDEN, "not in these words", words=found) if found else None


start = moderation.start
handle = moderation.handle
ready = moderation.ready
