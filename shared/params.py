"""Types of params that methods share. Params are strict: a number in quotes is not a number."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from shared import conversation, ids
from shared.errors import CallError, Reason
from shared.settings import settings


def _named(conv: str) -> str:
    if conversation.parse(conv) is None:
        raise PydanticCustomError("conversation", "not the name of a conversation")
    return conv


def at_most(limit: str) -> BeforeValidator:
    """A list of no more items than this setting says, which are looked at only then."""

    def bounded(value: Any) -> Any:
        most = getattr(settings(), limit)
        if isinstance(value, list) and len(value) > most:
            raise PydanticCustomError("too_long", "at most {most}", {"most": most})
        return value

    return BeforeValidator(bounded)


Id = Annotated[str, StringConstraints(pattern=ids.PATTERN)]
Cid = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Conv = Annotated[
    str,
    AfterValidator(_named),
    WithJsonSchema({"type": "string", "pattern": conversation.PATTERN}),
]
Seq = Annotated[int, Field(ge=0, le=2**53)]


# What an app keeps with a person, a group or a friend, and the server does not look into.
Ext = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=20),
]


class Params(BaseModel):
    """What a method takes. Unknown names are ignored, so that clients may be newer."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class NoParams(Params):
    """A method that takes nothing."""


def invalid_model(error: ValidationError, *prefix: str) -> CallError:
    """An `invalid_params` that says where the model did not fit, in the first places of many;
    `prefix` precedes each place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    errors = [
        {"loc": [*prefix, *each["loc"]], "msg": each["msg"], "type": each["type"]}
        for each in found[: settings().param_errors_limit]
    ]
    return CallError(Reason.INVALID_PARAMS, errors=errors)
