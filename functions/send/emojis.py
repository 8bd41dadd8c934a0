"""What one may react with: an emoji of Unicode's list, or one of the house by its name."""

import re

from emoji import EMOJI_DATA, STATUS

_HOUSE = re.compile(r":[a-z0-9_+-]{1,32}:\Z")


def is_emoji(text: str) -> bool:
    """Whether this is one emoji: sequences such as flags, families, keycaps and skin tones are one;
    a part of a sequence that is none by itself is not. `:name:` is one of the house."""
    listed = EMOJI_DATA.get(text)
    if listed is None:
        return _HOUSE.match(text) is not None
    return bool(listed["status"] != STATUS["component"])
