"""Entries as lines of text. No terminal here."""

import time
from dataclasses import dataclass

from stonechat.entry import Entry
from stonechat.presence import Presence


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chat: when, who, what; `mine` ones carry a mark."""

    when: str
    who: str
    what: str
    mine: bool


def line(entry: Entry, me: str, names: dict[str, str]) -> Line | None:
    """How an entry is shown, or None where there is nothing to show."""
    if entry.type == "void":
        return None
    when = time.strftime("%H:%M", time.localtime(entry.ts / 1000))
    mine = entry.sender == me
    who = "you" if mine else names.get(entry.sender, entry.sender)
    return Line(when, who, _what(entry), mine)


def presence(found: Presence | None) -> str:
    """How somebody's presence is shown beside their name."""
    if found is None or (found.status == "offline" and found.last_seen is None):
        return ""
    told = f" “{found.text}”" if found.text else ""
    if found.status == "offline" and found.last_seen is not None:
        when = time.strftime("%d %b %H:%M", time.localtime(found.last_seen / 1000))
        return f" · last seen {when}{told}"
    return f" · {found.status}{told}"


def _what(entry: Entry) -> str:
    body = entry.body
    match entry.type:
        case _ if entry.recalled:
            return "(recalled)"
        case "text":
            return str(body.get("text", ""))
        case "image" | "audio" | "video":
            return f"[{entry.type}]"
        case "file":
            return f"[file {body.get('name', '')}]"
        case "location":
            return f"[location {body.get('title') or ''} {body.get('lat')}, {body.get('lon')}]"
        case "card":
            return f"[{body.get('title', '')}] {body.get('url') or ''}".strip()
        case "edit":
            return f"(edited: {body.get('text', '')})"
        case "friend" | "group":
            return f"({body.get('event', entry.type)})"
        case "recall":
            return "(took a message back)"
        case other:
            return f"[{other}]"
