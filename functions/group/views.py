"""What of a group is shown to whom."""

from typing import Any

from shared.collections import Document
from shared.conversation import group as conversation_of
from shared.members import PRESENT, role_of

_OPTIONAL = ("avatar", "description", "ext")


def group(document: Document, uid: str, *, member: bool) -> dict[str, Any]:
    """A group as a person sees it; `role` is `none` for who is no member."""
    shown = {
        "gid": document["_id"],
        "conv": conversation_of(document["_id"]),
        "name": document["name"],
        "settings": document["settings"],
        "size": document["size"],
        "role": role_of(document, uid) if member else "none",
        "created_at": document["created_at"],
    }
    if document["muted_until"]:
        shown["muted_until"] = document["muted_until"]
    return shown | {name: document[name] for name in _OPTIONAL if document.get(name)}


def member(document: Document, group: Document) -> dict[str, Any]:
    """A member of a group as the others see them, or one who is blocked."""
    inside = document["state"] == PRESENT
    shown = {
        "uid": document["uid"],
        "role": role_of(group, document["uid"]) if inside else "none",
    }
    if "joined_at" in document:
        shown["joined_at"] = document["joined_at"]
    if document.get("nickname"):
        shown["nickname"] = document["nickname"]
    if document.get("muted_until"):
        shown["muted_until"] = document["muted_until"]
    return shown
