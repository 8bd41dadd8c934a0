"""A running gateway front, as its operator: functions built, deployed and removed, their logs and
secrets. What `faas-cli` does, for where there is none."""

import hashlib
import hmac
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson

from local.deployment import Packed
from local.images import CONFIG

_SKIPPED = {"__pycache__", ".pytest_cache", ".venv"}
_SECONDS = 330.0  # installing requirements included


class DeployFailedError(RuntimeError):
    """The front refused. One line for people."""


class Front:
    """A gateway front. All methods raise `DeployFailedError`."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._password = password.encode()
        self._http = httpx.Client(base_url=url, auth=(user, password), timeout=_SECONDS)

    def functions(self) -> list[dict[str, Any]]:
        """What is deployed, as the gateway's API shows it."""
        found: list[dict[str, Any]] = self._asked("GET", "/system/functions").json()
        return sorted(found, key=lambda each: str(each["name"]))

    def up(self, packed: Packed) -> None:
        """Builds a function's image and deploys it; returns when it runs."""
        self._build(packed)
        body = packed.deployment.model_dump(by_alias=True, exclude_none=True)
        self._asked("POST", "/system/functions", body)

    def remove(self, name: str) -> None:
        self._asked("DELETE", "/system/functions", {"functionName": name})

    def logs(self, name: str, since: str, *, follow: bool) -> Iterator[str]:
        """What a function printed, line by line; where `follow`, for ever. `since` is a time as
        ISO 8601 has it, or nothing."""
        query = {"name": name, "since": since, "follow": str(follow).lower()}
        timeout = httpx.Timeout(_SECONDS, read=None if follow else _SECONDS)
        try:
            with self._http.stream("GET", "/system/logs", params=query, timeout=timeout) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise DeployFailedError(answer.text.strip())
                for line in answer.iter_lines():
                    yield str(orjson.loads(line)["text"])
        except httpx.HTTPError as error:
            raise DeployFailedError(f"the gateway cannot be asked: {error}") from None

    def secrets(self) -> list[str]:
        """The secrets' names."""
        return [str(each["name"]) for each in self._asked("GET", "/system/secrets").json()]

    def create_secret(self, name: str, value: str) -> None:
        self._asked("POST", "/system/secrets", {"name": name, "value": value})

    def update_secret(self, name: str, value: str) -> None:
        self._asked("PUT", "/system/secrets", {"name": name, "value": value})

    def remove_secret(self, name: str) -> None:
        self._asked("DELETE", "/system/secrets", {"name": name})

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise DeployFailedError(f"the gateway cannot be asked: {error}") from None
        if answer.status_code not in (200, 202):
            said = " ".join(answer.text.split())
            raise DeployFailedError(said or f"the gateway answers {answer.status_code}")
        return answer

    def _build(self, packed: Packed) -> None:
        archive = pack(packed.folder, packed.deployment.image)
        signature = hmac.new(self._password, archive, hashlib.sha256).hexdigest()
        headers = {"X-Build-Signature": f"sha256={signature}"}
        try:
            answer = self._http.post("/build", content=archive, headers=headers)
        except httpx.HTTPError as error:
            raise DeployFailedError(f"the gateway cannot be asked: {error}") from None
        if answer.status_code != 200:
            raise DeployFailedError(answer.text.strip())
        result = answer.json()
        if result["status"] != "success":
            raise DeployFailedError(result["error"])


def pack(folder: Path, image: str) -> bytes:
    """A handler's folder as the archive that a builder takes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for file in sorted(folder.rglob("*")):
            place = file.relative_to(folder)
            if file.is_file() and not _SKIPPED.intersection(place.parts):
                tar.add(file, f"context/function/{place}", recursive=False)
        config = orjson.dumps({"image": image})
        entry = tarfile.TarInfo(CONFIG)
        entry.size = len(config)
        tar.addfile(entry, io.BytesIO(config))
    return out.getvalue()
