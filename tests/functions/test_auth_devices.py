"""Refreshing, checking, signing out: which tokens live."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from functions.auth.handler import auth
from local.ports import free_port
from local.stack import Stack
from shared import keys, tokens
from shared.call import Caller
from shared.collections import DEVICES, Document
from shared.ids import new_id
from shared.settings import settings
from shared.stores import database, redis_client
from tests.functions.conftest import Set
from tests.functions.signing import anywhere, call, event, owner, registered, said
from tests.soft import soft

DAY = 86_400_000


def refresh(made: dict[str, Any]) -> Any:
    return call("auth.refresh", refresh_token=made["refresh_token"])


def use(made: dict[str, Any]) -> bool:
    """Shows the access token to a connector that knows nothing."""
    access = tokens.verifier().access(made["access_token"])
    shown = {"generation": access.generation, "issued": access.issued}
    alive: bool = call("session.check", None, owner(made), **shown)["alive"]
    return alive


def generation(made: dict[str, Any]) -> int:
    access = tokens.verifier().access(made["access_token"])
    assert tokens.verifier().refresh(made["refresh_token"]).generation == access.generation
    return access.generation


def device(made: dict[str, Any]) -> Document:
    found = database()[DEVICES].find_one({"_id": owner(made).device})
    assert found is not None
    return found


def passes(made: dict[str, Any], seconds: float) -> None:
    """So much time passes for what was spent."""
    for spent, at in device(made).get("spent", {}).items():
        earlier = at - timedelta(seconds=seconds)
        database()[DEVICES].update_one(
            {"_id": owner(made).device}, {"$set": {f"spent.{spent}": earlier}}
        )


@pytest.fixture
def first(stores: Stack, name: str) -> dict[str, Any]:
    return registered(name, anywhere())


def test_a_lost_answer_is_asked_for_again(first: dict[str, Any]) -> None:
    for _ in range(3):
        again = refresh(first)
        passes(first, 3600)
        assert generation(again) == 2
    assert generation(refresh(again)) == 3
    assert use(again)


def test_two_tabs_at_once(first: dict[str, Any]) -> None:
    one = refresh(first)
    assert use(one)
    passes(first, 9)
    other = refresh(first)
    assert (generation(one), generation(other)) == (2, 2)
    assert use(other)
    assert generation(refresh(one)) == 3


@pytest.mark.parametrize("used", ["shown", "refreshed"])
def test_a_token_used_again_when_its_successor_was_is_a_copy(
    first: dict[str, Any], used: str
) -> None:
    second = refresh(first)
    assert use(second) if used == "shown" else generation(refresh(second)) == 3
    passes(first, 11)
    assert said(refresh(first)) == "unauthenticated"
    assert said(refresh(second)) == "unauthenticated"
    assert not use(second)
    assert redis_client().get(soft(keys.device(owner(first).device or ""))) == b"0"


def test_what_the_old_access_token_does_is_no_use_of_the_new_ones(first: dict[str, Any]) -> None:
    refresh(first)
    assert use(first)
    passes(first, 3600)
    assert generation(refresh(first)) == 2


def test_tabs_that_refresh_at_the_same_moment(first: dict[str, Any]) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(refresh, [first] * 24))
    assert {generation(each) for each in made} == {2}
    assert all(map(use, made))


def test_anothers_device_is_not_refreshed(first: dict[str, Any]) -> None:
    access = tokens.verifier().access(first["access_token"])
    forged = tokens.issuer().refresh(new_id(), access.device, 1, 60)
    assert said(call("auth.refresh", refresh_token=forged)) == "unauthenticated"
    assert use(first)


def test_an_access_token_does_not_refresh(first: dict[str, Any]) -> None:
    wrong = call("auth.refresh", refresh_token=first["access_token"])
    assert said(wrong) == "unauthenticated"
    assert use(first)


@pytest.mark.parametrize(
    ("created", "refreshed", "outcome"),
    [
        (179.9, 0, "ok"),
        (180, 0, "token_expired"),
        (100, 29.9, "ok"),
        (100, 30, "token_expired"),
    ],
)
def test_a_sign_in_ends(
    first: dict[str, Any], created: float, refreshed: float, outcome: str
) -> None:
    now = time.time() * 1000
    then = {"created_at": int(now - created * DAY), "refreshed_at": int(now - refreshed * DAY)}
    database()[DEVICES].update_one({"_id": owner(first).device}, {"$set": then})
    again = refresh(first)
    assert said(again) == outcome
    if outcome == "ok":
        token = tokens.verifier()._claims(again["refresh_token"], tokens.REFRESH, ["exp"])
        left = min(30, 180 - created)
        assert token["exp"] == pytest.approx(now / 1000 + left * 86400, abs=5)
        assert device(first)["expires"].timestamp() == pytest.approx(token["exp"] + 965, abs=5)


def test_the_store_forgets_a_dead_device_when_its_tokens_are_over(first: dict[str, Any]) -> None:
    assert call("auth.logout", None, owner(first)) == {}
    left = device(first)["expires"] - datetime.now(UTC)
    assert left.total_seconds() == pytest.approx(965, abs=5)
    assert device(first)["signed_out"]
    assert 900 < redis_client().ttl(soft(keys.device(owner(first).device or ""))) <= 965
    indexes = database()[DEVICES].index_information()
    assert indexes["expires"]["expireAfterSeconds"] == 0


def test_check_tells_redis(first: dict[str, Any]) -> None:
    key = soft(keys.device(owner(first).device or ""))
    assert use(first)
    assert redis_client().get(key) == b"1:1"
    assert 0 < redis_client().ttl(key) <= settings().access_token_ttl
    second = refresh(first)
    assert device(first)["used"] == 1
    assert use(second)
    assert (redis_client().get(key), device(first)["used"]) == (b"1:2", 2)
    assert use(first)  # which is older
    assert redis_client().get(key) == b"1:2"
    redis_client().delete(key)
    assert use(first)
    assert (redis_client().get(key), device(first)["used"]) == (b"1:2", 2)


def test_a_check_of_many_at_once(stores: Stack, name: str) -> None:
    made = [registered(f"{name}{number}", anywhere()) for number in range(4)]
    call("auth.logout", None, owner(made[1]))
    stranger = owner(made[2])._replace(uid=owner(made[3]).uid)
    callers = [owner(each) for each in made]
    callers += [stranger, Caller("somebody1", new_id(), "s"), Caller("somebody1", None, "s")]
    asked = [event("session.check", None, who, generation=1, issued=1) for who in callers]
    alive = [answer["alive"] for answer in auth.answer(asked)]
    assert alive == [True, False, True, True, False, False, False]
    assert redis_client().get(soft(keys.device(callers[2].device or ""))) == b"1:1"
    assert redis_client().get(soft(keys.device(callers[5].device or ""))) == b"0"


def test_who_was_signed_out_meanwhile_is_not_alive_again(first: dict[str, Any]) -> None:
    """A check that read MongoDB just before the device was signed out."""
    redis_client().set(soft(keys.device(owner(first).device or "")), 0, ex=60)
    assert not use(first)
    assert redis_client().get(soft(keys.device(owner(first).device or ""))) == b"0"


def test_redis_does_not_decide(first: dict[str, Any], configure: Set) -> None:
    second = refresh(first)
    configure(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert use(second)
    assert device(first)["used"] == 2
    # It is not signed out until everybody who looks knows; MongoDB does, and it may be repeated.
    assert said(call("auth.logout", None, owner(first))) == "unavailable"
    assert not use(second)


def test_signing_out_is_repeated_until_all_know(first: dict[str, Any]) -> None:
    assert use(first)
    change = {"$set": {"signed_out": True}}
    database()[DEVICES].update_one({"_id": owner(first).device}, change)
    assert said(refresh(first)) == "unauthenticated"
    assert redis_client().get(soft(keys.device(owner(first).device or ""))) == b"0"


class Model:
    """What the protocol says of a device's refresh tokens, in the fewest words."""

    def __init__(self) -> None:
        self.present = 1
        self.used = {0}
        self.fresh: set[int] = set()  # spent within the last seconds
        self.dead = False

    def refresh(self, generation: int) -> int | None:
        lost = generation == self.present - 1 and self.present not in self.used
        if self.dead or not (generation == self.present or lost or generation in self.fresh):
            self.dead = True
            return None
        if generation == self.present:
            self.used.add(generation)
            self.fresh.add(generation)
            self.present += 1
        return self.present

    def use(self, generation: int) -> bool:
        if not self.dead:
            self.used.add(generation)
        return not self.dead


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["refresh", "refresh", "lost", "use", "wait"]),
        st.integers(0, 3),  # with which of the newest tokens that anybody holds
    ),
    max_size=14,
)


@examples(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_whatever_happens_tokens_live_as_the_protocol_says(
    stores: Stack, name: str, steps: Sequence[tuple[str, int]]
) -> None:
    model, held = Model(), [registered(f"{name[:10]}{new_id()[:16]}", anywhere())]
    for step, back in steps:
        token = held[max(0, len(held) - 1 - back)]
        match step:
            case "wait":
                passes(held[0], 11)
                model.fresh.clear()
            case "use":
                assert use(token) == model.use(generation(token))
            case _:
                expected, answer = model.refresh(generation(token)), refresh(token)
                assert said(answer) == ("ok" if expected else "unauthenticated")
                if expected:
                    assert generation(answer) == expected
                    if step == "refresh":
                        held.append(answer)
    if not model.dead:
        passes(held[0], 11)
        model.fresh.clear()
        newest = max(held, key=generation)
        assert said(refresh(newest)) == ("ok" if model.refresh(generation(newest)) else "x")


@examples(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.sampled_from(["lost", "got", "use", "tabs", "wait"]), max_size=14))
def test_an_honest_device_stays_signed_in(stores: Stack, name: str, steps: Sequence[str]) -> None:
    """Answers are lost, tabs that share their tokens refresh at once, and time passes."""
    held = registered(f"{name[:10]}{new_id()[:16]}", anywhere())
    for step in steps:
        match step:
            case "lost":
                assert said(refresh(held)) == "ok"
            case "got":
                held = refresh(held)
            case "tabs":
                with ThreadPoolExecutor(3) as pool:
                    held = list(pool.map(refresh, [held] * 3))[1]
            case "use":
                assert use(held)
            case "wait":
                passes(held, 11)
        assert said(held) == "ok"
    assert use(held)
