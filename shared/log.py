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

from collections import deque
from collections.abc import Sequence
from functools import cache
from threading import Condition

import redis
import structlog
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from shared.announcer import Announcer
from shared.bus import Bus, bus
from shared.collections import MESSAGES, Document
from shared.commit import Commit, Outcome
from shared.content import Keyring, keyring
from shared.entry import Draft
from shared.errors import CallError, Reason
from shared.sequencer import Sequencer
from shared.settings import Settings, settings
from shared.storage import Storage
from shared.stores import database, redis_client
from shared.tails import Tails

logger = structlog.get_logger(__name__)


class _Job:
    """One caller's drafts, and what became of them."""

    __slots__ = ("drafts", "outcomes")

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self.outcomes: list[Outcome] | None = None


class Log:
    """All conversations' logs. Safe under threads and processes."""

    def __init__(
        self,
        client: redis.Redis,
        messages: Collection[Document],
        content: Keyring,
        bus: Bus,
        config: Settings,
    ) -> None:
        self.content = content
        self.storage = Storage(messages)
        self.tails = Tails(client, content, self.storage.newest, config.soft_state_ttl)
        self.announcer = Announcer(client, bus, self.tails)
        self._sequencer = Sequencer(client, self.storage.highest, config.soft_state_ttl)
        self._commit_limit = config.commit_limit
        self._attempts = config.append_attempts
        self._timeout = config.append_timeout
        self._turn = Condition()
        self._busy = False
        self._waiting: deque[_Job] = deque()

    def append(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Appends each draft to its conversation, and returns what became of it, in order: its
        entry (the first one, not `fresh`, where it is a repetition) or a `CallError`, after which
        it may or may not be stored and is safe to repeat."""
        if not drafts:
            return []
        job = _Job(drafts)
        with self._turn:
            self._waiting.append(job)
        while True:
            with self._turn:
                while job.outcomes is None and self._busy:
                    self._turn.wait()
                if job.outcomes is not None:
                    return job.outcomes
                self._busy = True
                jobs = self._next_jobs()
            try:
                self._commit(jobs)
            finally:
                with self._turn:
                    self._busy = False
                    self._turn.notify_all()

    def _next_jobs(self) -> list[_Job]:
        jobs = [self._waiting.popleft()]
        room = self._commit_limit - len(jobs[0].drafts)
        while self._waiting and len(self._waiting[0].drafts) <= room:
            jobs.append(self._waiting.popleft())
            room -= len(jobs[-1].drafts)
        return jobs

    def _commit(self, jobs: Sequence[_Job]) -> None:
        drafts = [draft for job in jobs for draft in job.drafts]
        outcomes = self._outcomes(drafts)
        start = 0
        for job in jobs:
            job.outcomes = outcomes[start : start + len(job.drafts)]
            start += len(job.drafts)

    def _outcomes(self, drafts: Sequence[Draft]) -> list[Outcome]:
        commit = Commit(drafts, self.storage, self._sequencer, self.content)
        try:
            commit.store(self._attempts, self._timeout)
            repeated = self.announcer.unannounced(commit.repeated())
            self.announcer.announce(commit.announcements(repeated))
            return commit.outcomes()
        except CallError as refusal:
            return [refusal] * len(drafts)
        except (redis.RedisError, PyMongoError) as error:
            logger.warning("append_failed", error=str(error), entries=len(drafts))
            return [CallError(Reason.UNAVAILABLE, retry_after=1)] * len(drafts)
        except Exception:
            logger.exception("append_broke", entries=len(drafts))
            return [CallError(Reason.INTERNAL)] * len(drafts)


@cache
def log() -> Log:
    """This process's log, on the stores of its settings."""
    return Log(redis_client(), database()[MESSAGES], keyring(), bus(), settings())
