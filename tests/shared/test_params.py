"""Types of params: what they take, and what is said of what they do not."""

from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from local.layout import Layout
from shared import conversation
from shared.params import Conv, Id, Params, at_most, invalid_model
from shared.settings import settings

ONE, TWO = "a" * 8, "b" * 40
NAMES = [
    *(f"d:{ONE}:{TWO}", f"d:{ONE}:{ONE}", f"g:{ONE}", f"u:{TWO}"),
    *(f"d:{TWO}:{ONE}", f"d:{ONE}", f"d:{ONE}:{TWO}:{TWO}", f"d:{ONE}:", f"d::{ONE}"),
    *(f"g:{ONE}:{TWO}", f"g:{ONE[1:]}", f"g:{TWO}b", "g:", "u", "", f"x:{ONE}", f"G:{ONE}", ONE),
    *(f"g:{ONE}\n", f"\ng:{ONE}", f"d:{ONE}:{TWO}\n", f" u:{ONE}", f"u:{ONE}\0", f"u:{ONE[:7]}A"),
    *(f"g:{ONE[:7]}é", f"g:{'１' * 8}", f"d:{ONE}\n:{TWO}", f"a:{ONE}"),
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_conversations_name_is_what_is_parsed(name: str) -> None:
    parsed = conversation.parse(name)
    try:
        assert TypeAdapter(Conv).validate_python(name, strict=True) == name
    except ValidationError:
        assert parsed is None
    else:
        assert parsed is not None


def test_there_are_both_kinds_of_names() -> None:
    assert [name for name in NAMES if conversation.parse(name)] == NAMES[:4]


def test_the_schema_says_how_a_name_looks() -> None:
    schema = TypeAdapter(Conv).json_schema()
    assert schema == {"type": "string", "pattern": conversation.PATTERN}


class People(Params):
    uids: list[Id]


@pytest.mark.parametrize("more", [-1, 0, 1, 1000])
def test_an_error_names_the_first_places(layout: Layout, more: int) -> None:
    limit = settings().param_errors_limit
    with pytest.raises(ValidationError) as invalid:
        People.model_validate({"uids": ["no"] * (limit + more)})
    errors = invalid_model(invalid.value, "params").data["errors"]
    assert [error["loc"] for error in errors] == [
        ["params", "uids", number] for number in range(limit + min(more, 0))
    ]


def test_a_list_beyond_its_limit_is_not_looked_into(layout: Layout) -> None:
    limit = settings().group_uids_limit
    people = TypeAdapter(Annotated[list[Id], at_most("group_uids_limit")])
    assert people.validate_python([ONE] * limit, strict=True) == [ONE] * limit
    with pytest.raises(ValidationError) as invalid:
        people.validate_python(["no"] * (limit + 1), strict=True)
    assert [error["type"] for error in invalid.value.errors()] == ["too_long"]
    with pytest.raises(ValidationError):
        people.validate_python("a" * (limit + 1), strict=True)
