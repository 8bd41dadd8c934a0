"""`hello.say`: put your own methods in its place, and the name that stack.yml has in `Function`."""

from typing import Any

from pydantic import BaseModel, Field

from shared.call import Call
from shared.function import Function

fn = Function("hello")


class Say(BaseModel):
    name: str = Field(min_length=1, max_length=100)


@fn.method("hello.say")
def say(call: Call[Say]) -> dict[str, Any]:
    """`text`, and `uid` of who asked."""
    return {"text": f"Hello, {call.params.name}!", "uid": call.uid}


start = fn.start
handle = fn.handle
ready = fn.ready
