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
