"""The rules of two people, all of them: every action in every standing they can be in."""

import itertools
from typing import get_args

import pytest

from functions.friend.rules import (
    ASKED,
    BOTH,
    FRIENDS,
    NOTHING,
    SHUNNED,
    STANDINGS,
    Action,
    Policy,
    Standing,
    Step,
    step,
)
from shared.errors import CallError, Reason

ACTIONS: tuple[Action, ...] = get_args(Action)
POLICIES: tuple[Policy, ...] = get_args(Policy)
CASES = list(itertools.product(ACTIONS, STANDINGS, POLICIES))


def outcome(action: Action, present: Standing, policy: Policy = "approve") -> Step | Reason:
    try:
        return step(action, present, policy)
    except CallError as refusal:
        return refusal.reason


def turned(standing: Standing) -> Standing:
    return standing[1], standing[0]


@pytest.mark.parametrize(("action", "present", "policy"), CASES)
def test_every_step_leads_to_a_standing(action: Action, present: Standing, policy: Policy) -> None:
    found = outcome(action, present, policy)
    if isinstance(found, Reason):
        return
    assert found.standing in STANDINGS
    assert turned(found.standing) in STANDINGS
    # Everyone whose state changes is told, and who is told anything but `updated` has changed.
    changed = [before != after for before, after in zip(present, found.standing, strict=True)]
    if action == "update":
        assert (changed, found.mine, found.theirs) == ([False, False], "updated", None)
    else:
        assert changed == [found.mine is not None, found.theirs is not None]


@pytest.mark.parametrize(("action", "present", "policy"), CASES)
def test_nobody_changes_what_is_the_others_to_change(
    action: Action, present: Standing, policy: Policy
) -> None:
    found = outcome(action, present, policy)
    if isinstance(found, Step):
        assert (present[1] == "blocked") == (found.standing[1] == "blocked")
        if found.standing == FRIENDS != present:
            assert present[1] == "outgoing" or policy == "open"


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "request"])
def test_a_block_by_the_other_makes_no_difference(action: Action) -> None:
    """What one sees of a step is the same whether the other blocks them or not."""
    for without, with_ in ((NOTHING, SHUNNED), (("blocked", "none"), BOTH)):
        one, other = outcome(action, without), outcome(action, with_)
        if isinstance(one, Step) and isinstance(other, Step):
            assert (one.standing[0], one.mine) == (other.standing[0], other.mine)
        else:
            assert one == other


def test_requests_follow_the_policy_of_the_other() -> None:
    found = {policy: outcome("request", NOTHING, policy) for policy in POLICIES}
    assert found == {
        "approve": Step(ASKED, "requested", "requested"),
        "open": Step(FRIENDS, "accepted", "accepted"),
        "nobody": Reason.FORBIDDEN,
    }
    for present in STANDINGS[1:]:
        assert len({repr(outcome("request", present, policy)) for policy in POLICIES}) == 1


def test_a_block_is_told_as_an_end_to_the_other() -> None:
    told = {present: step("block", present).theirs for present in STANDINGS}
    ended = {present for present in STANDINGS if present[1] not in ("none", "blocked")}
    assert {present for present, event in told.items() if event} == ended
    assert set(told.values()) == {None, "removed"}


def test_all_standings_can_be_reached() -> None:
    reached, new = set(), {NOTHING}
    while new:
        reached |= new
        steps = (outcome(action, present) for action in ACTIONS for present in reached)
        found = {each.standing for each in steps if isinstance(each, Step)}
        new = (found | {turned(each) for each in found}) - reached
    assert reached == set(STANDINGS)
