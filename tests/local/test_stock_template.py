"""Our handlers under OpenFaaS' stock `python3-http-debian` template.

It serves handlers by Flask: an event has Flask's `headers` and `args` as they are, a path for every
request, and what is not a dict is returned as a Flask view would return it.
"""

import importlib
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from local.layout import Layout
from local.stack import Stack
from tests.signed import Signed, event, lines, metrics_headers, refusal, signed

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


def sent(client: FlaskClient, batch: Signed) -> list[dict[str, Any]]:
    answer = client.post("/", data=batch.body, headers=batch.headers)
    assert answer.status_code == 200
    return lines(answer.data)


def test_a_batch_of_a_connector(users: FlaskClient, layout: Layout, name: str) -> None:
    auth = served(importlib.import_module("functions.auth.handler").handle)
    register = event("auth.register", username=name, password="correct horse battery")
    (made,) = sent(auth, signed(layout.secrets, "auth", [register]))
    uid = made["result"]["uid"]
    calls = [event("user.get", uid, uids=[uid]), event("user.none", uid)]
    first, second = sent(users, signed(layout.secrets, "user", calls))
    assert first["result"]["users"][0]["username"] == name
    assert refusal(second) == "unknown_method"


def test_refusals_and_metrics(users: FlaskClient, layout: Layout) -> None:
    calls = [event("user.get", "somebody1", uids=["somebody1"])]
    for headers, body in (
        ({}, b"{"),
        ({}, b'{"jsonrpc":"2.0","id":1,"method":"user.get"}'),
        signed(layout.secrets, "friend", calls),
    ):
        refused = users.post("/", data=body, headers=headers)
        assert (refused.status_code, refused.content_type) == (401, "application/json")
        assert refusal(refused.get_json()) == "unauthenticated"
    assert users.get("/metrics").status_code == 401
    metrics = users.get("/metrics", headers=metrics_headers(layout))
    assert b"stonechat_" in metrics.data
