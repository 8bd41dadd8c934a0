"""Every row of the protocol's error table that applies, provoked from outside."""

import asyncio
import base64
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import orjson
import pytest

from local.stack import Stack
from shared import secretfiles, tokens
from shared.collections import DEVICES
from shared.doors import BATCH
from shared.ids import new_id
from shared.settings import settings
from shared.signatures import HEADER
from shared.stores import database
from tests import door
from tests.signed import event, metrics_headers, post
from tests.signed import signed as sign
from tests.wire import PASSWORD, Refused, Wire, direct


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.layout.connector_urls[0]


@pytest.fixture
async def alice(url: str, name: str) -> Wire:
    return await Wire.sign_in(url, name + "a")


async def refusal(wire: Wire, method: str, **params: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        await wire.call(method, **params)
    return refused.value.code, refused.value.reason


TEXT = {"type": "text", "body": {"text": "x"}}
BAD_PARAMS = (400, "invalid_params")


async def test_methods_nobody_has(alice: Wire) -> None:
    unknown = (-32601, "unknown_method")
    for method in ("no.such", "session.channels", "session.close", "", "__class__"):
        assert await refusal(alice, method) == unknown


@pytest.mark.parametrize(
    ("params", "loc"),
    [
        ({}, ["cid"]),
        ({"cid": 7, "to": "someone0"} | TEXT, ["cid"]),
        ({"cid": "", "to": "someone0"} | TEXT, ["cid"]),
        ({"cid": "c" * 65, "to": "someone0"} | TEXT, ["cid"]),
        ({"cid": "c", "to": "UPPER000"} | TEXT, ["to"]),
        ({"cid": "c"} | TEXT, []),
        ({"cid": "c", "to": "someone0", "conv": "u:someone0"} | TEXT, []),
        ({"cid": "c", "to": "someone0", "type": "text", "body": {}}, ["body", "text"]),
        ({"cid": "c", "to": "someone0", "type": "text", "body": {"text": 5}}, ["body", "text"]),
        ({"cid": "c", "to": "someone0", "type": "nonsense", "body": {}}, ["type"]),
        ({"cid": "c", "to": "someone0", "type": "edit", "body": {}}, ["type"]),
        ({"cid": "c", "to": "someone0", "reply_to": 0} | TEXT, ["reply_to"]),
        ({"cid": "c", "to": "someone0", "mentions": ["someone0"] * 51} | TEXT, ["mentions"]),
    ],
)
async def test_params_that_do_not_fit(alice: Wire, params: dict[str, Any], loc: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        await alice.call("message.send", **params)
    assert (refused.value.code, refused.value.reason) == (-32602, "invalid_params")
    assert loc in [error["loc"] for error in refused.value.data["errors"]]
    assert all({"loc", "msg", "type"} == set(error) for error in refused.value.data["errors"])


async def test_a_body_at_the_limit_and_beyond(alice: Wire) -> None:
    room = 32 * 1024 - len('{"text":""}')
    await alice.send(alice.uid, "fits", "x" * room)
    assert await refusal(
        alice, "message.send", to=alice.uid, cid="c", type="text", body={"text": "x" * (room + 1)}
    ) == (-32007, "too_large")


async def test_conversations_of_others(alice: Wire) -> None:
    one, two = new_id(), new_id()
    not_mine = (-32002, "not_a_member")
    for conv in (direct(one, two), f"u:{one}", f"g:{one}"):
        assert await refusal(alice, "message.history", conv=conv) == not_mine
        assert await refusal(alice, "conversation.read", conv=conv, seq=0) == not_mine
        assert await refusal(alice, "message.send", conv=conv, cid="c", **TEXT) == not_mine
    own_inbox = f"u:{alice.uid}"
    assert await refusal(alice, "message.send", conv=own_inbox, cid="c", **TEXT) == (
        -32002,
        "forbidden",
    )
    assert await refusal(alice, "message.send", to=one, cid="c", **TEXT) == (-32003, "not_found")


async def test_before_a_session_is_open(url: str, name: str) -> None:
    wire = await Wire.connect(url)
    nobody = (-32001, "unauthenticated")
    assert await refusal(wire, "message.send", to="someone0", cid="c", **TEXT) == nobody
    assert await refusal(wire, "user.get", uids=["someone0"]) == nobody
    assert await refusal(wire, "session.renew", access_token="x") == nobody
    registered = await wire.call("auth.register", username=name, password=PASSWORD)
    await wire.open(registered["access_token"])
    device = {"id": "x"}
    again = {"access_token": registered["access_token"], "device": device}
    assert await refusal(wire, "session.open", **again) == (-32004, "conflict")


async def test_what_comes_with_the_opening_waits_for_it(url: str, name: str) -> None:
    known = await Wire.sign_in(url, name)
    wire = await Wire.connect(url)
    token = known.tokens["access_token"]
    opening = wire.start("session.open", access_token=token, device={"id": "x"})
    asked = wire.start("user.get", uids=[known.uid])
    assert "result" in await asyncio.wait_for(opening, 10)
    assert (await asyncio.wait_for(asked, 10))["result"]["users"][0]["uid"] == known.uid


def signed(stack: Stack, **changes: Any) -> str:
    """An access token with other claims, signed with the real key."""
    key = secretfiles.read(stack.layout.secrets, secretfiles.SIGNING_KEY)
    now = int(time.time())
    claims = {"sub": new_id(), "did": new_id(), "gen": 1, "iat": now, "exp": now + 60, "jti": "j"}
    claims |= changes
    headers = {"typ": claims.pop("typ", tokens.ACCESS)}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)


def metrics_token(stack: Stack) -> str:
    return secretfiles.read(stack.layout.secrets, secretfiles.METRICS_TOKEN)


async def test_tokens_that_are_not_taken(stack: Stack, url: str, alice: Wire) -> None:
    head, body, signature = alice.tokens["access_token"].split(".")
    claims = jwt.decode(alice.tokens["access_token"], options={"verify_signature": False})
    forged, _ = secretfiles.signing_pair()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")
    refused = {
        "garbage": "unauthenticated",
        f"{head}.{body}.{signature[:-4]}AAAA": "unauthenticated",
        f"{none}.{body}.": "unauthenticated",
        jwt.encode(claims, forged, "EdDSA", headers={"typ": "at+jwt"}): "unauthenticated",
        jwt.encode(claims, "secret" * 8, "HS256", headers={"typ": "at+jwt"}): "unauthenticated",
        alice.tokens["refresh_token"]: "unauthenticated",
        signed(stack, exp=int(time.time()) - 10): "token_expired",
        metrics_token(stack): "unauthenticated",
    }
    for token, reason in refused.items():
        wire = await Wire.connect(url)
        params = {"access_token": token, "device": {"id": "x"}}
        assert await refusal(wire, "session.open", **params) == (-32001, reason), token
        await wire.close()


async def test_a_session_ends_with_its_token_unless_renewed(stack: Stack, url: str) -> None:
    soon, uid, did = int(time.time()) + 3, new_id(), new_id()
    device = {"_id": did, "uid": uid, "generation": 1, "used": 1, "signed_out": False}
    database()[DEVICES].insert_one(device)
    ends, lives = await Wire.connect(url), await Wire.connect(url)
    for wire in (ends, lives):
        await wire.open(signed(stack, sub=uid, did=did, exp=soon))
    longer = signed(stack, sub=uid, did=did, exp=soon + 60)
    renewed = await lives.call("session.renew", access_token=longer)
    assert renewed == {"expires_at": (soon + 60) * 1000}
    assert await refusal(lives, "session.renew", access_token=signed(stack)) == (
        -32002,
        "forbidden",
    )
    assert await ends.until_closed() == 4001
    assert (await lives.call("user.get", uids=[uid]))["users"] == []


async def test_frames_that_are_no_requests(alice: Wire) -> None:
    for text, reason in (
        (b"{not json", "parse_error"),
        (b"[]", "invalid_request"),
        (b'{"jsonrpc":"2.0","method":"user.get"}', "invalid_request"),
    ):
        alice.send_text(text)
        await alice.call("user.get", uids=[alice.uid])
        assert alice.unasked[-1]["data"]["reason"] == reason


async def test_ten_bad_frames_in_a_row_close_the_session(alice: Wire) -> None:
    for _ in range(9):
        alice.send_text(b"?")
    await alice.call("user.get", uids=[alice.uid])
    for _ in range(10):
        alice.send_text(b"?")
    assert await alice.until_closed() == 4003
    assert len(alice.unasked) == 19


def sized(wire: Wire, size: int) -> "asyncio.Future[dict[str, Any]]":
    """Asks for what is not there in a frame of so many bytes."""
    empty = {"jsonrpc": "2.0", "id": wire.number + 1, "method": "no.such", "params": {"x": ""}}
    return wire.start("no.such", x="x" * (size - len(orjson.dumps(empty))))


@pytest.mark.parametrize(("size", "code"), [(64 * 1024, None), (64 * 1024 + 1, 1009)])
async def test_a_frame_at_the_limit_and_beyond(alice: Wire, size: int, code: int | None) -> None:
    answer = sized(alice, size)
    if code is None:
        assert (await asyncio.wait_for(answer, 30))["error"]["data"]["reason"] == "unknown_method"
    else:
        assert await alice.until_closed() == code


@pytest.mark.parametrize(("size", "reason"), [(8192, "unknown_method"), (8193, "too_large")])
async def test_who_has_not_signed_in_sends_small_frames(url: str, size: int, reason: str) -> None:
    answer = await asyncio.wait_for(sized(await Wire.connect(url), size), 30)
    assert answer["error"]["data"]["reason"] == reason


async def test_logout_kills_the_device_everywhere(stack: Stack, name: str) -> None:
    urls = stack.layout.connector_urls
    alice = await Wire.sign_in(urls[0], name)
    same = await Wire.connect(urls[1])
    await same.open(alice.tokens["access_token"])
    other = await Wire.sign_in(urls[1], name)
    assert await alice.call("auth.logout") == {}
    assert (await alice.until_closed(), await same.until_closed()) == (4001, 4001)
    wire = await Wire.connect(urls[0])
    dead = {"access_token": alice.tokens["access_token"], "device": {"id": "x"}}
    assert await refusal(wire, "session.open", **dead) == (-32001, "unauthenticated")
    spent = {"refresh_token": alice.tokens["refresh_token"]}
    assert await refusal(wire, "auth.refresh", **spent) == (-32001, "unauthenticated")
    assert (await other.call("user.get", uids=[other.uid]))["users"][0]["username"] == name


async def test_a_refresh_token_is_taken_again_until_the_next_is_used(url: str, name: str) -> None:
    alice = await Wire.sign_in(url, name)
    wire = await Wire.connect(url)
    first = {"refresh_token": alice.tokens["refresh_token"]}
    await wire.call("auth.refresh", **first)  # of which the answer is lost
    fresh = await wire.call("auth.refresh", **first)
    assert fresh["uid"] == alice.uid
    second = {"refresh_token": fresh["refresh_token"]}
    third = await wire.call("auth.refresh", **second)
    await (await Wire.connect(url)).open(third["access_token"])
    access = tokens.verifier().access(fresh["access_token"])
    ago = datetime.now(UTC) - timedelta(seconds=settings().refresh_grace)
    database()[DEVICES].update_one({"_id": access.device}, {"$set": {"spent.1": ago}})
    assert await refusal(wire, "auth.refresh", **first) == (-32001, "unauthenticated")
    assert await alice.until_closed() == 4001
    newest = {"refresh_token": third["refresh_token"]}
    assert await refusal(wire, "auth.refresh", **newest) == (-32001, "unauthenticated")
    params = {"access_token": third["access_token"], "device": {"id": "x"}}
    assert await refusal(wire, "session.open", **params) == (-32001, "unauthenticated")


async def test_guesses_from_one_address(url: str, name: str) -> None:
    """Everybody here comes from the same one: those at one name keep nobody else out."""
    await Wire.sign_in(url, name)
    await Wire.sign_in(url, f"{name}bob")
    wire = await Wire.connect(url)
    wrong = {"username": name, "password": "wrong password"}
    reasons = [(await refusal(wire, "auth.login", **wrong))[1] for _ in range(5)]
    assert reasons == ["bad_credentials"] * 5
    with pytest.raises(Refused) as refused:
        await wire.call("auth.login", **wrong | {"username": f" {name.upper()}"})
    assert (refused.value.reason, refused.value.data["retry_after"]) == ("too_many_attempts", 1)
    # The right password has to wait as well: the answer must not tell which it was.
    right = {"username": name, "password": PASSWORD}
    assert await refusal(wire, "auth.login", **right) == (-32005, "too_many_attempts")
    signed_in = await wire.call("auth.login", **right | {"username": f"{name}bob"})
    assert set(signed_in) == {"uid", "access_token", "refresh_token", "expires_in"}
    unknown = right | {"username": f"{name}x"}
    assert await refusal(wire, "auth.login", **unknown) == (-32001, "bad_credentials")
    assert await refusal(wire, "auth.register", **right) == (-32004, "username_taken")


async def test_how_one_signs_in_here_is_public(url: str) -> None:
    wire = await Wire.connect(url)
    assert await wire.call("auth.config") == {
        "registration": "open",
        "sign_in": ["password"],
        "providers": [],
        "password_min": 8,
    }
    check = {"generation": 1, "issued": 1}
    assert await refusal(wire, "session.check", **check) == (-32601, "unknown_method")


@pytest.mark.parametrize(
    "params",
    [
        {"username": "ab", "password": PASSWORD},
        {"username": "a" * 33, "password": PASSWORD},
        {"username": "\u00fcber", "password": PASSWORD},
        {"username": "short-password", "password": "1234567"},
        {"username": "long-password", "password": "x" * 129},
    ],
)
async def test_accounts_that_cannot_be_made(url: str, params: dict[str, str]) -> None:
    wire = await Wire.connect(url)
    assert await refusal(wire, "auth.register", **params) == (-32602, "invalid_params")


BLANK, HIDDEN, TURNED, BROKEN = " \u3000", "a\u200bb", "a\u202eb", "a\nb"


@pytest.mark.parametrize("name_to_show", [BLANK, HIDDEN, TURNED, BROKEN], ids=ascii)
async def test_names_that_cannot_be_shown(alice: Wire, name_to_show: str) -> None:
    group = await alice.call("group.create", cid="g", name="  The \u3000 group ")
    assert (await alice.call("group.get", gid=group["gid"]))["name"] == "The group"
    other = {"uid": new_id(), "cid": "x"}
    named = {"gid": group["gid"], "cid": "x"}
    for method, params, field in (
        ("user.update", {"cid": "x"}, "name"),
        ("friend.update", other, "alias"),
        ("group.create", {"cid": "x"}, "name"),
        ("group.update", named, "name"),
        ("group.nickname", named, "nickname"),
        ("auth.register", {"username": f"u{new_id()}", "password": PASSWORD}, "name"),
    ):
        with pytest.raises(Refused) as refused:
            await alice.call(method, **params | {field: name_to_show})
        assert refused.value.reason == "invalid_params"
        assert refused.value.data["errors"][0]["loc"] == [field]


async def test_the_http_door(url: str, alice: Wire) -> None:
    token, me = alice.tokens["access_token"], alice.uid
    send = door.request("message.send", to=me, cid="h1", **TEXT)
    assert await door.refusal(url, send, token) == (200, "ok")
    for body, given, found in (
        (send, None, (401, "unauthenticated")),
        (send, "x", (401, "unauthenticated")),
        (b"{", token, (400, "parse_error")),
        (b"[]", token, (400, "invalid_request")),
        (b'{"jsonrpc":"2.0","method":"user.get"}', token, (400, "invalid_request")),
        (b'{"jsonrpc":"2.0","id":1,"method":"user.get","params":[]}', token, BAD_PARAMS),
        (door.request("message.send"), token, BAD_PARAMS),
        (door.request("no.such"), token, (404, "unknown_method")),
        (door.request("session.channels"), token, (404, "unknown_method")),
        (door.request("message.send", to=new_id(), cid="h2", **TEXT), token, (404, "not_found")),
        (
            door.request("message.send", conv=f"u:{new_id()}", cid="h3", **TEXT),
            token,
            (403, "not_a_member"),
        ),
        (
            door.request("message.send", to=me, cid="h4", type="text", body={"text": "x" * 33_000}),
            token,
            (413, "too_large"),
        ),
    ):
        assert await door.refusal(url, body, given) == found, body[:100]


async def test_a_repeated_call_over_http_is_the_same_call(url: str, alice: Wire) -> None:
    token = alice.tokens["access_token"]
    send = door.request("message.send", to=alice.uid, cid="once", **TEXT)
    status, first = await door.post(url, send, token)
    assert (status, await door.post(url, send, token)) == (200, (200, first))
    assert await alice.send(alice.uid, "once") == first["result"]


async def test_public_methods_need_no_token_over_http(url: str, name: str) -> None:
    made = {"username": name, "password": PASSWORD}
    status, answer = await door.post(url, door.request("auth.register", **made))
    assert status == 200
    token = answer["result"]["access_token"]
    assert await door.refusal(url, door.request("auth.register", **made)) == (409, "username_taken")
    wrong = door.request("auth.login", **made | {"password": "not the password"})
    assert await door.refusal(url, wrong) == (401, "bad_credentials")
    asked = door.request("user.get", uids=[answer["result"]["uid"]])
    assert await door.refusal(url, asked) == (401, "unauthenticated")
    assert await door.refusal(url, asked, token) == (200, "ok")


async def test_tokens_that_the_http_door_does_not_take(stack: Stack, url: str, alice: Wire) -> None:
    asked = door.request("user.get", uids=[alice.uid])
    expired = signed(stack, exp=int(time.time()) - 10)
    assert await door.refusal(url, asked, expired) == (401, "token_expired")
    for token in (alice.tokens["refresh_token"], metrics_token(stack)):
        assert await door.refusal(url, asked, token) == (401, "unauthenticated")
    assert await alice.call("auth.logout") == {}
    token = alice.tokens["access_token"]
    assert await door.refusal(url, asked, token) == (401, "unauthenticated")


async def test_an_http_call_is_told_to_the_sockets(url: str, alice: Wire) -> None:
    send = door.request("message.send", to=alice.uid, cid="h1", **TEXT)
    _, answer = await door.post(url, send, alice.tokens["access_token"])
    (entry,) = await alice.until("entry", 1)
    assert entry["id"] == answer["result"]["id"]


async def test_functions_execute_only_what_a_connector_signed(stack: Stack, alice: Wire) -> None:
    call = event("message.send", alice.uid, to=alice.uid, cid="f1", **TEXT)
    secrets = stack.layout.secrets
    good = sign(secrets, "send", [call])
    other = sign(secrets, "sync", [call])
    bearer = {"Authorization": f"Bearer {alice.tokens['access_token']}"}
    forged = [
        (bearer, door.request("message.send", to=alice.uid, cid="f2", **TEXT)),
        ({"Content-Type": BATCH}, good.body),
        ({"Content-Type": BATCH} | bearer, good.body),
        ({"Content-Type": BATCH} | metrics_headers(stack.layout), good.body),
        (good.headers | {HEADER: other.headers[HEADER]}, good.body),
        (good.headers, good.body.replace(b'"f1"', b'"f3"')),
    ]
    async with httpx.AsyncClient(base_url=stack.layout.gateway_url, timeout=20) as http:
        for headers, body in forged:
            answer = await http.post("/function/send", content=body, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["data"]["reason"] == "unauthenticated"
        assert (await http.post("/function/none", content=good.body)).status_code == 404
        assert (await http.get("/function/send/metrics")).status_code == 401
        assert (await http.get("/function/send/metrics", headers=bearer)).status_code == 401
        shown = await http.get("/function/send/metrics", headers=metrics_headers(stack.layout))
        assert "stonechat_calls_total" in shown.text
        (answered,) = await post(http, "/function/send", good)
        assert answered["result"]["seq"] == 1


async def test_secrets_are_for_their_owner_only(stack: Stack) -> None:
    files = list(Path(stack.layout.secrets).iterdir())
    assert {file.name for file in files} >= {secretfiles.SIGNING_KEY, secretfiles.CONTENT_KEYS}
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


async def test_the_pages(stack: Stack, name: str) -> None:
    await (await Wire.sign_in(stack.layout.connector_urls[0], name)).close()
    base = stack.layout.connector_urls[0].replace("ws:", "http:").removesuffix("/v1")
    async with httpx.AsyncClient(base_url=base) as http:
        found = {path: await http.get(path) for path in ("/healthz", "/readyz", "/metrics", "/x")}
    assert [page.status_code for page in found.values()] == [200, 200, 200, 404]
    counted = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in found["/metrics"].text.splitlines()
        if not line.startswith("#")
    }
    for each in (
        "stonechat_frames_in_total",
        "stonechat_frames_out_total",
        'stonechat_hop_seconds_count{function="auth"}',
        'stonechat_lane_batch_count{function="auth"}',
    ):
        assert counted[each] > 0
