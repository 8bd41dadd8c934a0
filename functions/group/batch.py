"""Running commands: those on the same group at the same time share a scene and its one write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.call import Call
from shared.changes import Change
from shared.collections import Document
from shared.combining import Combiner
from shared.errors import CallError, Reason
from shared.groups import groups
from shared.members import busy
from shared.settings import settings

from .scene import NextScene, Scene

_SHARES = 64  # groups of the same share wait for each other
_SCENE = 500  # commands in one scene

GroupCall = Call[Any]
Act = Callable[[Scene, GroupCall], Any]
Make = Callable[[GroupCall, str], Document]


@dataclass(frozen=True, slots=True)
class Turn:
    """A command on its way. `enters` is whether people may become members by it; `ended` is whether
    it is for dismissed groups too; `make` gives the document of a group that is not there."""

    gid: str
    call: GroupCall
    act: Act
    enters: bool
    ended: bool
    make: Make | None

    def fits(self, group: Document) -> bool:
        """Whether such a group takes the command."""
        return not group["dismissed"] or self.ended or self.make is not None

    def people(self) -> list[str]:
        """Whom the command may be about."""
        params = self.call.params
        several = getattr(params, "uids", None) or getattr(params, "members", None) or []
        one = getattr(params, "uid", None)
        return [self.call.uid, *several, *([one] if one is not None else [])]

    def absent(self) -> CallError:
        """What is said of a group that is not there: the same as to strangers of one that is."""
        for_strangers = self.call.method in ("group.join", "group.accept", "group.decline")
        return CallError(Reason.NOT_FOUND if for_strangers else Reason.NOT_A_MEMBER)


def run(
    calls: Sequence[GroupCall],
    act: Act,
    *,
    enters: bool = False,
    ended: bool = False,
    gid: Callable[[GroupCall], str] = lambda call: str(call.params.gid),
    make: Make | None = None,
) -> list[Any]:
    """The result of each command, or its `CallError`."""
    answers: list[Any] = [None] * len(calls)
    turns: dict[str, dict[int, Turn]] = {}
    for index, call in enumerate(calls):
        name = gid(call)
        turns.setdefault(name, {})[index] = Turn(name, call, act, enters, ended, make)
    for name, own in turns.items():
        for index, answer in zip(own, _share(name).run(list(own.values())), strict=True):
            answers[index] = answer
    return answers


def _share(gid: str) -> Combiner[Turn, Any]:
    return _shares()[hash(gid) % _SHARES]


@cache
def _shares() -> list[Combiner[Turn, Any]]:
    return [Combiner(_play_all, _SCENE) for _ in range(_SHARES)]


def _play_all(turns: Sequence[Turn]) -> list[Any]:
    """Scene after scene, until all had their turn; those on one group in order."""
    answers: list[Any] = [None] * len(turns)
    waiting: dict[str, list[int]] = {}
    for index, turn in enumerate(turns):
        waiting.setdefault(turn.gid, []).append(index)
    for gid, indexes in waiting.items():
        while indexes:
            played = _Scenes(gid, [turns[index] for index in indexes]).play()
            for index, answer in zip(indexes, played, strict=False):
                answers[index] = answer
            indexes = indexes[len(played) :]
    return answers


class _Scenes:
    """Commands on one group, played in one scene, or as many tries as it takes to write it."""

    def __init__(self, gid: str, turns: Sequence[Turn]) -> None:
        self._gid = gid
        self._turns = turns
        self._keys = [turn.call.key for turn in turns]
        self._answers: list[Any] = []
        self._kept: dict[str, Any] = {}

    def play(self) -> list[Any]:
        """The answers of the first commands: of those that had their turn, at least one."""
        try:
            groups().change(self._gid, self._keys, self._plan)
            groups().keep(self._kept)
        except CallError as refusal:
            return [refusal] * len(self._turns)
        return self._answers

    def _plan(self, present: Document | None, known: dict[str, Any]) -> Change | None:
        self._answers, self._kept = [], {}
        scene = self._scene(present)
        for key, turn in zip(self._keys, self._turns, strict=True):
            if key in known:
                self._answers.append(known[key])
            elif scene is not None and key in scene.results:
                self._answers.append(scene.results[key])
            elif scene is None or not turn.fits(scene.group):
                self._answers.append(turn.absent())
            elif not self._play_one(scene, key, turn):
                break
        if scene is None:
            return None
        change = scene.change()
        if change is None:
            self._kept = scene.results
        return change

    def _scene(self, present: Document | None) -> Scene | None:
        """None for a group that is not there, or not for any of these commands."""
        first = self._turns[0]
        if present is None and first.make is not None:
            present = first.make(first.call, self._gid)
        if present is None or not any(turn.fits(present) for turn in self._turns):
            return None
        people = {uid for turn in self._turns for uid in turn.people()}
        entering = {uid for turn in self._turns if turn.enters for uid in turn.people()}
        crowded = busy(entering, settings().groups_limit)
        return Scene(present, groups().members(self._gid, people), crowded, settings())

    def _play_one(self, scene: Scene, key: str, turn: Turn) -> bool:
        """Whether the command could have its turn in this scene."""
        try:
            result = turn.act(scene, turn.call)
        except CallError as refusal:
            self._answers.append(refusal)
        except NextScene:
            return False
        else:
            scene.results[key] = result
            self._answers.append(result)
        return True
