"""Run these with `.venv/bin/python -m pytest` and this folder's name."""

import pytest

from shared.errors import CallError
from shared.trial import ask

from .handler import fn


def test_it_greets_whoever_asks() -> None:
    assert ask(fn, "hello.say", uid="ada", name="Ada") == {"text": "Hello, Ada!", "uid": "ada"}


def test_a_name_is_needed() -> None:
    with pytest.raises(CallError) as refused:
        ask(fn, "hello.say", name="")
    assert refused.value.reason == "invalid_params"


def test_strangers_are_not_greeted() -> None:
    with pytest.raises(CallError) as refused:
        ask(fn, "hello.say", uid=None, name="Ada")
    assert refused.value.reason == "unauthenticated"
