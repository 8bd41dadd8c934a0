"""Calling a function's methods in its own tests, as somebody signed in would, without a server.

    assert ask(fn, "hello.say", name="Ada") == {"text": "Hello, Ada!", "uid": "somebody"}

What a method does with stores it does with real ones: the fixture `stores` starts them.
"""

from typing import Any

from shared.call import Caller
from shared.doors import Event
from shared.errors import CallError
from shared.function import Function


def ask(function: Function, method: str, *, uid: str | None = "somebody", **params: Any) -> Any:
    """The result. `uid` is who calls, None for nobody. Raises the caller's `CallError`."""
    caller = Caller(uid, "trial", None)
    answer = function.answer([Event(1, method, params, caller)])[0]
    if isinstance(answer, CallError):
        raise answer
    return answer
