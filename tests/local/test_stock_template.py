"""Our handlers under OpenFaaS' stock `python3-http-debian` template.

It serves handlers by Flask: an event has Flask's `headers` and `args` as they are, a path for every
request, and what is not a dict is returned as a Flask view would return it.
"""

import importlib
from types import SimpleNamespace
from typing import Any

import flask
import orjson
import pytest
from flask.testing import FlaskClient

from local.layout import Layout
from local.stack import Stack
from shared import doors, secretfiles
from shared.tokens import Issuer

VERBS = ["GET", "PUT", "POST", "PATCH", "DELETE"]


def served(handler: Any) -> FlaskClient:
    app = flask.Flask(__name__)

    @app.route("/", defaults={"path": ""}, methods=VERBS)
    @app.route("/<path:path>", methods=VERBS)
    def call(path: str) -> Any:
        asked = flask.request
        event = SimpleNamespace(
            body=asked.get_data(),
            headers=asked.headers,
            method=asked.method,
            query=asked.args,
            path=asked.path,
        )
        answer = handler(event, SimpleNamespace(hostname="stock"))
        assert not isinstance(answer, dict), "the stock template writes such a body as str() does"
        return ("", 200) if answer is None else answer

    return app.test_client()


@pytest.fixture
def users(stores: Stack) -> FlaskClient:
    return served(importlib.import_module("functions.user.handler").handle)


@pytest.fixture
def bearer(layout: Layout, stores: Stack) -> tuple[str, dict[str, str]]:
    """Somebody who registered, and their access token as a header."""
    auth = served(importlib.import_module("functions.auth.handler").handle)
    params = {"username": "stocky", "password": "correct horse battery"}
    request = {"jsonrpc": "2.0", "id": 1, "method": "auth.register", "params": params}
    made = auth.post("/", data=orjson.dumps(request)).get_json()["result"]
    return made["uid"], {"Authorization": f"Bearer {made['access_token']}"}


def test_one_call_by_its_user(users: FlaskClient, bearer: tuple[str, dict[str, str]]) -> None:
    uid, headers = bearer
    request = {"jsonrpc": "2.0", "id": 7, "method": "user.get", "params": {"uids": [uid]}}
    answer = users.post("/", data=orjson.dumps(request), headers=headers)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json()["id"] == 7
    assert answer.get_json()["result"]["users"][0]["username"] == "stocky"


def test_a_batch_of_a_connector(users: FlaskClient, layout: Layout) -> None:
    token = secretfiles.read(layout.secrets, secretfiles.SERVICE_TOKEN)
    events = [
        {"id": f"e{n}", "type": method, "uid": "somebody1", "sid": "s1", "data": {"uids": []}}
        for n, method in enumerate(["user.get", "user.none"])
    ]
    answer = users.post(
        "/",
        data=orjson.dumps(events),
        headers={"Content-Type": doors.BATCH, "Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 200
    first, second = (orjson.loads(line) for line in answer.data.split(b"\n"))
    assert set(first) <= {"result", "error"}
    assert second["error"]["data"]["reason"] == "unknown_method"


def test_refusals_and_metrics(users: FlaskClient, layout: Layout) -> None:
    assert users.post("/", data=b"{").status_code == 400
    expired = Issuer(secretfiles.read(layout.secrets, secretfiles.SIGNING_KEY))
    headers = {"Authorization": f"Bearer {expired.access('somebody1', 'd', 1, [], -60)}"}
    request = {"jsonrpc": "2.0", "id": 1, "method": "user.get", "params": {"uids": ["somebody1"]}}
    refused = users.post("/", data=orjson.dumps(request), headers=headers)
    assert refused.status_code == 401
    assert refused.get_json()["error"]["data"]["reason"] == "token_expired"
    token = secretfiles.read(layout.secrets, secretfiles.SERVICE_TOKEN)
    metrics = users.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert b"stonechat_" in metrics.data
