"""The log: entries that no client may miss, numbered densely from 1 in each conversation.

After CORFU (Balakrishnan et al., NSDI 2012): a soft sequencer proposes numbers, write-once storage
decides, readers close the holes that dead writers leave (`history`). What is promised:

- An entry that `append` returned is stored durably, under its number for ever, once for each
  (conversation, sender, command, cid), and was announced to its listeners.
- Entries of one `append` keep their order in each conversation, whatever collides.
- Whatever fails in between, to repeat the same append is safe.

Appends of a process' threads that wait together are committed together, one commit at a time: one
pipeline for numbers, one insert, one publish, however many callers they serve. So entries of one
process are announced in the order of their numbers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from pymongo.collection import Collection

from shared import guarding
from shared.announcer import Announcer
from shared.bus import Bus, bus
from shared.collections import MESSAGES, Document
from shared.combining import Combiner
from shared.commit import Commit, Outcome
from shared.content import Keyring, keyring
from shared.entry import Draft
from shared.errors import CallError
from shared.generations import Generations, generations
from shared.sequencer import Sequencer
from shared.settings import Settings, settings
from shared.storage import Storage
from shared.stores import database, redis_client
from shared.tails import Tails


class Log:
    """All conversations' logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        messages: Collection[Document],
        content: Keyring,
        bus: Bus,
        generations: Generations,
        config: Settings,
    ) -> None:
        lifetime = config.soft_state_ttl
        self.content = content
        self.storage = Storage(messages)
        self.tails = Tails(
            client,
            bus,
            generations,
            content,
            self.storage.newest,
            lifetime,
            config.last_entry_bytes,
        )
        self.announcer = Announcer(client, bus, generations, self.tails)
        self._generations = generations
        self._sequencer = Sequencer(client, generations, self.storage.highest, lifetime)
        self._attempts = config.append_attempts
        self._timeout = config.append_timeout
        self._commits: Combiner[Draft, Outcome] = Combiner(self._commit, config.commit_limit)

    def append(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Appends each draft to its conversation, and returns what became of it, in order: its
        entry (the first one, not `fresh`, where it is a repetition) or a `CallError`, after which
        it may or may not be stored and is safe to repeat."""
        outcomes: list[Any] = guarding.each(drafts, Draft.text, "append")
        good = [i for i, each in enumerate(outcomes) if not isinstance(each, CallError)]
        if good:
            placed = self._commits.run([drafts[index] for index in good])
            for index, outcome in zip(good, placed, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        return guarding.together(drafts, self._commit_all, "append")

    def _commit_all(self, drafts: Sequence[Draft]) -> list[Outcome]:
        commit = Commit(drafts, self.storage, self._sequencer, self._generations, self.content)
        commit.store(self._attempts, self._timeout)
        repeated = self.announcer.unannounced(commit.repeated())
        self.announcer.announce(commit.announcements(repeated))
        return commit.outcomes()


@cache
def log() -> Log:
    """This process's log, on the stores of its settings."""
    return Log(redis_client(), database()[MESSAGES], keyring(), bus(), generations(), settings())
