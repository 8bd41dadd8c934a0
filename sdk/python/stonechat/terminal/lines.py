"""Entries as lines of text. No terminal here."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stonechat.entry import Entry
from stonechat.presence import Presence
from stonechat.terminal import clean

_YOU = "you"
_NAMED = 10  # people in one line
_EMOJI_COLUMNS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a conversation: when, its number, who, what the program says of it, and what
    they wrote; `mine` ones carry a mark."""

    when: str
    seq: int
    who: str
    note: str
    what: str
    mine: bool


def line(entry: Entry, me: str, names: Mapping[str, str]) -> Line | None:
    """How an entry is shown, or None where there is nothing to show. `names` are those of people,
    by uid."""
    if entry.type == "void":
        return None
    when = time.strftime("%H:%M", time.localtime(entry.ts / 1000))
    note, what = _content(entry, me, names)
    notes = ", ".join(filter(None, [*_about(entry, me, names), note]))
    return Line(when, entry.seq, _who(entry.sender, me, names), notes, what, entry.sender == me)


def called(username: str, nickname: str | None) -> str:
    """Somebody with a name of their own choice, which never stands in the username's place."""
    shown = clean.name(username)
    if nickname is None or nickname == username:
        return shown
    return f"{shown} “{clean.name(nickname, clean.NAME_COLUMNS // 2)}”"


def presence(found: Presence | None) -> str:
    """How somebody's presence is shown beside their name."""
    if found is None or (found.status == "offline" and found.last_seen is None):
        return ""
    told = f" “{clean.name(found.text)}”" if found.text else ""
    if found.status == "offline" and found.last_seen is not None:
        when = time.strftime("%d %b %H:%M", time.localtime(found.last_seen / 1000))
        return f"last seen {when}{told}"
    return f"{found.status}{told}"


def people_in(entry: Entry) -> set[str]:
    """The uids that a line about this entry names."""
    found = {entry.sender, *filter(None, [_first_writer(entry)])}
    if entry.type in ("friend", "group"):
        found |= set(_uids(entry)[:_NAMED])
    return found


def _who(uid: str, me: str, names: Mapping[str, str]) -> str:
    if uid == me:
        return _YOU
    found = names.get(uid) or clean.name(uid)
    return f"@{found}" if found.split(" ")[0] == _YOU else found


def _about(entry: Entry, me: str, names: Mapping[str, str]) -> list[str]:
    """What there is to say of any message."""
    told = []
    if writer := _first_writer(entry):
        told.append(f"first written by {_who(writer, me, names)}")
    if entry.reply_to is not None:
        told.append(f"to #{entry.reply_to}")
    if me in entry.mentions or "@all" in entry.mentions:
        told.append("mentions you")
    if entry.edited and not entry.recalled:
        told.append("edited")
    return told


def _content(entry: Entry, me: str, names: Mapping[str, str]) -> tuple[str, str]:
    """What the program says of it, and what they wrote."""
    body = entry.body
    match entry.type:
        case _ if entry.recalled:
            return "taken back", ""
        case _ if getattr(entry, "unreadable", None):
            return "cannot be read", ""
        case "text":
            return "", str(body.get("text", ""))
        case "file":
            return "file", str(body.get("name", ""))
        case "location":
            return "location", _joined(body, "title", "lat", "lon")
        case "card":
            return "card", _joined(body, "title", "text", "url")
        case "edit":
            return f"edits #{entry.ref}", str(body.get("text", ""))
        case "recall":
            return f"takes #{entry.ref} back", ""
        case "reaction":
            emoji = clean.cut(clean.flat(body.get("emoji", "")), _EMOJI_COLUMNS)
            taken = "takes back " if body.get("remove") else ""
            return f"{taken}{emoji} on #{entry.ref}", ""
        case "friend" | "group":
            return _event(entry, me, names), str(body.get("note") or "")
        case other:
            return clean.name(other), ""


def _event(entry: Entry, me: str, names: Mapping[str, str]) -> str:
    body = entry.body
    uids = _uids(entry)
    people = [_who(uid, me, names) for uid in uids[:_NAMED]]
    if len(uids) > _NAMED:
        people.append(f"{len(uids) - _NAMED} more")
    told = clean.name(body.get("event") or body.get("state") or entry.type)
    return f"{told} {', '.join(people)}".strip()


def _uids(entry: Entry) -> list[str]:
    """Those whom a `friend` or `group` entry is about."""
    found = entry.body.get("uids") or [entry.body.get("uid")]
    return [str(uid) for uid in found if uid] if isinstance(found, list) else []


def _first_writer(entry: Entry) -> str | None:
    """Who wrote what was passed on."""
    forwarded = getattr(entry, "forwarded", None)
    if isinstance(forwarded, dict):
        return str(forwarded.get("sender"))
    return str(forwarded.sender) if forwarded else None


def _joined(body: Mapping[str, Any], *fields: str) -> str:
    return " ".join(str(body[each]) for each in fields if body.get(each) is not None)
