"""Guessing passwords: what a source may, and that nobody is locked out by another."""

import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from functions.auth.handler import auth
from local.ports import free_port
from local.stack import Stack
from shared import addresses, tokens
from shared.collections import DEVICES, HOMES
from shared.errors import CallError
from shared.settings import settings
from shared.stores import database
from tests.functions.conftest import Set
from tests.functions.signing import (
    PASSWORD,
    WRONG,
    anywhere,
    call,
    event,
    login,
    logins,
    passes,
    registered,
    said,
)

BAD, MANY, LIMITED = "bad_credentials", "too_many_attempts", "rate_limited"


@pytest.mark.parametrize("taken", [True, False], ids=["somebody", "nobody"])
def test_the_wait_doubles_and_the_right_password_waits_too(
    stores: Stack, name: str, taken: bool
) -> None:
    there = anywhere()
    if taken:
        registered(name, anywhere())
    assert logins(name, there, 5) == [BAD] * 5
    for wait in (1, 2, 4, 8, 16, 30, 30):
        refused = call("auth.login", there, username=name, password=PASSWORD)
        assert (said(refused), refused.data["retry_after"]) == (MANY, wait)
        passes(wait - 0.9, there)
        assert login(name, there) == MANY
        passes(0.9, there)
        assert login(name, there) == BAD
    passes(30, there)
    assert login(name, there, PASSWORD) == ("ok" if taken else BAD)


def test_a_try_while_waiting_does_not_extend_the_wait(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    logins(name, there, 5)
    assert Counter(logins(name, there, 50)) == {MANY: 50}
    passes(1, there)
    assert login(name, there, PASSWORD) == "ok"


def test_a_right_password_begins_anew(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    for _ in range(4):
        assert logins(name, there, 4) == [BAD] * 4
        assert login(name, there, PASSWORD) == "ok"


def test_guesses_elsewhere_are_nobodys_concern(stores: Stack, name: str) -> None:
    home, abroad = anywhere(), anywhere()
    registered(name, home)
    for there in (anywhere(), "2001:db8:77::1", None, "nonsense"):
        logins(name, there, 8)
        assert login(name, home, PASSWORD) == "ok"
    assert login(name, abroad, PASSWORD) == "ok"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.250.1.7", "10.250.1.200"),
        ("2001:db8:5:6::1", "2001:db8:5:6:7:8:9:a"),
        ("::ffff:10.250.2.7", "10.250.2.9"),
    ],
)
def test_neighbours_are_one_source(stores: Stack, name: str, one: str, other: str) -> None:
    assert logins(name, one, 5) == [BAD] * 5
    assert login(name, other) == MANY


def test_capitals_and_space_are_the_same_name(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    spelled = [name.upper(), f" {name}", f"{name}\t", name.title(), name.replace("u", "\uff35", 1)]
    assert [login(each, there) for each in spelled] == [BAD] * 5
    assert login(name, there, PASSWORD) == MANY
    assert login(f"{name.upper()} ", anywhere(), PASSWORD) == "ok"


@pytest.mark.parametrize("tail", [":pause", "}", " *", "\n", "\x00", ":failures", ":" + "a" * 32])
def test_what_is_typed_as_a_name_counts_for_that_alone(stores: Stack, name: str, tail: str) -> None:
    there = anywhere()
    registered(name, there)
    logins(f"{name}{tail}x", there, 6)
    assert login(name, there, PASSWORD) == "ok"


def test_at_once_are_no_more_than_in_turn(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    asked = [event("auth.login", there, username=name, password=f"{WRONG}{n}") for n in range(200)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(auth.answer, [asked[start::8] for start in range(8)])
        answers = [said(answer) for part in parts for answer in part]
    # After the free ones another is due after a second, after two more, and so on.
    due = int(math.log2(time.monotonic() - began + 1))
    found = Counter(answers)
    assert found[BAD] + found[MANY] == 200
    assert 5 <= found[BAD] <= 5 + due


def test_many_right_ones_at_once_are_all_let_in(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    asked = [event("auth.login", there, username=name, password=PASSWORD) for _ in range(40)]
    assert [said(answer) for answer in auth.answer(asked)] == ["ok"] * 40


def test_a_source_that_fails_too_often_is_refused(stores: Stack, name: str) -> None:
    there, stranger = anywhere(), f"{name}-stranger"
    registered(stranger, anywhere())
    for number in range(4):
        assert logins(f"{name}{number}", there, 5 if number < 3 else 4) == (
            [BAD] * (5 if number < 3 else 4)
        )
    assert login(f"{name}9", there) == BAD  # the twentieth
    refused = call("auth.login", there, username=stranger, password=PASSWORD)
    assert said(refused) == LIMITED
    assert 290 <= refused.data["retry_after"] <= 300
    assert login(stranger, anywhere(), PASSWORD) == "ok"
    passes(300, there)
    assert login(stranger, there, PASSWORD) == "ok"


def test_a_source_that_fails_at_too_many_names_is_refused(stores: Stack, name: str) -> None:
    there = anywhere()
    for number in range(20):
        assert login(f"{name}{number}", there) == BAD
        passes(100, there)
    refused = call("auth.login", there, username=f"{name}0", password=PASSWORD)
    assert said(refused) == LIMITED
    assert 1590 <= refused.data["retry_after"] <= 1600
    passes(1600, there)
    assert login(f"{name}0", there) == BAD


def test_a_neighbour_who_guesses_keeps_nobody_out_who_is_at_home(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    for number in range(30):
        login(f"{name}{number}", there)
    assert login(f"{name}99", there) == LIMITED
    assert login(name, there) == BAD
    assert login(name, there, PASSWORD) == "ok"


def test_one_is_at_home_where_one_signed_in(stores: Stack, name: str) -> None:
    there = anywhere()
    uid = registered(name, anywhere())["uid"]
    assert login(name, there, PASSWORD) == "ok"
    for number in range(30):
        login(f"{name}{number}", there)
    assert login(name, there, PASSWORD) == "ok"
    past = datetime.now(UTC) - timedelta(seconds=1)
    place = {"_id": f"{uid} {addresses.source(there)}"}
    database()[HOMES].update_one(place, {"$set": {"expires": past}})
    assert login(name, there, PASSWORD) == LIMITED


def test_one_is_at_home_where_one_refreshed(stores: Stack, name: str) -> None:
    there = anywhere()
    made = registered(name, anywhere())
    again = call("auth.refresh", there, refresh_token=made["refresh_token"])
    for number in range(30):
        login(f"{name}{number}", there)
    assert login(name, there, PASSWORD) == "ok"
    # And is still, after months in which nothing but tokens was renewed.
    long_ago = {"$set": {"expires": datetime.now(UTC) - timedelta(seconds=1)}}
    database()[HOMES].update_many({"uid": made["uid"]}, long_ago)
    device = {"_id": tokens.verifier().access(again["access_token"]).device}
    database()[DEVICES].update_one(device, {"$inc": {"home_at": -86_400_000}})
    call("auth.refresh", there, refresh_token=again["refresh_token"])
    assert login(name, there, PASSWORD) == "ok"


def test_the_budget_at_home(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    for _ in range(10):
        assert login(name, there) == BAD
        passes(30, there)
    refused = call("auth.login", there, username=name, password=PASSWORD)
    assert said(refused) == MANY
    assert 590 <= refused.data["retry_after"] <= 600
    passes(600, there)
    assert login(name, there, PASSWORD) == "ok"


def test_the_limits_are_settings(stores: Stack, name: str, configure: Set) -> None:
    there = anywhere()
    configure(guess_free=2, guess_wait=1, source_failures=3, source_names=2)
    assert logins(name, there, 3) == [BAD, BAD, MANY]
    passes(1, there)
    assert login(name, there) == BAD
    assert login(f"{name}x", there) == LIMITED


def test_nobody_guesses_while_redis_is_silent(stores: Stack, name: str, configure: Set) -> None:
    registered(name, "127.0.0.1")
    configure(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert logins(name, "127.0.0.1", 3, PASSWORD) == ["unavailable"] * 3


def test_a_mixed_batch_is_answered_as_its_calls_one_by_one(stores: Stack, name: str) -> None:
    there = anywhere()
    registered(name, there)
    asked = [
        event("auth.login", there, username=name, password=PASSWORD),
        event("auth.login", there, username=name),
        event("auth.login", there, username=name, password=WRONG),
        event("auth.login", there, username="x" * 600, password=WRONG),
        event("auth.login", there, username=f"{name}1", password="\x07"),
        event("auth.login", there, username=f" {name} ", password=PASSWORD),
    ]
    assert [said(answer) for answer in auth.answer(asked)] == (
        ["ok", "invalid_params", BAD, "invalid_params", BAD, "ok"]
    )


def test_unknown_names_are_answered_alike(stores: Stack, name: str) -> None:
    registered(name, anywhere())
    known = call("auth.login", anywhere(), username=name, password=WRONG)
    unknown = call("auth.login", anywhere(), username=f"{name}x", password=WRONG)
    assert isinstance(known, CallError)
    assert known.as_dict() == unknown.as_dict()
    assert settings().guess_free == 5
