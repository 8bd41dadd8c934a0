"""Parts that end and come back while people chat."""

import asyncio
import os
import signal

from local.stack import Stack
from shared import keys
from shared.stores import redis_client
from tests.crowd import Crowd
from tests.wire import Wire, direct


async def test_draining_a_connector_loses_nothing(stack: Stack, name: str) -> None:
    leaving = stack.connectors[0]
    async with Crowd(stack.layout.connector_urls, name, 10, seed=1, pause=0.01) as crowd:
        await crowd.until_acknowledged(200)
        await leaving.stop()
        await crowd.until_acknowledged(200)
        await leaving.start()
        await crowd.until_acknowledged(200)
        assert await crowd.settle(in_order=True) >= 600


async def test_draining_answers_what_was_accepted(stack: Stack, name: str) -> None:
    leaving = stack.connectors[0]
    alice = await Wire.sign_in(stack.layout.connector_urls[0], name)
    params = {"to": alice.uid, "type": "text", "body": {"text": "x"}}
    answers = [alice.start("message.send", cid=f"c{n}", **params) for n in range(200)]
    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    leaving.signal(signal.SIGTERM)
    assert await alice.until_closed() == 1001
    await leaving.stop()
    await leaving.start()
    again = await Wire.sign_in(stack.layout.connector_urls[0], name)
    conv = direct(alice.uid, alice.uid)
    stored = (await again.call("message.history", conv=conv, after=0, limit=200))["entries"]
    acknowledged = [
        answer.result()["result"]["seq"]
        for answer in answers
        if answer.done() and not answer.exception() and "result" in answer.result()
    ]
    assert acknowledged
    assert set(acknowledged) <= {entry["seq"] for entry in stored}
    # A client that repeats the rest gets the missing ones, and the first results of the others.
    repeated = [again.start("message.send", cid=f"c{n}", **params) for n in range(200)]
    seqs = [(await asyncio.wait_for(each, 30))["result"]["seq"] for each in repeated]
    assert seqs == list(range(1, 201))


async def test_a_killed_connector_is_swept(stack: Stack, name: str) -> None:
    alice = await Wire.sign_in(stack.layout.connector_urls[0], name)
    (node,) = redis_client().smembers(keys.channel(f"user:{alice.uid}"))
    await stack.connectors[0].kill()
    async with asyncio.timeout(40):
        while redis_client().exists(keys.channel(f"user:{alice.uid}")):
            await asyncio.sleep(0.2)
    assert node not in redis_client().smembers(keys.NODES)
    await stack.connectors[0].start()


async def test_a_killed_function_comes_back(stack: Stack, name: str) -> None:
    async with Crowd(stack.layout.connector_urls, name, 10, seed=2, pause=0.01) as crowd:
        await crowd.until_acknowledged(100)
        for _ in range(2):
            for pid in await stack.function_pids("send"):
                os.kill(pid, signal.SIGKILL)
            await crowd.until_acknowledged(100)
        assert await crowd.settle(in_order=False) >= 300


async def test_everything_is_there_after_a_restart_of_the_whole(stack: Stack, name: str) -> None:
    url = stack.layout.connector_urls[0]
    alice = await Wire.sign_in(url, name)
    for number in range(20):
        await alice.send(alice.uid, f"c{number}", f"text {number}")
    conv = direct(alice.uid, alice.uid)
    before = await alice.call("message.history", conv=conv, after=0)
    await stack.stop()
    await stack.start()
    again = await Wire.sign_in(url, name)
    assert again.uid == alice.uid
    assert await again.call("message.history", conv=conv, after=0) == before
    assert (await again.send(alice.uid, "c5"))["seq"] == 6
    assert (await again.send(alice.uid, "new"))["seq"] == 21
