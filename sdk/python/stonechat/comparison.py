"""Comparing with the server's list of conversations, page by page. No I/O."""

from dataclasses import dataclass
from typing import Any, Self

from stonechat import shape

_CLOCKS = 5_000  # milliseconds by which the server's clocks may differ


@dataclass(frozen=True, slots=True)
class Place:
    """How far a conversation goes."""

    conv: str
    last_seq: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Comparison:
    """One pass over what changed since an earlier one, or over everything, on as many connections
    as it takes. What changes while it goes on is asked for at its end, until that is one page."""

    def __init__(self, since: int | None = None) -> None:
        """`since` is the `now` of an earlier one."""
        self.starts: dict[str, int] = {}  # the last number of each, as it was listed first
        self.lasts: dict[str, int] = {}  # and as it was listed last
        self.now: int | None = None  # by the server's clock: what comes later is of the next one
        self._since = since
        self._after: str | None = None
        self._pages = 0

    @property
    def params(self) -> dict[str, Any]:
        """What to ask for next."""
        params: dict[str, Any] = {}
        if self._since is not None:
            params["changed_since"] = max(0, self._since - _CLOCKS)
        if self._after is not None:
            params["after"] = self._after
        return params

    def take(self, page: Any) -> bool:
        """The answer to that. Returns whether this was all. Raises `BadAnswer`."""
        for each in shape.read_all(Place.parse, page, "conversations"):
            self.starts.setdefault(each.conv, each.last_seq)
            self.lasts[each.conv] = each.last_seq
        if self._after is None:
            now = page.get("now")
            self.now = now if shape.is_number(now) else None
        self._after = shape.following(page, self._after)
        self._pages += 1
        if self._after is not None:
            return False
        if self._pages == 1:
            return True
        self._since, self._pages = self.now, 0
        return False

    def interrupted(self) -> None:
        """The connection was lost, and what it would have told: there is one more pass."""
        self._pages += 1
