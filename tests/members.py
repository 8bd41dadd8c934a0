"""A group as a client knows it that only ever applied the entries of its log."""

from typing import Any


class GroupView:
    """For the member `uid`."""

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self._group: dict[str, Any] = {}
        self._members: dict[str, dict[str, Any]] = {}
        self._owner = ""

    def apply(self, entry: dict[str, Any]) -> None:
        body = entry["body"]
        match body["event"]:
            case "created":
                gid = entry["conv"].removeprefix("g:")
                self._owner = body["by"]
                self._group = {"gid": gid, "conv": entry["conv"], "created_at": body["created_at"]}
                self._group |= {"name": body["name"], "settings": body["settings"]}
                self._enter(entry)
            case "joined":
                self._enter(entry)
            case "left" | "removed":
                for uid in body["uids"]:
                    del self._members[uid]
            case "updated" if "nickname" in body:
                (uid,) = body["uids"]
                self._members[uid]["nickname"] = body["nickname"]
            case "updated":
                changed = ("name", "avatar", "description", "ext", "settings")
                self._group |= {name: body[name] for name in changed if name in body}
            case "role":
                (uid,) = body["uids"]
                self._members[uid]["role"] = body["role"]
            case "owner":
                (uid,) = body["uids"]
                self._members[self._owner]["role"] = "admin"
                self._members[uid]["role"] = "owner"
                self._owner = uid
            case "muted" if not body["uids"]:
                self._group["muted_until"] = body["until"]
            case "muted":
                (uid,) = body["uids"]
                self._members[uid]["muted_until"] = body["until"]
            case other:
                raise AssertionError(other)

    def as_told(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What `group.get` and `group.members` answer."""
        group = {name: value for name, value in self._group.items() if value != ""}
        group |= {"size": len(self._members), "role": self._members[self._uid]["role"]}
        return group, [self._members[uid] for uid in sorted(self._members)]

    def _enter(self, entry: dict[str, Any]) -> None:
        for uid in entry["body"]["uids"]:
            role = "owner" if uid == self._owner else "member"
            self._members[uid] = {"uid": uid, "role": role, "joined_at": entry["ts"]}
        for uid, until in entry["body"].get("muted", {}).items():
            self._members[uid]["muted_until"] = until
