"""Clients that are too slow, and too fast."""

import asyncio

import httpx

from local.stack import Stack
from tests.wire import Wire, direct


async def closed_as_too_slow(url: str) -> float:
    page = url.replace("ws:", "http:").removesuffix("/v1") + "/metrics"
    async with httpx.AsyncClient() as http:
        lines = (await http.get(page)).text.splitlines()
    return sum(float(line.split()[1]) for line in lines if 'closed_total{code="4008"}' in line)


async def test_a_reader_that_is_too_slow_is_closed_and_catches_up(stack: Stack, name: str) -> None:
    urls = stack.layout.connector_urls
    alice, bob = await Wire.sign_in(urls[0], name + "a"), await Wire.sign_in(urls[1], name + "b")
    before = await closed_as_too_slow(urls[0])
    alice.pause_reading()
    sent = 0
    async with asyncio.timeout(60):
        while await closed_as_too_slow(urls[0]) == before:
            sends = [bob.send(alice.uid, f"c{sent + n}", "x" * 30_000) for n in range(20)]
            await asyncio.gather(*sends)
            sent += 20
    alice.resume_reading()
    assert await alice.until_closed() in (4008, None)
    again = await Wire.sign_in(urls[0], name + "a")
    conv, reached = direct(alice.uid, bob.uid), 0
    while True:
        page = await again.call("message.history", conv=conv, after=reached, limit=200)
        reached += len(page["entries"])
        if not page["more"]:
            break
    assert reached == sent


async def test_more_calls_than_may_be_under_way_wait_their_turn(stack: Stack, name: str) -> None:
    alice = await Wire.sign_in(stack.layout.connector_urls[0], name)
    answers = [alice.start("user.get", uids=[alice.uid]) for _ in range(3000)]
    found = await asyncio.wait_for(asyncio.gather(*answers), 60)
    assert all("result" in answer for answer in found)


async def test_clients_that_leave_with_calls_under_way_cost_the_others_nothing(
    stack: Stack, name: str
) -> None:
    url = stack.layout.connector_urls[0]
    stays = await Wire.sign_in(url, name)
    leaving = [await Wire.connect(url) for _ in range(8)]  # two on each lane
    answers = []
    for _ in range(5):
        for each in leaving:
            await each.open(stays.tokens["access_token"])
            for _ in range(10):
                each.start("user.get", uids=[stays.uid])
                answers.append(stays.start("user.get", uids=[stays.uid]))
            each.cut()
        leaving = [await Wire.connect(url) for _ in leaving]
    found = await asyncio.wait_for(asyncio.gather(*answers), 30)
    assert all("result" in answer for answer in found)
