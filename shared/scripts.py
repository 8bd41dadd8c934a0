"""Lua scripts in Redis pipelines, without a round trip to ask whether Redis knows them; and how
many keys a command may name, so that none holds Redis for long."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from shared.settings import settings

# Removes the mark of the generation where another Redis process made it. Returns this one's id.
MEET = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local mark = redis.call('GET', KEYS[1])
if mark and string.match(mark, ':(%w+)$') ~= run then redis.call('DEL', KEYS[1]) end
return run
"""

T = TypeVar("T")

_known: dict[str, str] = {}  # sha1 → text


class Script:
    """A script that is sent by its hash. `execute` sends its text where Redis forgot it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        _known[self.sha] = text

    def add(self, pipe: Pipeline, key: str | tuple[str, ...], *args: Any) -> None:
        keys = (key,) if isinstance(key, str) else key
        pipe.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)

    def add_whole(self, pipe: Pipeline, keys: tuple[str, ...], *args: Any) -> None:
        """The same with its text, so that it is never refused and sent again: what follows it in
        the pipeline is done after it, whatever Redis forgot."""
        pipe.execute_command("EVAL", self._text, len(keys), *keys, *args)


def batched(items: Iterable[T]) -> Iterator[list[T]]:
    """As many items at a time as one command or script may name keys: Redis does nothing else
    meanwhile, and a list of unknown length would hold it for as long."""
    left = iter(items)
    while part := list(itertools.islice(left, settings().redis_keys_limit)):
        yield part


def execute(pipe: Pipeline, last: tuple[str, ...] = ()) -> list[Any]:
    """Executes a pipeline that may hold scripts, and then the command `last`. Commands that Redis
    refused for an unknown script are sent again, only those, and `last` behind them. Raises the
    first other error."""
    if last:
        pipe.execute_command(*last)
    commands = [command[0] for command in pipe.command_stack]
    answers = pipe.execute(raise_on_error=False)
    refused = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if refused:
        for sha in {commands[index][1] for index in refused}:
            pipe.execute_command("SCRIPT LOAD", _known[sha])
        if last:
            refused.append(len(commands) - 1)
        for index in refused:
            pipe.execute_command(*commands[index])
        again = pipe.execute(raise_on_error=False)[-len(refused) :]
        for index, answer in zip(refused, again, strict=True):
            answers[index] = answer
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            raise answer
    return answers
