"""OpenFaaS' API for operators, as `faas-cli` and a real gateway in front use it, and the builder's.

All of it needs the operator's password, but for `POST /build`, which is signed with it (HMAC of
SHA-256 in `X-Build-Signature`). A deploy call is answered when the function runs, or does not.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from local.deployment import NAME, NAMESPACE, DeploymentError, parse
from local.functionlog import FunctionLog, Query, QueryError
from local.images import ImageError
from local.processes import FunctionFailedError
from local.provider import Provider, UnknownFunctionError
from shared import secretfiles
from shared.versions import RELEASE

ARCHIVE_LIMIT = 64 * 1024 * 1024
SECRET_LIMIT = 1024 * 1024  # as Kubernetes
VERSION = {"release": RELEASE, "sha": ""}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Management:
    """The routes below `/system`, and `/build`."""

    def __init__(
        self, provider: Provider, secrets: Path, contexts: Path, user: str, password: str
    ) -> None:
        """`contexts` is where `faas-cli build --shrinkwrap` writes."""
        self._provider = provider
        self._secrets = secrets
        self._contexts = contexts
        self._password = password.encode()
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = f"Basic {token}".encode()
        self._logs = FunctionLog()

    def add_to(self, app: web.Application) -> None:
        """Adds the routes."""
        for method, path, handler in (
            ("GET", "/system/functions", self.functions),
            ("POST", "/system/functions", self.deploy),
            ("PUT", "/system/functions", self.update),
            ("DELETE", "/system/functions", self.remove),
            ("GET", "/system/function/{name}", self.function),
            ("POST", "/system/scale-function/{name}", self.scale),
            ("POST", "/system/restart", self.restart),
            ("GET", "/system/logs", self.logs),
            ("GET", "/system/secrets", self.secrets),
            ("POST", "/system/secrets", self.put_secret),
            ("PUT", "/system/secrets", self.put_secret),
            ("DELETE", "/system/secrets", self.remove_secret),
            ("GET", "/system/namespaces", self.namespaces),
            ("GET", "/system/info", self.info),
        ):
            app.router.add_route(method, path, self._guarded(handler))
        app.router.add_post("/build", self.build)
        app.on_shutdown.append(self._logs.close)

    async def functions(self, request: web.Request) -> web.Response:
        """All functions and their annotations."""
        return _json([each.described() for each in self._provider.functions.values()])

    async def function(self, request: web.Request) -> web.Response:
        """One function."""
        name = request.match_info["name"]
        if name not in self._provider.functions:
            raise UnknownFunctionError(name)
        return _json(self._provider.functions[name].described())

    async def deploy(self, request: web.Request) -> web.Response:
        """Starts a function, or updates it."""
        deployment = parse(await _object(request))
        await self._provider.deploy(deployment, self._contexts / deployment.name)
        return web.Response(status=202)

    async def update(self, request: web.Request) -> web.Response:
        """Rolls a function over; `faas-cli` deploys anew what is not there yet."""
        deployment = parse(await _object(request))
        if deployment.name not in self._provider.functions:
            raise UnknownFunctionError(deployment.name)
        await self._provider.deploy(deployment, self._contexts / deployment.name)
        return web.Response(status=202)

    async def remove(self, request: web.Request) -> web.Response:
        await self._provider.remove(str((await _object(request)).get("functionName", "")))
        return web.Response(status=202)

    async def scale(self, request: web.Request) -> web.Response:
        count = (await _object(request)).get("replicas")
        if not isinstance(count, int):
            raise DeploymentError("replicas: a number is needed")
        await self._provider.scale(request.match_info["name"], count)
        return web.Response(status=202)

    async def restart(self, request: web.Request) -> web.Response:
        """All functions anew; OpenFaaS has no such call, its operators have Kubernetes'."""
        await self._provider.restart()
        return web.Response(status=202)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """What a function printed, a JSON object a line."""
        query = Query.parse(request.query)
        return await self._logs.stream(request, query, self._provider.log(query.name))

    async def secrets(self, request: web.Request) -> web.Response:
        """The secrets' names, never their values."""
        names = sorted(each.name for each in self._secrets.iterdir() if NAME.fullmatch(each.name))
        return _json([{"name": name, "namespace": NAMESPACE} for name in names])

    async def put_secret(self, request: web.Request) -> web.Response:
        """Makes a secret, or changes it: functions read it when they start."""
        asked = await _object(request)
        name, there = self._secret(asked)
        if request.method == "POST" and there:
            return web.Response(status=409, text=f"there is a secret {name}\n")
        if request.method == "PUT" and not there:
            return web.Response(status=404, text=f"there is no secret {name}\n")
        try:
            raw = base64.b64decode(str(asked.get("rawValue") or ""), validate=True)
            value = raw.decode() or str(asked.get("value") or "")
        except (binascii.Error, UnicodeDecodeError):
            raise DeploymentError("rawValue: text in base64 is needed") from None
        if not value or len(value) > SECRET_LIMIT:
            raise DeploymentError(f"value: 1 to {SECRET_LIMIT} characters are needed")
        secretfiles.write(self._secrets, name, value)
        return web.Response(status=202)

    async def remove_secret(self, request: web.Request) -> web.Response:
        name, there = self._secret(await _object(request))
        if not there:
            return web.Response(status=404, text=f"there is no secret {name}\n")
        (self._secrets / name).unlink()
        return web.Response(status=202)

    async def namespaces(self, request: web.Request) -> web.Response:
        return _json([NAMESPACE])

    async def info(self, request: web.Request) -> web.Response:
        """As a gateway tells it; a gateway in front of us asks for the provider's own form."""
        provider = {
            "provider": "stonechat-local",
            "orchestration": "processes",
            "version": VERSION,
        }
        if "X-Forwarded-For" in request.headers:
            return _json(provider)
        return _json({"provider": provider, "version": VERSION, "arch": ""})

    async def build(self, request: web.Request) -> web.Response:
        """Keeps a build context as an image (OpenFaaS' Function Builder API)."""
        archive = await _read(request, ARCHIVE_LIMIT)
        signature = "sha256=" + hmac.new(self._password, archive, hashlib.sha256).hexdigest()
        given = request.headers.get("X-Build-Signature", "")
        if not hmac.compare_digest(given.encode(), signature.encode()):
            return web.Response(status=401, text="the signature is not right\n")
        try:
            image, said = await self._provider.images.build(archive)
            result = {"log": said, "image": image, "status": "success"}
        except (ImageError, OSError) as error:
            result = {"log": [], "image": "", "status": "failed", "error": str(error)}
        return web.Response(body=orjson.dumps(result) + b"\n", content_type="application/x-ndjson")

    def _secret(self, asked: dict[str, Any]) -> tuple[str, bool]:
        """Its name and whether it is there. Raises `DeploymentError`."""
        name = str(asked.get("name", ""))
        if not NAME.fullmatch(name):
            raise DeploymentError("name: a secret's name has a-z, 0-9 and dashes")
        if name.startswith(("stonechat-", "basic-auth-")):
            raise web.HTTPForbidden(text=f"{name} is the system's own\n")
        return name, (self._secrets / name).exists()

    def _guarded(self, handler: _Handler) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="Restricted"'})
            if request.query.get("namespace", "") not in ("", NAMESPACE):
                return web.Response(status=400, text=f"there is one namespace, {NAMESPACE}\n")
            try:
                return await handler(request)
            except UnknownFunctionError:
                return web.Response(status=404, text="no such function\n")
            except (DeploymentError, ImageError, QueryError) as error:
                return web.Response(status=400, text=f"{error}\n")
            except FunctionFailedError as error:
                return web.Response(status=500, text=f"{error}\n")

        return guarded


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        found = orjson.loads(await _read(request, 2 * SECRET_LIMIT))
    except orjson.JSONDecodeError:
        raise DeploymentError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise DeploymentError("the body is not a JSON object")
    return found


async def _read(request: web.Request, limit: int) -> bytes:
    """The whole body. The application's own limit is for calls of functions."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(body))
    return bytes(body)


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
