"""Where an account's files lie: names of files are made here alone, of usernames in their one form,
so that no name leads out of the folder, and Alice and alice are one."""

import hashlib
import os
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

_FORM = re.compile(r"[a-z0-9_.-]{3,32}")
_WIDE = ("<wide>", "<narrow>")
_LOOPBACK = ("127.0.0.1", "::1")
_SERVER_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Account:
    """A username at a server, in a folder. A password is one host's; a device is of one address and
    of one kind of command, and several of a kind are numbered from 1. What a username never has
    (`@`) stands behind it."""

    folder: Path
    username: str
    url: str

    @property
    def password(self) -> Path:
        host = urlsplit(self.url).hostname or ""
        server = quote("localhost" if host in _LOOPBACK else host, safe="")
        return self.folder / f"{self.username}@{server[:_SERVER_LENGTH]}.password"

    def device(self, kind: str, number: int) -> Path:
        server = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return self.folder / f"{self.username}@{server}.{kind}.{number}.sqlite"


def names(folder: Path, username: str) -> Path:
    """Where the names are that this username has met, wherever."""
    return folder / f"{username}@.names.json"


def username(typed: str) -> str:
    """The username that this means: letters small and of common width, without the space around
    them (RFC 8265). Raises `ValueError` where it can be nobody's, before anything is asked or
    written."""
    found = unicodedata.normalize("NFC", "".join(map(_common, typed.strip())).lower())
    if not _FORM.fullmatch(found):
        raise ValueError("a username has 3 to 32 characters of a-z, 0-9 and _.-")
    return found


def default_folder() -> Path:
    """`$STONECHAT_STATE`, or the user's own data folder."""
    given = os.environ.get("STONECHAT_STATE")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(given) if given else Path(data) / "stonechat"


def make(folder: Path) -> None:
    """Makes the folder, for its owner alone. One that was there with others' files in it is left as
    it is; what we put there is for the owner alone in any case. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder == default_folder() or not any(folder.iterdir()):
        with suppress(PermissionError):  # it is another's, who let us in
            folder.chmod(0o700)


def write(file: Path, text: str) -> None:
    """Puts the text there, for its owner alone, at once: a reader sees all of it or what was there
    before."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    _fill(new, text)
    new.replace(file)


def write_first(file: Path, text: str) -> bool:
    """The same unless there is such a file already: whether it was written."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    _fill(new, text)
    try:
        os.link(new, file)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def _fill(file: Path, text: str) -> None:
    with suppress(FileNotFoundError):
        file.unlink()
    with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:
        opened.write(text)


def _common(each: str) -> str:
    wide = unicodedata.decomposition(each).startswith(_WIDE)
    return unicodedata.normalize("NFKC", each) if wide else each
