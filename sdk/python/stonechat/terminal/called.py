"""What people are called in lines about them."""

from collections.abc import Iterable
from contextlib import suppress

from stonechat.client import Client
from stonechat.entry import Entry
from stonechat.errors import StonechatError
from stonechat.terminal.lines import Line, called, line, people_in


class Called:
    """Asks the server for each name once. What the server does not tell shows as the uid."""

    def __init__(self, client: Client, nicknames: dict[str, str] | None = None) -> None:
        self._client = client
        self._nicknames = nicknames or {}
        self._names: dict[str, str] = {}

    async def lines(self, entries: Iterable[Entry]) -> list[Line]:
        """Entries as lines, without those that show nothing."""
        given = list(entries)
        wanted = {uid for entry in given for uid in people_in(entry)}
        await self._meet(wanted - self._names.keys() - {self._client.uid})
        found = (line(entry, self._client.uid, self._names) for entry in given)
        return [each for each in found if each is not None]

    async def _meet(self, uids: set[str]) -> None:
        if uids:
            with suppress(StonechatError, TimeoutError):
                users = await self._client.users.get(sorted(uids))
                for uid in uids:
                    username = users[uid].username if uid in users else uid
                    self._names[uid] = called(username, self._nicknames.get(uid))
