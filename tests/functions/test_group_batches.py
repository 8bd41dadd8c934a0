"""Commands on groups in a batch: who waits for whom, and what is read before somebody may."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pymongo.collection import Collection

from functions.group import batch, commands
from functions.group.params import Command, CommandOnPeople, Nickname, SetRole
from local.stack import Stack
from shared.call import Call, Caller
from shared.ids import new_id
from shared.settings import settings
from tests.functions import params
from tests.functions.calls import Asked, ask, outcome
from tests.functions.worlds import There, function, methods, world

WAIT = 20  # seconds until a test that hangs fails


@pytest.fixture(scope="module")
def people(stores: Stack) -> Sequence[There]:
    return world()


def nickname(uid: str, gid: str) -> Call[Nickname]:
    cid = new_id()
    return Call("group.nickname", Nickname(gid=gid, cid=cid, nickname="n"), Caller(uid), cid)


def test_groups_do_not_wait_for_each_other(people: Sequence[There]) -> None:
    """Each command waits for all others: so they can only be done side by side."""
    meeting = threading.Barrier(len(people), timeout=WAIT)

    def meet(scene: Any, call: Any) -> int:
        meeting.wait()
        return len(scene.members)

    calls = [nickname(here["me"], here["gid"]) for here in people]
    assert batch.run(calls, meet) == [1] * len(people)


def test_one_persons_commands_wait_for_each_other(people: Sequence[There]) -> None:
    """On whatever groups they are, and in their order; another person's do not wait for them."""
    me = people[0]["me"]
    done: list[str] = []
    busy = threading.Lock()
    other_is_done = threading.Event()

    def act(scene: Any, call: Any) -> str:
        if call.uid != me:
            other_is_done.set()
            return "other"
        assert busy.acquire(blocking=False)
        try:
            assert other_is_done.wait(WAIT)
            done.append(scene.group["gid"])
        finally:
            busy.release()
        return "mine"

    mine = [nickname(me, here["gid"]) for here in people[:-1]]
    last = people[-1]
    found = batch.run([*mine, nickname(last["me"], last["gid"])], act)
    assert found == ["mine"] * len(mine) + ["other"]
    assert done == [call.params.gid for call in mine]


def test_commands_on_one_group_share_a_scene(people: Sequence[There]) -> None:
    scenes: list[int] = []
    here = people[0]

    def act(scene: Any, call: Any) -> int:
        scenes.append(id(scene))
        return 1

    callers = [here["me"], here["other"], here["third"]]
    assert batch.run([nickname(uid, here["gid"]) for uid in callers], act) == [1, 1, 1]
    assert len(scenes) == 3
    assert len(set(scenes)) == 1


def test_what_breaks_in_a_scene_breaks_for_who_broke_it(people: Sequence[There]) -> None:
    here = people[0]

    def act(scene: Any, call: Any) -> int:
        return 1 // int(call.uid != here["other"])

    callers = [here["me"], here["other"], here["third"]]
    found = batch.run([nickname(uid, here["gid"]) for uid in callers], act)
    assert [getattr(each, "reason", each) for each in found] == [1, "internal", 1]


def test_who_gets_a_right_uses_it_in_the_same_batch(stores: Stack) -> None:
    """What was not read of the people before, since it was not allowed, is read then."""
    here = world()[0]
    acts: dict[str, Any] = {
        "group.set_role": commands.set_role,
        "group.remove": commands.remove,
    }
    gid, cids = here["gid"], [new_id() for _ in range(3)]
    remove = CommandOnPeople(gid=gid, cid=cids[1], uids=[here["third"]])
    promote = SetRole(gid=gid, cid=cids[2], uid=here["other"], role="admin")
    calls: list[Call[Any]] = [
        Call("group.remove", remove.model_copy(update={"cid": cids[0]}), Caller(here["other"])),
        Call("group.set_role", promote, Caller(here["me"])),
        Call("group.remove", remove, Caller(here["other"])),
    ]
    for call in calls:
        call.cid = call.params.cid
    refused, promoted, removed = batch.run(
        calls, lambda scene, call: acts[call.method](scene, call)
    )
    assert refused.reason == "forbidden"
    assert promoted == {}
    assert removed == {"results": [{"uid": here["third"], "state": "removed"}]}


def test_a_dismissed_group_is_left_in_the_same_batch(stores: Stack) -> None:
    """As in one batch after the other: who leaves finds what the end made of them."""
    here = world()[0]
    acts: dict[str, Any] = {"group.dismiss": commands.dismiss, "group.leave": commands.leave}
    asked = [("group.dismiss", "me"), ("group.leave", "other"), ("group.leave", "third")]
    asked += [("group.leave", "me"), ("group.leave", "other")]
    calls = [
        Call(method, Command(gid=here["gid"], cid=cid), Caller(here[who]), cid)
        for (method, who), cid in zip(asked, "abcde", strict=True)
    ]
    ended, *left, again = batch.run(
        calls, lambda scene, call: acts[call.method](scene, call), ended=True
    )
    assert ended == {}
    assert left == [{"state": "left"}] * 3
    assert again.reason == "not_a_member"


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every text that the document store was asked to find meanwhile, in parts."""
    texts: set[str] = set()

    def note(value: Any) -> None:
        if isinstance(value, str):
            texts.update(value.split(" "))
        elif isinstance(value, Mapping):
            for each in value.values():
                note(each)
        elif isinstance(value, list):
            for each in value:
                note(each)

    for name in ("find", "find_one", "aggregate"):
        real = getattr(Collection, name)

        def spy(self: Any, *args: Any, real: Any = real, **options: Any) -> Any:
            note([*args, *options.values()])
            return real(self, *args, **options)

        monkeypatch.setattr(Collection, name, spy)
    return texts


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_of_a_strangers_call_no_person_is_read(
    people: Sequence[There], asked_for: set[str], name: str, method: str
) -> None:
    """Of those who are named beside a group: only the group, and the caller in it."""
    uids = [new_id() for _ in range(3)]
    there_is = dict(people[0]) | {"uid": uids[0], "uids": uids, "members": uids}
    asked = function(name).methods[method]
    wide = params.most(asked, there_is)[0]
    if "gid" not in wide or not wide.keys() & {"uid", "uids", "members"}:
        return
    for caller in (new_id(), people[0]["other"]):
        (answer,) = ask(function(name), [Asked(method, wide, caller)])
        allowed = outcome(answer).code == 0
        assert allowed or not asked_for & set(uids)
    assert people[0]["gid"] in asked_for


@pytest.mark.parametrize(("name", "method"), list(methods()))
def test_lists_of_people_have_a_limit(
    people: Sequence[There], asked_for: set[str], name: str, method: str
) -> None:
    """A list beyond the limit is refused before anything is read; one at the limit is not."""
    asked = function(name).methods[method]
    here = people[0]
    wide = params.most(asked, here)[-1]
    lists = [each for each in wide if isinstance(here.get(each), list)]
    for each in lists:
        limits = (50, 200, settings().group_uids_limit)
        limit = next(n for n in limits if not params.fits(asked, wide | {each: _uids(n + 1)}))
        beyond = Asked(method, wide | {each: _uids(limit + 1)}, here["me"])
        asked_for.clear()
        (answer,) = ask(function(name), [beyond])
        assert outcome(answer).reason == "invalid_params"
        assert asked_for == set()
        assert params.fits(asked, wide | {each: _uids(limit)})


def _uids(count: int) -> list[str]:
    return ["a" * 8] * count
