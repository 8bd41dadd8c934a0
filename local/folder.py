"""A stack's folder: whose it is, which version's, and what runs there."""

import fcntl
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from local import ports

# Raise it when what is kept here cannot be read by the version before any more, or the reverse.
FORMAT = 1

DEFAULT = ".local"
APART = 100  # between the ports of a stack and those of the next
_SLOTS = range(1, 10)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")

_LOCK = "lock"
_FORMAT = "format"
_SLOT = "slot"
_RUNNING = "running"


class FolderError(RuntimeError):
    """The folder cannot be used. One line for people."""


class NothingRunsError(FolderError):
    """No stack runs there."""


@dataclass(frozen=True)
class Running:
    """Where the parts of a stack that runs are reached."""

    gateway: str
    doors: list[str]
    secrets: str  # the folder


class Claim:
    """The folder is this process's own until it is released, or the process ends."""

    def __init__(self, folder: Path) -> None:
        """Raises `FolderError`."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderError(f"cannot write in {folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
            _check_format(folder)
        except BlockingIOError:
            os.close(self._lock)
            raise FolderError(
                f"another stack runs in {folder} already{_owner(folder)}; "
                "`make up STACK=NAME` starts one beside it"
            ) from None
        except OSError as error:
            os.close(self._lock)
            raise FolderError(f"cannot write in {folder}: {error.strerror}") from None
        except FolderError:
            os.close(self._lock)
            raise

    def tell(self, running: Running) -> None:
        """What other commands are to know. Raises `FolderError`."""
        try:
            _write(self._folder / _RUNNING, orjson.dumps(asdict(running)))
        except OSError as error:
            raise FolderError(f"cannot write in {self._folder}: {error.strerror}") from None

    def release(self) -> None:
        (self._folder / _RUNNING).unlink(missing_ok=True)
        os.close(self._lock)


def running(folder: Path) -> Running:
    """What runs there, when all of it is ready. Raises `NothingRunsError`; what a stack left that
    was killed counts for nothing."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Running(**orjson.loads((folder / _RUNNING).read_bytes()))
        finally:
            os.close(lock)
    except FileNotFoundError as error:
        if error.filename and str(error.filename).endswith(_RUNNING):
            raise NothingRunsError(f"what runs in {folder} is not ready yet") from None
    except (OSError, ValueError, TypeError) as error:
        raise NothingRunsError(f"{folder} cannot be read: {error}") from None
    stack = folder.name.removeprefix(f"{DEFAULT}-")
    word = f" STACK={stack}" if stack != folder.name else ""
    raise NothingRunsError(f"nothing runs in {folder}: `make up{word}` starts it")


def of_stack(name: str | None, home: Path) -> Path:
    """The folder of the stack with this name, of the default one without. Raises `FolderError`."""
    if name is None:
        return home / DEFAULT
    if not _NAME.fullmatch(name):
        raise FolderError(f"a stack's name has a-z, 0-9 and dashes, 20 at most, unlike {name!r}")
    return home / f"{DEFAULT}-{name}"


def offset(folder: Path, used: tuple[int, ...]) -> int:
    """What is added to each port of the default stack for the one in this folder: the same at each
    start, another one than those beside it have. `used` are the default ports that must be free at
    the first start. Raises `FolderError`."""
    if not folder.name.startswith(f"{DEFAULT}-"):
        return 0
    known = _slot(folder)
    if known is None:
        taken = {_slot(each) for each in folder.parent.glob(f"{DEFAULT}-*")}
        known = next(
            (
                slot
                for slot in _SLOTS
                if slot not in taken and all(ports.is_free(port + slot * APART) for port in used)
            ),
            None,
        )
        if known is None:
            raise FolderError(
                f"there are {len(_SLOTS)} stacks beside the first, and no ports for more: "
                "`make clean STACK=NAME` removes one"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / _SLOT, str(known).encode())
        except OSError as error:
            raise FolderError(f"cannot write in {folder}: {error.strerror}") from None
    return known * APART


def _slot(folder: Path) -> int | None:
    try:
        return int((folder / _SLOT).read_text())
    except (OSError, ValueError):
        return None


def _check_format(folder: Path) -> None:
    file = folder / _FORMAT
    if not file.exists():
        _write(file, str(FORMAT).encode())
    found = file.read_text().strip()
    if found != str(FORMAT):
        raise FolderError(
            f"{folder} is another version's (its format is {found[:20]!r}, this one's {FORMAT}): "
            "go on with that version, or remove the folder and all that is in it"
        )


def _owner(folder: Path) -> str:
    """Who has claimed it, as ` (process N, NAME)`; empty where that is not known."""
    try:
        pid = int((folder / _LOCK).read_text())
        return f" (process {pid}, {Path(f'/proc/{pid}/comm').read_text().strip()})"
    except (OSError, ValueError):
        return ""


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.rename(file)
