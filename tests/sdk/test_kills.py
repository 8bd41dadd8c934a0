"""A process killed at any point, again and again: what it sends is there once and in order, what
it gets is handled at least once and in order, and its file opens."""

import random
import signal
import sqlite3
from pathlib import Path

import pytest
from stonechat import Client, MemoryState, SqliteState

from local.stack import Stack
from tests.programs import running
from tests.wire import PASSWORD, direct

SEEDS = range(20)
WINDOW = 8  # messages that are under way at once
WORKER = """
import asyncio, sys
from stonechat import Client, SqliteState

url, file, to, first, last = sys.argv[1:]
print("starting", flush=True)

async def main():
    async with Client(url, state=SqliteState(file)) as client:
        print("open", flush=True)
        await client.resume()
        print("resumed", flush=True)
        window = asyncio.Semaphore(WINDOW)

        async def send(number):
            sent = await client.send(to=to, text=f"w{number}", cid=f"c{number}")
            print("sent", number, sent.seq, flush=True)
            window.release()

        async def write():
            async with asyncio.TaskGroup() as group:
                for number in range(int(first), int(last)):
                    await window.acquire()
                    group.create_task(send(number))

        async def read():
            async for entry in client.entries():
                print("handling", entry.seq, flush=True)
                if entry.body["text"] == "end":
                    return

        await asyncio.gather(write(), read())

asyncio.run(main())
""".replace("WINDOW", str(WINDOW))


class Seen:
    """What all processes have said."""

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.handled = 0  # up to which number, without a gap

    def process(self, lines: list[str]) -> None:
        """What one of them has said. Fails where it left out an entry, or changed their order."""
        expected: int | None = None
        for kind, *numbers in (line.split() for line in lines):
            if kind == "sent":
                number, seq = map(int, numbers)
                assert self.sent.setdefault(number, seq) == seq, "stored twice"
            elif kind == "handling":
                (seq,) = map(int, numbers)
                # Again the one that it was at when it was killed, and no other.
                first = {self.handled, self.handled + 1}
                assert seq == expected if expected is not None else seq in first
                expected, self.handled = seq + 1, max(self.handled, seq)

    @property
    def first_unsent(self) -> int:
        return next(number for number in range(1_000_000) if number not in self.sent)


@pytest.mark.timeout(240)
async def test_killed_at_any_point_nothing_is_lost_doubled_or_disordered(
    stack: Stack, name: str, tmp_path: Path
) -> None:
    urls = stack.layout.connector_urls
    file, program = tmp_path / "worker.sqlite", tmp_path / "worker.py"
    program.write_text(WORKER)
    async with Client(urls[0], state=SqliteState(file)) as worker:
        await worker.register(name + "w", PASSWORD)
        uid = worker.uid
    seen, written = Seen(), 0
    async with Client(urls[1], state=MemoryState()) as bob:
        await bob.register(name + "b", PASSWORD)
        conv = direct(uid, bob.uid)
        for seed in SEEDS:
            chance = random.Random(seed)
            for _ in range(chance.randrange(6)):
                await bob.send(conv=conv, text=f"b{written}")
                written += 1
            # At the start, while it opens its file, is coming back, and anywhere at work.
            after = chance.choice([1, 2, 3, chance.randrange(4, 60)])
            first = seen.first_unsent
            arguments = [urls[0], str(file), bob.uid, str(first), str(first + 200)]
            async with running(program, tmp_path, *arguments) as process:
                lines = [await process.line() for _ in range(after)]
                process.process.send_signal(signal.SIGKILL)
                while line := await process.line():
                    lines.append(line)
                assert await process.ended() == -signal.SIGKILL, process.errors
            assert all(lines), process.errors
            seen.process(lines)
        last = seen.first_unsent + 3 * WINDOW
        await bob.send(conv=conv, text="end")
        arguments = [urls[0], str(file), bob.uid, str(seen.first_unsent), str(last)]
        async with running(program, tmp_path, *arguments) as process:
            lines = []
            while line := await process.line(60):
                lines.append(line)
            assert await process.ended() == 0, process.errors
        seen.process(lines)
        history = await bob.history(conv, after=0, limit=100_000)
    texts = {each.seq: each.body["text"] for each in history}
    assert [*texts] == list(range(1, len(texts) + 1))
    ours = [text for text in texts.values() if text.startswith("w")]
    assert ours == [f"w{number}" for number in range(len(ours))]
    assert len(ours) >= last
    assert {number: texts[seq] for number, seq in seen.sent.items()} == {
        number: f"w{number}" for number in seen.sent
    }
    assert [text for text in texts.values() if text.startswith("b")] == [
        f"b{number}" for number in range(written)
    ]
    assert seen.handled >= next(seq for seq, text in texts.items() if text == "end")
    database = sqlite3.connect(file)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
