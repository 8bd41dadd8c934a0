"""Images without a container engine: build contexts, as `faas-cli` assembles them, kept in folders.

A context has `function/handler.py`. `build` takes one from the tar archive that `faas-cli` sends to
a remote builder (the protocol of OpenFaaS' Function Builder API), `take` from the folder that
`faas-cli build --shrinkwrap` wrote. What is kept is found by its name and never changed; a new
build of the same name is another folder, so that what runs goes on with what it was started from.
"""

import asyncio
import hashlib
import io
import re
import secrets
import shutil
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import orjson

CONFIG = "com.openfaas.docker.config"
UNPACKED_LIMIT = 256 * 1024 * 1024
FILES_LIMIT = 20_000
_INSTALL_SECONDS = 300.0
_LATEST = "latest"


class ImageError(ValueError):
    """It cannot be built, or is not there. For people."""


class Images:
    """The images in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def build(self, archive: bytes) -> tuple[str, list[str]]:
        """The image's name and what was said on the way. Raises `ImageError`."""
        temporary = self._temporary()
        try:
            config = await asyncio.to_thread(_unpack, archive, temporary)
            name = str(config.get("image", ""))
            if not name:
                raise ImageError("the archive does not say which image it is for")
            said = await self._finish(name, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return name, said

    async def take(self, name: str, context: Path) -> Path:
        """Keeps a copy of a context under a name, and returns it. Raises `ImageError`."""
        temporary = self._temporary()
        try:
            await asyncio.to_thread(shutil.copytree, context, temporary)
            await self._finish(name, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return self.find(name)

    def find(self, name: str) -> Path:
        """The latest context of this name. Raises `ImageError`."""
        link = self._folder / _file(name) / _LATEST
        if not link.exists():
            raise ImageError(
                f"there is no image {name}: `faas-cli up` builds it with OPENFAAS_REMOTE_BUILDER "
                "set to this gateway, `faas-cli build --shrinkwrap` makes its build context"
            )
        return link.resolve()

    def is_newer(self, context: Path, name: str) -> bool:
        """Whether there is such a context, written after the latest image of this name."""
        link = self._folder / _file(name) / _LATEST
        if not context.is_dir():
            return False
        return not link.is_symlink() or context.stat().st_mtime > link.lstat().st_mtime

    def sweep(self, used: Iterable[Path]) -> None:
        """Removes what is neither the latest of its name nor in use."""
        kept = {each.resolve() for each in used}
        for name in self._folder.glob("*"):
            latest = name / _LATEST
            for each in name.iterdir():
                if not each.is_symlink() and each != latest.resolve() and each not in kept:
                    shutil.rmtree(each, ignore_errors=True)

    def _temporary(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder.parent / f"building-{secrets.token_hex(8)}"

    async def _finish(self, name: str, context: Path) -> list[str]:
        if not (context / "function" / "handler.py").is_file():
            raise ImageError("there is no function/handler.py in the build context")
        said = [f"context of {name} unpacked"]
        if _wanted(context / "function" / "requirements.txt"):
            said += await _install(context)
        return [*said, f"kept as {self._keep(name, context)}"]

    def _keep(self, name: str, context: Path) -> str:
        home = self._folder / _file(name)
        home.mkdir(exist_ok=True)
        target = home / secrets.token_hex(8)
        context.rename(target)
        pointing = home / f".{target.name}"
        pointing.symlink_to(target.name)
        pointing.rename(home / _LATEST)
        return target.name


def packages(context: Path) -> Path | None:
    """What the context's own requirements brought, where there are any."""
    found = context / "packages"
    return found if found.is_dir() else None


def _file(name: str) -> str:
    readable = re.sub(r"[^a-z0-9.-]+", "-", name.lower())[:60]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _unpack(archive: bytes, target: Path) -> dict[str, object]:
    """Writes the archive's `context/` and returns its configuration."""
    config: dict[str, object] = {}
    target.mkdir(parents=True)
    size = count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                size, count = size + member.size, count + 1
                if size > UNPACKED_LIMIT or count > FILES_LIMIT:
                    raise ImageError("the build context is too large")
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise ImageError(f"the archive names a place outside of it: {member.name}")
                file = tar.extractfile(member) if member.isfile() else None
                if file is None:
                    continue
                if path == PurePosixPath(CONFIG):
                    config = orjson.loads(file.read())
                elif path.parts[0] == "context" and len(path.parts) > 1:
                    place = target.joinpath(*path.parts[1:])
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with place.open("wb") as out:
                        shutil.copyfileobj(file, out)
    except (tarfile.TarError, orjson.JSONDecodeError, EOFError) as error:
        raise ImageError(f"the archive cannot be read: {error}") from None
    return config


def _wanted(requirements: Path) -> bool:
    if not requirements.is_file():
        return False
    lines = requirements.read_text().splitlines()
    return any(line.split("#")[0].strip() for line in lines)


async def _install(context: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--target", "packages"]
    command += ["--require-hashes", "-r", "function/requirements.txt"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=context, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), _INSTALL_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ImageError("its requirements took too long to install") from None
    said = out.decode(errors="replace").splitlines()
    if process.returncode:
        raise ImageError("its requirements cannot be installed: " + " ".join(said[-3:]))
    return [*said, "requirements installed"]
