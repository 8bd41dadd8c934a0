"""Running commands: those on the same group at the same time share a scene and its one write; those
on different groups run side by side, but one person's wait for each other.

Nothing is read of the people a command names before its caller is known to have the right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from shared import guarding
from shared.call import Call
from shared.changes import Change
from shared.collections import Document
from shared.combining import Combiner
from shared.errors import CallError, Reason
from shared.groups import groups
from shared.members import PRESENT, busy
from shared.settings import settings

from . import rules
from .scene import NextScene, Scene

_SCENE = 500  # commands in one scene

GroupCall = Call[Any]
Act = Callable[[Scene, GroupCall], Any]
Make = Callable[[GroupCall, str], Document]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A command on its way. `enters` is whether people may become members by it; `ended` is whether
    it is for dismissed groups too; `make` gives the document of a group that is not there."""

    gid: str
    call: GroupCall
    act: Act
    enters: bool
    ended: bool
    make: Make | None

    @property
    def request_id(self) -> str:
        return self.call.request_id

    def fits(self, group: Document) -> bool:
        """Whether such a group takes the command."""
        return not group["dismissed"] or self.ended or self.make is not None

    def people(self) -> list[str]:
        """Whom, but the caller, the command may be about."""
        params = self.call.params
        several = getattr(params, "uids", None) or getattr(params, "members", None) or []
        one = getattr(params, "uid", None)
        return [*several, *([one] if one is not None else [])]

    def refusal(self, group: Document, members: Mapping[str, Document]) -> CallError | None:
        """Why the caller may not give this command, where it is about people, as far as that
        follows from the group and from what the caller is in it."""
        method, uid = self.call.method, self.call.uid
        if method not in rules.RIGHTS or not self.people():
            return None
        is_member = members.get(uid, {}).get("state") == PRESENT
        try:
            rules.require(method, group, uid, is_member)
        except CallError as refusal:
            return refusal
        return None

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
    found = guarding.side_by_side(
        [list(own.values()) for own in turns.values()],
        lambda own: own[0].call.uid,
        lambda own: _combiner(own[0].gid).run(own),
        calls[0].method,
    )
    for own, outcome in zip(turns.values(), found, strict=True):
        several = [outcome] * len(own) if isinstance(outcome, CallError) else outcome
        for index, answer in zip(own, several, strict=True):
            answers[index] = answer
    return answers


_combiners: WeakValueDictionary[str, Combiner[Turn, Any]] = WeakValueDictionary()
_lock = Lock()


def _combiner(gid: str) -> Combiner[Turn, Any]:
    """Where those meet who have commands on this group now."""
    with _lock:
        found = _combiners.get(gid)
        if found is None:
            _combiners[gid] = found = Combiner(_play_all, _SCENE)
        return found


def _play_all(turns: Sequence[Turn]) -> list[Any]:
    return guarding.together(turns, _play_on, turns[0].call.method)


def _play_on(turns: Sequence[Turn]) -> list[Any]:
    """Scene after scene, until all had their turn, in order."""
    answers: list[Any] = []
    while len(answers) < len(turns):
        answers += _Scenes(turns[0].gid, turns[len(answers) :]).play()
    return answers


class _Scenes:
    """Commands on one group, played in one scene, or as many tries as it takes to write it."""

    def __init__(self, gid: str, turns: Sequence[Turn]) -> None:
        self._gid = gid
        self._turns = turns
        self._keys = [turn.call.key for turn in turns]
        self._answers: list[Any] = []
        self._kept: dict[str, Any] = {}
        self._refused: set[Turn] = set()  # nothing was read of their people

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
        asked = zip(self._keys, self._turns, strict=True)
        scene = self._scene(present, [turn for key, turn in asked if key not in known])
        was_dismissed = scene is not None and scene.group["dismissed"]
        for key, turn in zip(self._keys, self._turns, strict=True):
            if key in known:
                self._answers.append(known[key])
            elif scene is not None and key in scene.results:  # the same command twice
                self._answers.append(scene.results[key])
            elif scene is None or not turn.fits(scene.group):
                self._answers.append(turn.absent())
            elif scene.group["dismissed"] != was_dismissed:
                break  # what follows finds everybody as the end of the group left them
            elif not self._play_one(scene, key, turn):
                break
        if scene is None:
            return None
        change = scene.change()
        if change is None:
            self._kept = scene.results
        return change

    def _scene(self, present: Document | None, turns: Sequence[Turn]) -> Scene | None:
        """The stage for these commands; None for a group that is not there, or not for any of
        them."""
        first = self._turns[0]
        if present is None and first.make is not None:
            present = first.make(first.call, self._gid)
        turns = [turn for turn in turns if present is not None and turn.fits(present)]
        if present is None or not turns:
            return None
        callers = {turn.call.uid for turn in turns}
        members = groups().members(self._gid, callers)
        self._refused = {turn for turn in turns if turn.refusal(present, members)}
        allowed = [turn for turn in turns if turn not in self._refused]
        people = {uid for turn in allowed for uid in turn.people()}
        members |= groups().members(self._gid, people - callers)
        entering = {
            uid for turn in allowed if turn.enters for uid in (turn.call.uid, *turn.people())
        }
        return Scene(present, members, busy(entering, settings().groups_limit), settings())

    def _play_one(self, scene: Scene, key: str, turn: Turn) -> bool:
        """Whether the command could have its turn in this scene."""
        try:
            if turn in self._refused:
                # Unless it is allowed since a command before it: then its people are to be read.
                raise turn.refusal(scene.group, scene.members) or NextScene
            result = turn.act(scene, turn.call)
        except CallError as refusal:
            self._answers.append(refusal)
        except NextScene:
            return False
        else:
            scene.results[key] = result
            self._answers.append(result)
        return True
