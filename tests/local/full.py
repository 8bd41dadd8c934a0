"""A small disk of one's own, which can really be full."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def on_a_small_disk(folder: Path, megabytes: int) -> list[str]:
    """A command before a command, which sees a disk of this size in the folder."""
    mount = f'mount -t tmpfs -o size={megabytes}m none "$0" && exec "$@"'
    return [*_NAMESPACE, "sh", "-c", mount, str(folder)]


def _works() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = [*on_a_small_disk(Path("/tmp"), 1), "true"]
    return subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode == 0


needs_tmpfs = pytest.mark.skipif(
    not _works(), reason="no file system can be mounted here, by root or in a user's namespace"
)


class Disk:
    """The disk that a process in such a namespace sees."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._folder = Path(f"/proc/{pid}/root{folder}")
        self._filler = self._folder / "filler"

    @property
    def free(self) -> int:
        """Bytes."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Leaves so many bytes."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while (more := self.free - leave) > 0:
                    filler.write(bytes(min(more, 1024 * 1024)))
            except OSError:
                pass

    def take(self) -> None:
        """Leaves nothing, from one moment to the next."""
        with self._filler.open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, self.free)

    def empty(self) -> None:
        """Takes away what fills it."""
        self._filler.unlink()
