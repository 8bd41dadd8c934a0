"""Which local sessions listen to which channel. Plain state: no socket, no Redis."""

from collections.abc import Iterator, Sequence

from connector.session import Session
from shared import channels


class Subscriptions:
    """Channels with at least one session. `dirty` collects those that gained their first or lost
    their last one, for the registry to tell Redis. `epoch` counts how often all was left: what
    somebody was asked before does not count after."""

    def __init__(self) -> None:
        self._sessions: dict[str, set[Session]] = {}
        self._revs: dict[tuple[str, str], int] = {}
        self.dirty: set[str] = set()
        self.epoch = 0

    def __contains__(self, channel: str) -> bool:
        return channel in self._sessions

    def __iter__(self) -> Iterator[str]:
        return iter(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    def subscribe(self, session: Session, channel: str) -> None:
        sessions = self._sessions.get(channel)
        if sessions is None:
            self._sessions[channel] = {session}
            self.dirty.add(channel)
        else:
            sessions.add(session)
        session.channels.add(channel)

    def unsubscribe(self, session: Session, channel: str) -> None:
        session.channels.discard(channel)
        sessions = self._sessions.get(channel)
        if sessions is None:
            return
        sessions.discard(session)
        if not sessions:
            del self._sessions[channel]
            self.dirty.add(channel)

    def drop(self, session: Session) -> None:
        """The session is gone from all its channels."""
        for channel in list(session.channels):
            self.unsubscribe(session, channel)

    def leave_all(self) -> None:
        """Every session leaves all channels but its person's own."""
        self.epoch += 1
        for channel, sessions in list(self._sessions.items()):
            owner = channels.uid_of(channel)
            leaving = {each for each in sessions if owner is None or each.uid != owner}
            for session in leaving:
                session.channels.discard(channel)
            if len(leaving) == len(sessions):
                del self._sessions[channel]
                self.dirty.add(channel)
            else:
                sessions -= leaving

    def go_along(self, session: Session, channel: str, other: str | None) -> None:
        """The session hears a channel only along with this other; None where it depends on none."""
        if other is not None:
            session.along = (session.along or {}) | {channel: other}
        elif session.along is not None:
            session.along.pop(channel, None)

    def follow(self, session: Session) -> None:
        """Joins the channels that go along with those that the session is on, and forgets the
        others."""
        along = session.along or {}
        session.along = {name: other for name, other in along.items() if other in session.channels}
        for name in session.along:
            self.subscribe(session, name)

    def is_news(self, uid: str, channel: str, rev: int | None) -> bool:
        """Whether a change of a user's membership, of this revision, comes after all that were
        seen of late; it is then taken as seen."""
        if rev is None:
            return True
        key = uid, channel
        seen = self._revs.pop(key, 0)
        self._revs[key] = max(rev, seen)
        if len(self._revs) > _REVS:
            del self._revs[next(iter(self._revs))]
        return rev >= seen

    def of(self, channel: str) -> set[Session]:
        """The sessions on a channel. Not to be changed, nor kept."""
        return self._sessions.get(channel, _NONE)

    def of_any(self, names: Sequence[str]) -> set[Session]:
        """The sessions on at least one of the channels, each once."""
        if len(names) == 1:
            return self.of(names[0])
        return set().union(*(self.of(name) for name in names))


_NONE: set[Session] = set()
_REVS = 100_000  # controls that could still be overtaken are far fewer
