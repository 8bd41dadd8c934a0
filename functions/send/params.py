"""What the methods of messages take."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from shared.params import Cid, Conv, Id, Params, Seq, at_most

from .emojis import is_emoji

Ref = Annotated[int, Field(ge=1, le=2**53)]


def _emoji(text: str) -> str:
    if not is_emoji(text):
        raise ValueError("neither one emoji nor the :name: of one of the house")
    return text


Emoji = Annotated[
    str, Field(min_length=1, max_length=64, examples=["👍", ":party:"]), AfterValidator(_emoji)
]


class Source(Params):
    conv: Conv
    seq: Ref


class Send(Params):
    conv: Conv | None = None
    to: Id | None = None
    cid: Cid
    type: str | None = None
    body: dict[str, Any] | None = None
    forward: Source | None = None
    reply_to: Seq | None = Field(None, ge=1)
    mentions: Annotated[list[Id | Literal["@all"]], at_most("mentions_limit")] | None = None

    @model_validator(mode="after")
    def _one_address(self) -> "Send":
        if (self.conv is None) == (self.to is None):
            raise ValueError("give either conv or to")
        return self

    @model_validator(mode="after")
    def _one_content(self) -> "Send":
        given = self.type is not None and self.body is not None
        if given == (self.forward is not None) or (self.type is None) != (self.body is None):
            raise ValueError("give either type and body, or forward")
        return self


class Recall(Params):
    conv: Conv
    ref: Ref
    cid: Cid


class Edit(Recall):
    body: dict[str, Any]


class React(Recall):
    emoji: Emoji
    remove: bool = False
