"""The history checker: proves from what clients did and saw that promise 1 held.

Clients record what they sent, what was acknowledged, and what they applied, in that order. `check`
then holds the records of all clients against each other:

- an acknowledged message has one number, and no two messages share one;
- everyone who should see a conversation applied all its acknowledged entries, each once, in order;
- all agree what stands at a number, and numbers are dense from 1;
- what one client sent in a row, and was acknowledged, stands in that order.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass
class Record:
    """What one client did and saw. `name` is for the reports."""

    name: str
    uid: str
    sent: list[tuple[str, str]] = field(default_factory=list)  # (conv, cid), in order
    acknowledged: dict[tuple[str, str], int] = field(default_factory=dict)  # → seq
    applied: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def send(self, conv: str, cid: str) -> None:
        self.sent.append((conv, cid))

    def acknowledge(self, conv: str, cid: str, seq: int) -> None:
        before = self.acknowledged.setdefault((conv, cid), seq)
        assert before == seq, f"{self.name}: {conv} {cid} acknowledged as {before} and as {seq}"

    def apply(self, entry: dict[str, Any]) -> None:
        self.applied[entry["conv"]].append(entry)


def check(records: list[Record], members: dict[str, set[str]], *, in_order: bool = True) -> int:
    """Raises `AssertionError` with what is wrong; returns how many acknowledged messages were
    proven. `members` says which uids belong to each conversation; `in_order` asks for the order of
    sending too, which a client gives up when it repeats what a failure left unanswered."""
    proven = 0
    for conv, uids in members.items():
        viewers = [record for record in records if record.uid in uids]
        truth = _agreed(conv, viewers)
        numbers: dict[int, str] = {}
        for record in viewers:
            mine = [(cid, seq) for (name, cid), seq in record.acknowledged.items() if name == conv]
            for cid, seq in mine:
                key = f"{record.uid} {cid}"
                other = numbers.setdefault(seq, key)
                assert other == key, f"{conv}: {seq} was given to {other} and to {key}"
                entry = truth.get(seq)
                assert entry is not None, f"{conv}: {key} was acknowledged as {seq} and is lost"
                assert entry["sender"] == record.uid, f"{conv}: {seq} is not {record.uid}'s"
            if in_order:
                _sent_in_order(conv, record)
        for record in viewers:
            _applied_in_order(conv, record, truth)
        proven += len(numbers)
    return proven


def _agreed(conv: str, viewers: list[Record]) -> dict[int, dict[str, Any]]:
    truth: dict[int, dict[str, Any]] = {}
    for record in viewers:
        for entry in record.applied[conv]:
            known = truth.setdefault(entry["seq"], entry)
            assert known["id"] == entry["id"], f"{conv}: {record.name} sees another {entry['seq']}"
    if truth:
        missing = set(range(1, max(truth) + 1)) - set(truth)
        assert not missing, f"{conv}: numbers without an entry: {sorted(missing)[:10]}"
    return truth


def _applied_in_order(conv: str, record: Record, truth: dict[int, dict[str, Any]]) -> None:
    seqs = [entry["seq"] for entry in record.applied[conv]]
    wrong = [(a, b) for a, b in pairwise(seqs) if b != a + 1]
    assert not wrong, f"{conv}: {record.name} applied out of order: {wrong[:10]}"
    missing = set(truth) - set(seqs)
    assert not missing, f"{conv}: {record.name} misses {sorted(missing)[:10]}"


def _sent_in_order(conv: str, record: Record) -> None:
    seqs = [
        record.acknowledged[conv, cid]
        for name, cid in record.sent
        if name == conv and (conv, cid) in record.acknowledged
    ]
    assert seqs == sorted(seqs), f"{conv}: what {record.name} sent in a row was reordered"
