"""The protocol's machine-readable reference, made from the code: `python -m local.reference`.

`docs/openrpc.json` (OpenRPC 1.3) has the methods, `docs/asyncapi.json` (AsyncAPI 3.0) the socket;
`docs/settings.md` is written beside them (`settings_page`).
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import TypeAdapter

from connector.opener import Open, Opener, Renew
from local import refusals, settings_page
from local.examples import examples
from shared.errors import HTTP_STATUS, CallError, Code, Reason
from shared.shapes import NOTIFICATIONS, Opened, Renewed

ROOT = Path(__file__).parent.parent
OPENRPC = ROOT / "docs" / "openrpc.json"
ASYNCAPI = ROOT / "docs" / "asyncapi.json"
VERSION = "1.0.0"
_REFS = "#/components/schemas/{model}"
_RESERVED = "session."  # between connectors and functions
_OF_SOCKETS = {"session.open", "session.renew"}  # an HTTP call has no session
_PATH = "/v1/rpc"
_DOOR = f"http://127.0.0.1:8001{_PATH}"
_CONNECTOR = "connector"
_TRANSPORT = (
    "Every method, over a connector's WebSocket (asyncapi.json) and over HTTP: POST one JSON-RPC "
    f"2.0 request to `{_PATH}` of any connector, with `Authorization: Bearer <access token>` "
    "unless the method is public (`x-public`). Limits, hooks and rights are the same at both "
    "doors. The HTTP status is 200, or follows the error (`x-http-status`). `x-function` says "
    "which function serves a method: connectors find it at `x-function-path` of the OpenFaaS "
    "gateway, where nobody else is answered. A hook of the house may refuse any call, with a "
    "reason of its choice. Examples are answers of a running system. Written by "
    "`python -m local.reference` from the code."
)


@dataclass(frozen=True)
class Method:
    """A method as clients see it."""

    name: str
    owner: str  # the function, or the connector
    about: str
    params: TypeAdapter[Any]
    result: TypeAdapter[Any]
    public: bool


def methods() -> Iterator[Method]:
    """All methods of the protocol, by name. The functions' settings must be there."""
    yield from sorted([*_of_functions(), *_of_connector()], key=lambda each: each.name)


def _of_functions() -> Iterator[Method]:
    for name in yaml.safe_load((ROOT / "stack.yml").read_text())["functions"]:
        handler = importlib.import_module(f"functions.{name}.handler")
        for each in getattr(handler, name).methods.values():
            if not each.name.startswith(_RESERVED):
                about = inspect.getdoc(each.run) or ""
                result = TypeAdapter(each.result)
                yield Method(each.name, name, about, each.params, result, each.public)


def _of_connector() -> Iterator[Method]:
    opening = (
        "Opens the socket's session: what is meant for the user arrives from here on. Refuses with "
        "`conflict` where it is open."
    )
    for name, about, params, result in (
        ("session.open", opening, Open, Opened),
        ("session.renew", inspect.getdoc(Opener.renew) or "", Renew, Renewed),
    ):
        yield Method(name, _CONNECTOR, about, TypeAdapter(params), TypeAdapter(result), False)


def openrpc() -> dict[str, Any]:
    """The methods, as an OpenRPC document."""
    listed = list(methods())
    inputs: list[Any] = [(each.name, "validation", each.params) for each in listed]
    outputs: list[Any] = [(each.name, "serialization", each.result) for each in listed]
    schemas, definitions = TypeAdapter.json_schemas([*inputs, *outputs], ref_template=_REFS)
    abouts = {each.name: each.about for each in listed}
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "Stonechat",
            "version": VERSION,
            "description": _TRANSPORT,
        },
        "servers": [{"name": "local", "url": _DOOR, "x-path": _PATH}],
        "methods": [
            {
                "name": each.name,
                "tags": [{"name": each.owner}],
                "summary": _summary(each.about),
                "description": each.about,
                "paramStructure": "by-name",
                "params": _params(schemas[each.name, "validation"], definitions["$defs"]),
                "result": {"name": "result", "schema": schemas[each.name, "serialization"]},
                "errors": [
                    {"$ref": f"#/components/errors/{reason}"}
                    for reason in refusals.of_method(each.name, abouts, public=each.public)
                ],
                **_examples(each),
                "x-public": each.public,
                **_places(each),
            }
            for each in listed
        ],
        "components": {"schemas": definitions["$defs"], "errors": _errors()},
        "x-http-status": _statuses(),
    }


def asyncapi() -> dict[str, Any]:
    """The socket, as an AsyncAPI document."""
    shapes: list[Any] = [
        (name, "serialization", TypeAdapter(shape)) for name, shape in NOTIFICATIONS.items()
    ]
    schemas, definitions = TypeAdapter.json_schemas(shapes, ref_template=_REFS)
    messages: dict[str, Any] = {
        "request": {"summary": "A call; the methods are in openrpc.json.", "payload": _frame()},
        "answer": {"summary": "The result of a call, or its error.", "payload": _answer()},
    }
    for name in NOTIFICATIONS:
        payload = {
            "type": "object",
            "required": ["jsonrpc", "method", "params"],
            "properties": {
                "jsonrpc": {"const": "2.0"},
                "method": {"const": name},
                "params": schemas[name, "serialization"],
            },
        }
        messages[name] = {"summary": f"The notification `{name}`.", "payload": payload}
    received = [name for name in messages if name != "request"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stonechat",
            "version": VERSION,
            "description": "The WebSocket: one JSON-RPC 2.0 object a text frame. Written by "
            "`python -m local.reference` from the code.",
        },
        "servers": {"local": {"host": "127.0.0.1:8001", "protocol": "ws", "pathname": "/v1"}},
        "channels": {"socket": {"address": "/v1", "messages": messages}},
        "operations": {
            "call": _operation("send", ["request"]),
            "hear": _operation("receive", received),
        },
        "components": {"schemas": definitions.get("$defs", {})},
    }


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"} for name in names],
    }


def _frame() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["jsonrpc", "id", "method"],
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["integer", "string"]},
            "method": {"type": "string"},
            "params": {"type": "object"},
        },
    }


def _answer() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["jsonrpc", "id"],
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": ["integer", "string", "null"]},
            "result": {},
            "error": {
                "type": "object",
                "required": ["code", "message", "data"],
                "properties": {
                    "code": {"enum": sorted(int(code) for code in Code)},
                    "message": {"type": "string"},
                    "data": {
                        "type": "object",
                        "required": ["reason"],
                        "properties": {"reason": {"enum": sorted(map(str, Reason))}},
                    },
                },
            },
        },
    }


def _params(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    required = schema.get("required", [])
    found = [
        {"name": name, "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]
    return sorted(found, key=lambda each: not each["required"])  # OpenRPC wants these first


def _places(method: Method) -> dict[str, str]:
    """Where it is called, and where it is served."""
    called = {} if method.name in _OF_SOCKETS else {"x-path": _PATH}
    if method.owner == _CONNECTOR:
        return called
    return called | {
        "x-function": method.owner,
        "x-function-path": f"/function/{method.owner}",
    }


def _examples(method: Method) -> dict[str, Any]:
    """A call that was answered, and some that were refused, by reason."""
    if method.name not in examples():  # new: it is recorded next
        return {}
    one = examples()[method.name]
    good = {
        "name": method.name,
        "params": [{"name": name, "value": value} for name, value in one.params.items()],
        "result": {"name": "result", "value": one.result},
    }
    return {"examples": [good], "x-refused": one.refused}


def _errors() -> dict[str, Any]:
    return {str(reason): CallError(reason).as_dict() for reason in Reason}


def _statuses() -> dict[str, int]:
    """What HTTP status each reason comes with."""
    return {str(reason): HTTP_STATUS[CallError(reason).code] for reason in Reason}


def _summary(about: str) -> str:
    return " ".join(about.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def written(document: dict[str, Any]) -> bytes:
    """The document as the file holds it."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> int:
    OPENRPC.write_bytes(written(openrpc()))
    ASYNCAPI.write_bytes(written(asyncapi()))
    settings_page.PAGE.write_text(settings_page.written())
    return 0


if __name__ == "__main__":
    sys.exit(main())
