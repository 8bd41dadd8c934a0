"""The main scenarios over the real gateway, each function in turn below the real of-watchdog."""

import pytest

from local.provider import WATCHDOG_LABEL
from tests.crowd import Crowd
from tests.openfaas.conftest import Cluster
from tests.wire import Refused, Wire, direct


async def scenario(cluster: Cluster, name: str) -> None:
    """Two people on two connectors: accounts, friends, presence, messages, groups, histories."""
    alice = await Wire.sign_in(cluster.urls[0], name + "a")
    bob = await Wire.sign_in(cluster.urls[1], name + "b")
    again = await alice.call("auth.refresh", refresh_token=alice.tokens["refresh_token"])
    assert again["access_token"] != alice.tokens["access_token"]
    found = await alice.call("user.search", q=name + "b")
    assert [each["uid"] for each in found["users"]] == [bob.uid]
    await alice.call("friend.request", uid=bob.uid, cid="f1")
    await bob.call("friend.accept", uid=alice.uid, cid="f2")
    status = await alice.call("presence.get", uids=[bob.uid])
    assert [each["uid"] for each in status["presence"]] == [bob.uid]
    conv = direct(alice.uid, bob.uid)
    for number in range(1, 21):
        sent = await alice.send(bob.uid, f"c{number}", f"text {number}")
        assert sent["seq"] == number
    assert (await alice.send(bob.uid, "c20", "text 20"))["seq"] == 20
    heard = [each for each in await bob.until("entry", 20) if each["conv"] == conv]
    made = await bob.call("group.create", cid="g1", name="team", members=[alice.uid])
    assert (await bob.send(f"g:{made['gid']}", "g2"))["seq"] > 0
    page = await bob.call("message.history", conv=conv, after=0, limit=200)
    assert [each["seq"] for each in page["entries"]] == list(range(1, 21))
    assert {each["seq"] for each in heard} <= set(range(1, 21))
    with pytest.raises(Refused) as refused:
        await alice.call("message.history", conv=direct(bob.uid, bob.uid), after=0)
    assert refused.value.reason in ("not_a_member", "not_found")
    for wire in (alice, bob):
        await wire.close()


async def test_through_the_gateway(cluster: Cluster, name: str) -> None:
    await scenario(cluster, name)


@pytest.mark.timeout(180)
async def test_each_function_below_the_watchdog(cluster: Cluster, name: str) -> None:
    functions = ("auth", "user", "friend", "send", "sync", "group", "presence")
    await cluster.faas("build", "--shrinkwrap", "-f", "stack.yml")
    for number, function in enumerate(functions):
        deploy = ("deploy", "-f", "stack.yml", "--filter", function)
        await cluster.faas(*deploy, "--label", f"{WATCHDOG_LABEL}=true")
        assert f"{WATCHDOG_LABEL}: true" in await cluster.faas("describe", function)
        await scenario(cluster, f"{name}{number}")
        await cluster.faas(*deploy)


async def test_nothing_is_lost_on_the_way(cluster: Cluster, name: str) -> None:
    async with Crowd(cluster.urls, name, 10, seed=1, pause=0.02) as crowd:
        await crowd.until_acknowledged(1000)
        assert await crowd.settle(in_order=True) >= 1000
