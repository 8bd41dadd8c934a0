"""Functions of a stack file, built and deployed to a running gateway front: what `faas-cli up`
does, for where there is no `faas-cli`."""

import hashlib
import hmac
import io
import tarfile
from pathlib import Path

import httpx
import orjson

from local.deployment import Packed
from local.images import CONFIG

_SKIPPED = {"__pycache__", ".pytest_cache", ".venv"}
_SECONDS = 330.0  # installing requirements included


class DeployFailedError(RuntimeError):
    """The front refused. One line for people."""


class Front:
    """A gateway front, as its operator."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._password = password.encode()
        self._http = httpx.Client(base_url=url, auth=(user, password), timeout=_SECONDS)

    def up(self, packed: Packed) -> None:
        """Builds a function's image and deploys it; returns when it runs. Raises
        `DeployFailedError`."""
        try:
            self._build(packed)
            body = packed.deployment.model_dump(by_alias=True, exclude_none=True)
            answer = self._http.post("/system/functions", json=body)
        except httpx.HTTPError as error:
            raise DeployFailedError(f"the gateway cannot be asked: {error}") from None
        if answer.status_code != 202:
            raise DeployFailedError(answer.text.strip())

    def remove(self, name: str) -> None:
        """Raises `DeployFailedError`."""
        answer = self._http.request("DELETE", "/system/functions", json={"functionName": name})
        if answer.status_code != 202:
            raise DeployFailedError(answer.text.strip())

    def _build(self, packed: Packed) -> None:
        archive = pack(packed.folder, packed.deployment.image)
        signature = hmac.new(self._password, archive, hashlib.sha256).hexdigest()
        headers = {"X-Build-Signature": f"sha256={signature}"}
        answer = self._http.post("/build", content=archive, headers=headers)
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
