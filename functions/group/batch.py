"""Running a batch of commands: those on the same group share a scene and its one write."""

from collections.abc import Callable, Sequence
from typing import Any

from shared.call import Call
from shared.changes import Change
from shared.collections import Document
from shared.commands import command_key
from shared.errors import CallError, Reason
from shared.groups import groups
from shared.members import busy
from shared.settings import settings

from .scene import NextScene, Scene

GroupCall = Call[Any]
Act = Callable[[Scene, GroupCall], Any]
Make = Callable[[GroupCall, str], Document]


def run(
    calls: Sequence[GroupCall],
    act: Act,
    *,
    enters: bool = False,
    gid: Callable[[GroupCall], str] = lambda call: str(call.params.gid),
    make: Make | None = None,
) -> list[Any]:
    """The result of each command, or its `CallError`. `enters` is whether people may become
    members by it; `make` gives the document of a group that is not there."""
    answers: list[Any] = [None] * len(calls)
    waiting: dict[str, list[int]] = {}
    for index, call in enumerate(calls):
        waiting.setdefault(gid(call), []).append(index)
    for name, indexes in waiting.items():
        while indexes:
            scenes = _Scenes(name, [calls[index] for index in indexes], act, enters, make)
            for index, answer in zip(indexes, scenes.play(), strict=False):
                answers[index] = answer
            indexes = indexes[scenes.played :]
    return answers


class _Scenes:
    """The commands on one group, played in one scene, or as many tries as it takes to write it."""

    def __init__(
        self, gid: str, calls: Sequence[GroupCall], act: Act, enters: bool, make: Make | None
    ) -> None:
        self._gid = gid
        self._calls = calls
        self._act = act
        self._enters = enters
        self._make = make
        self._keys = [command_key(call.uid, call.method, call.cid or "") for call in calls]
        self._answers: list[Any] = []
        self._kept: dict[str, Any] = {}

    @property
    def played(self) -> int:
        """How many of the commands are answered."""
        return len(self._answers)

    def play(self) -> list[Any]:
        """The answers of the commands that had their turn."""
        try:
            groups().change(self._gid, self._keys, self._plan)
            groups().keep(self._kept)
        except CallError as refusal:
            self._answers = [refusal] * len(self._calls)
        return self._answers

    def _plan(self, present: Document | None, known: dict[str, Any]) -> Change | None:
        self._answers, self._kept = [], {}
        document = present
        if document is None and self._make is not None:
            document = self._make(self._calls[0], self._gid)
        scene = None
        if document is not None and not document["dismissed"]:
            uids = _concerned(self._calls)
            full = busy(uids, settings().groups_limit) if self._enters else ()
            members = groups().members(self._gid, uids)
            scene = Scene(document, members, full, settings())
        for key, call in zip(self._keys, self._calls, strict=True):
            if key in known:
                self._answers.append(known[key])
            elif scene is None:
                self._answers.append(_absent(call))
            elif not self._turn(scene, key, call):
                break
        change = scene.change() if scene is not None else None
        if change is None and scene is not None:
            self._kept = scene.results
        return change

    def _turn(self, scene: Scene, key: str, call: GroupCall) -> bool:
        """Whether the command could have its turn in this scene."""
        try:
            scene.results[key] = result = self._act(scene, call)
            self._answers.append(result)
        except CallError as refusal:
            self._answers.append(refusal)
        except NextScene:
            return False
        return True


def _absent(call: GroupCall) -> CallError:
    """What is said of a group that is not there: the same as to strangers of one that is."""
    open_to_strangers = call.method in ("group.join", "group.accept", "group.decline")
    return CallError(Reason.NOT_FOUND if open_to_strangers else Reason.NOT_A_MEMBER)


def _concerned(calls: Sequence[GroupCall]) -> list[str]:
    """The people whom the commands may be about."""
    uids = [call.uid for call in calls]
    for call in calls:
        params = call.params
        one = getattr(params, "uid", None)
        uids += [one] if one is not None else []
        uids += getattr(params, "uids", None) or getattr(params, "members", None) or []
    return list(dict.fromkeys(uids))
