"""Some people who use every method once, and go wrong now and then."""

from typing import Any, Protocol

from tests.wire import PASSWORD, Wire, direct

_FOR_EVER = 4_102_444_800_000
_NOBODY = "nobody0000"


class Asks(Protocol):
    suffix: str  # what makes names of this scene its own

    async def ask(self, wire: Wire, method: str, **params: Any) -> Any: ...

    async def refuse(self, wire: Wire, method: str, **params: Any) -> None: ...


async def play(asks: Asks, url: str) -> None:
    alice, bob, carol = [await _arrive(asks, url, who) for who in ("alice", "bob", "carol")]
    await _account(asks, url, alice)
    await _people(asks, alice, bob, carol)
    await _messages(asks, alice, bob, carol)
    await _group(asks, alice, bob, carol)
    await _entering(asks, alice, bob, carol)
    await _presence(asks, alice, bob)
    await asks.refuse(alice, "auth.refresh", refresh_token=alice.tokens["access_token"])
    await asks.ask(alice, "auth.logout")
    for wire in (alice, bob, carol):
        await wire.close()


async def _arrive(asks: Asks, url: str, who: str) -> Wire:
    wire = await Wire.connect(url)
    await asks.ask(wire, "auth.config")
    await asks.refuse(wire, "session.open", access_token="none", device={"id": "phone"})
    await asks.refuse(wire, "user.get", uids=[_NOBODY])
    username = who + asks.suffix
    wire.tokens = await asks.ask(
        wire, "auth.register", username=username, password=PASSWORD, name=who.title()
    )
    await asks.refuse(wire, "auth.register", username=username, password=PASSWORD)
    await asks.refuse(wire, "auth.register", username=username, password="short")
    device = {"id": "phone", "name": f"{who.title()}'s telephone", "platform": "android"}
    opened = await asks.ask(
        wire, "session.open", access_token=wire.tokens["access_token"], device=device
    )
    wire.uid, wire.sid = opened["uid"], opened["sid"]
    return wire


async def _account(asks: Asks, url: str, alice: Wire) -> None:
    other = await Wire.connect(url)
    username = "alice" + asks.suffix
    await asks.ask(other, "auth.login", username=username, password=PASSWORD)
    await asks.refuse(other, "auth.login", username=username, password="not the password")
    await other.close()
    refresh_token = alice.tokens["refresh_token"]
    alice.tokens = await asks.ask(alice, "auth.refresh", refresh_token=refresh_token)
    await asks.ask(alice, "session.renew", access_token=alice.tokens["access_token"])
    await asks.refuse(
        alice,
        "session.open",
        access_token=alice.tokens["access_token"],
        device={"id": "phone"},
    )
    await asks.ask(alice, "user.update", cid="c1", about="Looks after the birds.")
    await asks.refuse(alice, "user.update", cid="c2", name="")


async def _people(asks: Asks, alice: Wire, bob: Wire, carol: Wire) -> None:
    await asks.refuse(bob, "session.renew", access_token=alice.tokens["access_token"])
    await asks.ask(bob, "user.get", uids=[alice.uid, bob.uid])
    await asks.ask(bob, "user.search", q="alice" + asks.suffix)
    await asks.ask(alice, "friend.request", uid=bob.uid, cid="c3", note="It is me.")
    await asks.refuse(alice, "friend.request", uid=_NOBODY, cid="c4")
    await asks.ask(bob, "friend.accept", uid=alice.uid, cid="c1")
    await asks.refuse(bob, "friend.accept", uid=alice.uid, cid="c2")
    await asks.refuse(bob, "friend.accept", uid=_NOBODY, cid="c2")
    await asks.ask(alice, "friend.update", uid=bob.uid, cid="c5", alias="Bobby", tags=["choir"])
    await asks.refuse(alice, "friend.update", uid=carol.uid, cid="c6", alias="Caz")
    await asks.ask(alice, "friend.list", state="friend")
    await asks.ask(carol, "friend.request", uid=bob.uid, cid="c1")
    await asks.ask(bob, "friend.decline", uid=carol.uid, cid="c3")
    await asks.refuse(bob, "friend.decline", uid=carol.uid, cid="c4")
    await asks.ask(bob, "friend.block", uid=carol.uid, cid="c5")
    await asks.refuse(bob, "friend.block", uid=_NOBODY, cid="c6")
    await asks.refuse(carol, "friend.request", uid=bob.uid, cid="c2")
    await asks.refuse(carol, "message.send", to=bob.uid, cid="c3", type="text", body={"text": "x"})
    await asks.ask(bob, "friend.unblock", uid=carol.uid, cid="c7")
    await asks.refuse(bob, "friend.unblock", uid=carol.uid, cid="c8")
    await asks.ask(alice, "friend.request", uid=carol.uid, cid="c7")
    await asks.ask(alice, "friend.remove", uid=carol.uid, cid="c8")
    await asks.refuse(alice, "friend.remove", uid=carol.uid, cid="c9")


async def _messages(asks: Asks, alice: Wire, bob: Wire, carol: Wire) -> None:
    conv = direct(alice.uid, bob.uid)
    text = {"text": "There is a stonechat on the fence."}
    await asks.ask(alice, "message.send", conv=conv, cid="m1", type="text", body=text)
    await asks.refuse(alice, "message.send", to=_NOBODY, cid="m2", type="text", body=text)
    await asks.refuse(alice, "message.send", to=bob.uid, cid="m3", type="text", body={"txt": "?"})
    await asks.refuse(carol, "message.send", conv=conv, cid="m1", type="text", body=text)
    body = {"text": "There are two stonechats on the fence."}
    await asks.ask(alice, "message.edit", conv=conv, ref=1, cid="m4", body=body)
    await asks.refuse(bob, "message.edit", conv=conv, ref=1, cid="m1", body=body)
    await asks.refuse(alice, "message.edit", conv=conv, ref=900, cid="m5", body=body)
    await asks.ask(bob, "message.react", conv=conv, ref=1, cid="m2", emoji="👍")
    await asks.refuse(bob, "message.react", conv=conv, ref=900, cid="m3", emoji="👍")
    await asks.refuse(bob, "message.react", conv=conv, ref=1, cid="m3", emoji="fine")
    await asks.ask(bob, "conversation.typing", conv=conv)
    await asks.refuse(carol, "conversation.typing", conv=conv)
    await asks.ask(bob, "message.history", conv=conv, after=0)
    await asks.refuse(carol, "message.history", conv=conv, after=0)
    await asks.ask(bob, "conversation.read", conv=conv, seq=3)
    await asks.refuse(bob, "conversation.read", conv=conv, seq=900)
    await asks.refuse(carol, "conversation.read", conv=conv, seq=1)
    await asks.ask(bob, "conversation.update", conv=conv, pinned=True)
    await asks.refuse(carol, "conversation.update", conv=conv, pinned=True)
    await asks.ask(bob, "conversation.list")
    await asks.refuse(bob, "message.recall", conv=conv, ref=1, cid="m4")
    await asks.refuse(bob, "message.recall", conv=conv, ref=900, cid="m5")
    await asks.ask(alice, "message.recall", conv=conv, ref=1, cid="m6")
    await asks.refuse(alice, "message.recall", conv=conv, ref=1, cid="m7")
    await asks.refuse(alice, "message.edit", conv=conv, ref=1, cid="m8", body=body)
    await asks.refuse(bob, "message.react", conv=conv, ref=1, cid="m6", emoji="👍")


async def _group(asks: Asks, alice: Wire, bob: Wire, carol: Wire) -> None:
    made = await asks.ask(
        alice, "group.create", cid="g1", name=f"{asks.suffix}Bird watchers", members=[bob.uid]
    )
    gid = made["gid"]
    settings = {"listed": True, "join": "approval"}
    await asks.ask(alice, "group.update", gid=gid, cid="g2", settings=settings)
    await asks.refuse(bob, "group.update", gid=gid, cid="g1", settings=settings)
    await asks.refuse(carol, "group.update", gid=gid, cid="g1", name="Ours")
    await asks.ask(bob, "group.get", gid=gid)
    await asks.ask(bob, "group.list")
    await asks.ask(carol, "group.search", q=f"{asks.suffix}bird")
    await asks.ask(bob, "group.members", gid=gid)
    await asks.refuse(bob, "group.members", gid=gid, state="blocked")
    await asks.refuse(carol, "group.members", gid=gid)
    await asks.ask(bob, "group.nickname", gid=gid, cid="g2", nickname="Owl")
    await asks.refuse(carol, "group.nickname", gid=gid, cid="g2", nickname="Owl")
    await asks.ask(alice, "group.mute", gid=gid, cid="g3", uid=bob.uid, until=_FOR_EVER)
    await asks.refuse(bob, "group.nickname", gid=gid, cid="g3", nickname="Eagle")
    spoken = {"type": "text", "body": {"text": "hello"}}
    await asks.refuse(bob, "message.send", conv=f"g:{gid}", cid="g4", **spoken)
    await asks.refuse(bob, "group.mute", gid=gid, cid="g5", uid=alice.uid, until=_FOR_EVER)
    await asks.refuse(alice, "group.mute", gid=gid, cid="g4", uid=carol.uid, until=_FOR_EVER)
    await asks.ask(alice, "group.set_role", gid=gid, cid="g5", uid=bob.uid, role="admin")
    await asks.refuse(alice, "group.set_role", gid=gid, cid="g6", uid=carol.uid, role="admin")
    await asks.refuse(alice, "group.set_role", gid=gid, cid="g7", uid=alice.uid, role="member")
    await asks.refuse(bob, "group.transfer", gid=gid, cid="g6", uid=bob.uid)
    await asks.ask(alice, "group.transfer", gid=gid, cid="g8", uid=bob.uid)
    await asks.refuse(bob, "group.leave", gid=gid, cid="g7")
    await asks.ask(alice, "group.leave", gid=gid, cid="g9")
    await asks.refuse(alice, "group.dismiss", gid=gid, cid="g10")
    await asks.ask(bob, "group.dismiss", gid=gid, cid="g8")
    await asks.refuse(carol, "group.get", gid="nosuchgroup")


async def _entering(asks: Asks, alice: Wire, bob: Wire, carol: Wire) -> None:
    made = await asks.ask(
        alice, "group.create", cid="e1", name="The choir", settings={"join": "approval"}
    )
    gid = made["gid"]
    await asks.ask(bob, "group.join", gid=gid, cid="e1")
    await asks.refuse(bob, "group.join", gid="nosuchgroup", cid="e2")
    await asks.ask(alice, "group.requests", gid=gid)
    await asks.refuse(carol, "group.requests", gid=gid)
    await asks.refuse(alice, "group.approve", gid=gid, cid="e2", uid=carol.uid)
    await asks.ask(alice, "group.approve", gid=gid, cid="e3", uid=bob.uid)
    await asks.refuse(alice, "group.approve", gid=gid, cid="e4", uid=bob.uid)
    await asks.refuse(bob, "group.approve", gid=gid, cid="e3", uid=carol.uid)
    await asks.refuse(bob, "group.join", gid=gid, cid="e4")
    await asks.ask(carol, "group.join", gid=gid, cid="e1")
    await asks.ask(alice, "group.reject", gid=gid, cid="e5", uid=carol.uid)
    await asks.refuse(alice, "group.reject", gid=gid, cid="e6", uid=carol.uid)
    await asks.ask(alice, "group.update", gid=gid, cid="e7", settings={"consent": True})
    await asks.ask(alice, "group.invite", gid=gid, cid="e8", uids=[carol.uid])
    await asks.refuse(carol, "group.invite", gid=gid, cid="e2", uids=[bob.uid])
    await asks.ask(carol, "group.invitations")
    await asks.ask(carol, "group.decline", gid=gid, cid="e3")
    await asks.refuse(carol, "group.decline", gid=gid, cid="e4")
    await asks.refuse(carol, "group.accept", gid=gid, cid="e5")
    await asks.ask(alice, "group.invite", gid=gid, cid="e9", uids=[carol.uid])
    await asks.ask(carol, "group.accept", gid=gid, cid="e6")
    await asks.refuse(bob, "group.remove", gid=gid, cid="e5", uids=[alice.uid])
    await asks.ask(alice, "group.remove", gid=gid, cid="e10", uids=[carol.uid])
    await asks.ask(alice, "group.block", gid=gid, cid="e11", uids=[carol.uid])
    await asks.refuse(carol, "group.join", gid=gid, cid="e7")
    await asks.refuse(bob, "group.block", gid=gid, cid="e6", uids=[alice.uid])
    await asks.refuse(bob, "group.unblock", gid=gid, cid="e7", uids=[carol.uid])
    await asks.ask(alice, "group.unblock", gid=gid, cid="e12", uids=[carol.uid])


async def _presence(asks: Asks, alice: Wire, bob: Wire) -> None:
    made = await asks.ask(alice, "group.create", cid="p1", name="Indoors", members=[bob.uid])
    await asks.ask(bob, "presence.set", status="busy", text="at work")
    await asks.refuse(bob, "presence.set", status="asleep")
    await asks.ask(alice, "presence.get", uids=[bob.uid])
    await asks.ask(alice, "presence.watch", conv=made["conv"])
    await asks.refuse(alice, "presence.watch", conv="g:nosuchgroup")
    await asks.refuse(alice, "presence.watch", conv=direct(alice.uid, bob.uid))
    await asks.ask(alice, "presence.unwatch", conv=made["conv"])
    await asks.refuse(alice, "presence.unwatch", conv=direct(alice.uid, bob.uid))
