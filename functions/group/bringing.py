"""How somebody may bring people into a group: add them, or only ask them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from shared import people
from shared.errors import CallError, Reason
from shared.events import now_ms
from shared.friendships import friendships
from shared.members import added_of_late, busy
from shared.settings import settings

from .scene import Scene

_DAY = 86400  # seconds
_LATER = 3600  # seconds, until a stranger may ask again whom too many have asked


class Ways(NamedTuple):
    """Those whom the caller may `add` and those to `ask`, of whom some are `strangers`; and those
    who have had too much of strangers of late, who are `spared`. Others cannot be brought: nobody
    has that uid, or one of the two has blocked the other."""

    add: Collection[str] = ()
    ask: Collection[str] = ()
    strangers: Collection[str] = ()
    spared: Collection[str] = ()


def ways(scene: Scene, caller: str, uids: Sequence[str]) -> Ways:
    """Who did not say otherwise is added; who lets only friends add them, who wants to be asked,
    who left by themselves, and all where the group wants consent, are asked. Who asked to join is
    added in any case. Raises `rate_limited` where all are spared."""
    config = settings()
    policies = people.group_policies(uids)
    between = friendships().relations([(caller, uid) for uid in uids])
    add, ask, strangers = [], [], set()
    for uid in uids:
        relation = between[caller, uid]
        if uid not in policies or relation.blocked or relation.blocked_by:
            continue
        if scene.state(uid) == "requested":
            add.append(uid)
            continue
        if not relation.friends:
            strangers.add(uid)
        if _wants_asking(scene, uid, policies[uid], friends=relation.friends):
            ask.append(uid)
        else:
            add.append(uid)
    added = added_of_late(strangers.intersection(add), config.added_per_day, now_ms() - _DAY * 1000)
    asked = busy(
        [uid for uid in ask if uid in strangers and scene.state(uid) != "invited"],
        config.open_invitations_limit,
        "invited",
    )
    spared = {**dict.fromkeys(asked, _LATER), **{uid: _until(ts) for uid, ts in added.items()}}
    if spared and len(spared) == len(uids):
        raise CallError(Reason.RATE_LIMITED, retry_after=min(spared.values()))
    return Ways(
        [uid for uid in add if uid not in spared],
        [uid for uid in ask if uid not in spared],
        strangers,
        spared,
    )


def _wants_asking(scene: Scene, uid: str, policy: people.GroupPolicy, *, friends: bool) -> bool:
    if scene.group["settings"]["consent"] or scene.members.get(uid, {}).get("asks"):
        return True
    return policy == "nobody" or (policy == "friends" and not friends)


def _until(ts: int) -> int:
    """Seconds until what happened then is a day ago, at least one."""
    return max(1, _DAY - (now_ms() - ts) // 1000)
