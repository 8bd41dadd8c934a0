"""State equals events: a device that only applied what it heard, against one that asked."""

import asyncio
from typing import Any

from local.stack import Stack
from tests.wire import Wire, direct


class Device:
    """What a device knows of one conversation from entries and signals alone."""

    def __init__(self, wire: Wire, conv: str) -> None:
        self._wire = wire
        self._conv = conv
        self._seen = 0
        self.entries: dict[int, dict[str, Any]] = {}
        self.state: dict[str, Any] = {"read_seq": 0, "pinned": False, "muted": False}

    async def until(self, seq: int, read_seq: int, **state: Any) -> None:
        """Applies what comes until the device knows this."""
        wanted = {"read_seq": read_seq, **state}
        async with asyncio.timeout(20):
            while True:
                for message in self._wire.notifications[self._seen :]:
                    self._apply(message["method"], message["params"])
                self._seen = len(self._wire.notifications)
                if seq in self.entries and wanted.items() <= self.state.items():
                    return
                await asyncio.sleep(0)

    def _apply(self, method: str, params: dict[str, Any]) -> None:
        if params.get("conv") != self._conv:
            return
        if method == "entry":
            self._entry(params)
        elif method == "read" and params["uid"] == self._wire.uid:
            self.state["read_seq"] = max(self.state["read_seq"], params["seq"])
        elif method == "conversation":
            self.state |= {name: params[name] for name in ("read_seq", "pinned", "muted")}

    def _entry(self, entry: dict[str, Any]) -> None:
        self.entries[entry["seq"]] = dict(entry)
        target = self.entries.get(entry.get("ref", 0))
        if target is None:
            return
        if entry["type"] == "edit":
            target |= {"body": entry["body"], "edited": entry["ts"]}
        elif entry["type"] == "recall":
            for each in (target, *self._edits_of(target["seq"])):
                each.pop("body", None)
                each["recalled"] = entry["ts"]

    def _edits_of(self, seq: int) -> list[dict[str, Any]]:
        return [
            each
            for each in self.entries.values()
            if each["type"] == "edit" and each.get("ref") == seq
        ]


async def test_a_device_that_listened_knows_what_a_fresh_one_is_told(
    stack: Stack, name: str
) -> None:
    urls = stack.layout.connector_urls
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    conv = direct(alice.uid, bob.uid)
    second = await Wire.connect(urls[1])
    await second.open(alice.tokens["access_token"])
    device = Device(second, conv)

    async def agree(seq: int, read_seq: int, **state: Any) -> None:
        await device.until(seq, read_seq, **state)
        page = await alice.call("message.history", conv=conv, after=0)
        assert list(device.entries.values()) == page["entries"]
        (listed,) = (await alice.call("conversation.list"))["conversations"]
        assert {name: listed[name] for name in device.state} == device.state

    await alice.send(bob.uid, "c1", "one")
    await agree(1, 0)
    await bob.send(conv, "c2", "two")
    await agree(2, 0)
    await alice.call("message.edit", conv=conv, ref=1, cid="e1", body={"text": "first"})
    await agree(3, 0)
    await bob.call("message.react", conv=conv, ref=1, cid="r1", emoji="👍")
    await agree(4, 0)
    await alice.call("conversation.read", conv=conv, seq=4)
    await agree(4, 4)
    await alice.call("conversation.update", conv=conv, pinned=True)
    await agree(4, 4, pinned=True)
    await alice.call("conversation.update", conv=conv, pinned=False, muted=True)
    await agree(4, 4, pinned=False, muted=True)
    await alice.call("message.recall", conv=conv, ref=1, cid="x1")
    await agree(5, 4, muted=True)
    forward = {"conv": conv, "seq": 2}
    await alice.call("message.send", conv=conv, cid="f1", forward=forward)
    await agree(6, 4, muted=True)


async def test_a_profile_is_the_same_on_all_devices(stack: Stack, name: str) -> None:
    urls = stack.layout.connector_urls
    alice, second = await Wire.sign_in(urls[0], name), await Wire.connect(urls[1])
    await second.open(alice.tokens["access_token"])
    changed = await alice.call("user.update", cid="u1", about="here", ext={"team": "blue"})
    assert await second.until("user", 1) == [changed]
    removed = await alice.call("user.update", cid="u2", about="")
    told = (await second.until("user", 2))[-1]
    (fresh,) = (await second.call("user.get", uids=[alice.uid]))["users"]
    assert told == removed == fresh | {"friend_policy": "approve", "group_policy": "anyone"}
    assert [each for each in alice.notifications if each["method"] == "user"] == []


async def test_who_waits_at_a_group_is_known_from_inboxes(stack: Stack, name: str) -> None:
    """Requests as its admins apply them, invitations as the invited do, against the lists."""
    urls = stack.layout.connector_urls
    owner, admin = await Wire.sign_in(urls[0], name + "o"), await Wire.sign_in(urls[1], name + "a")
    guests = [await Wire.sign_in(urls[n % 2], f"{name}{n}") for n in range(4)]
    settings = {"join": "approval", "consent": True}
    made = await owner.call("group.create", cid="g", name="door", settings=settings)
    gid, inbox = made["gid"], f"u:{admin.uid}"
    await owner.call("group.invite", gid=gid, cid="i", uids=[admin.uid])
    await admin.call("group.accept", gid=gid, cid="a")
    role = {"gid": gid, "uid": admin.uid, "role": "admin"}
    await owner.call("group.set_role", cid="r", **role)

    async def agree(guest: Wire, told: int) -> None:
        """After as many entries in the admin's inbox."""
        while len(admin.entries(inbox)) < told:
            heard = [each for each in admin.notifications if each["method"] == "entry"]
            await admin.until("entry", len(heard) + 1)
        waiting: dict[str, None] = {}
        for entry in admin.entries(inbox):
            body = entry["body"]
            if body["event"] == "requested":
                waiting[body["uid"]] = None
            elif body["event"] in ("approved", "rejected", "withdrawn"):
                waiting.pop(body["uid"], None)
        listed = (await admin.call("group.requests", gid=gid))["requests"]
        assert sorted(waiting) == sorted(each["uid"] for each in listed)
        invited = False
        page = await guest.call("message.history", conv=f"u:{guest.uid}", after=0)
        for entry in page["entries"]:
            event = entry["body"]["event"]
            if event in ("invited", "accepted", "declined", "withdrawn"):
                invited = event == "invited"
        found = (await guest.call("group.invitations"))["invitations"]
        assert [each["gid"] for each in found] == [gid] * invited

    told = len(admin.entries(inbox))
    for guest in guests:
        await guest.call("group.join", gid=gid, cid="j")
        told += 1
        await agree(guest, told)
    await owner.call("group.approve", gid=gid, cid="p", uid=guests[0].uid)
    await agree(guests[0], told + 1)
    await owner.call("group.reject", gid=gid, cid="x", uid=guests[1].uid)
    await agree(guests[1], told + 2)
    await guests[2].call("group.leave", gid=gid, cid="l")
    await agree(guests[2], told + 3)
    await owner.call("group.invite", gid=gid, cid="i2", uids=[guests[1].uid, guests[2].uid])
    await agree(guests[1], told + 3)
    await guests[1].call("group.accept", gid=gid, cid="y")
    await agree(guests[1], told + 3)
    await guests[2].call("group.decline", gid=gid, cid="n")
    await agree(guests[2], told + 3)
    await owner.call("group.block", gid=gid, cid="b", uids=[guests[3].uid])
    await agree(guests[3], told + 4)
