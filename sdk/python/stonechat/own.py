"""What one's own calls made. The server tells the session that called nothing but the result, so
the entry is made of that, or fetched."""

from typing import Any

import orjson

from stonechat.entry import Entry
from stonechat.errors import BadAnswer
from stonechat.messages import Sent
from stonechat.outbox import Command
from stonechat.shape import is_number

# The nouns of the server's own functions, whose results say which entry they made, or which tell
# of it as they tell others.
_KNOWN = ("auth", "conversation", "friend", "group", "message", "presence", "session", "user")


def sent(command: Command, found: Any, uid: str) -> Entry | None:
    """The entry that a message became, where it is known without asking."""
    if command.method != "message.send":
        return None
    # As it was sent, whatever the app has done to its params since.
    params = orjson.loads(command.frame)["params"]
    if not isinstance(params.get("body"), dict) or not isinstance(params.get("type"), str):
        return None
    try:
        place = Sent.parse(found)
    except BadAnswer:
        return None
    fields = params | {"conv": place.conv, "seq": place.seq, "id": place.id, "ts": place.ts}
    return Entry.parse(fields | {"sender": uid})


def place(command: Command, found: Any) -> tuple[str, int] | None:
    """Conversation and number of the entry that a call made."""
    if not isinstance(found, dict):
        return None
    seq = found.get("seq")
    gid = command.params.get("gid")
    conv = found.get("conv") or command.params.get("conv") or (gid and f"g:{gid}")
    if not is_number(seq) or seq < 1 or not isinstance(conv, str):
        return None
    return conv, seq


def may_have_made(command: Command) -> bool:
    """Whether a call may have made an entry that its result does not name: a change that a
    function makes which this library does not know."""
    return command.cid is not None and command.method.partition(".")[0] not in _KNOWN
