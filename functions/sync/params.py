"""What the methods take."""

from typing import Annotated

from pydantic import Field, model_validator

from shared.pages import Cursor, Limit, up_to
from shared.params import Conv, Params, Seq


class ReadHistory(Params):
    conv: Conv
    after: Seq | None = None
    before: Seq | None = None
    limit: Annotated[int, Field(ge=1), up_to("history_limit")] = 50

    @model_validator(mode="after")
    def _one_direction(self) -> "ReadHistory":
        if self.after is not None and self.before is not None:
            raise ValueError("give either after or before")
        return self


class ListConversations(Params):
    changed_since: int | None = Field(None, ge=0)
    after: Cursor | None = None
    limit: Limit = 200


class Read(Params):
    conv: Conv
    seq: Seq


class Update(Params):
    conv: Conv
    pinned: bool | None = None
    muted: bool | None = None
    hidden: bool | None = None


class Typing(Params):
    conv: Conv
