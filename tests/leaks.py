"""What must not be in the tree: secrets, and where it was made. `python -m tests.leaks`.

It looks at every file that git tracks or would, line by line. Known shapes of keys and tokens are
found anywhere; what has no shape is found by what it is given to: a name like `password` or `token`
that gets a text as random as only machines write. Beside them it finds what names the machine it
was written on: home folders, and the hosts or settings of package registries.

A line that has to look like that says so, with `not a secret` and why, on the same line.
"""

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
MEANT = "not a secret"
SIZE_LIMIT = 5_000_000  # bytes; what is larger has no business here

_SHAPES = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "private key, encoded": r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/]{16,}",
    "AWS key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "Google key": r"\bAIza[\w-]{35}(?![\w-])",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,})",
    "GitLab token": r"\bglpat-[\w-]{20,}",
    "Slack token": r"\bxox[abeoprs]-[\w-]{10,}",
    "Slack hook": r"hooks\.slack\.com/services/T\w+/B\w+/\w+",
    "Stripe key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}",
    "key of an API": r"\bsk-(?:[a-z0-9]+-)*[\w]{20,}",
    "PyPI token": r"\bpypi-AgE[\w-]{40,}",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "SendGrid key": r"\bSG\.[\w-]{16,}\.[\w-]{32,}",
    "Telegram token": r"\b\d{8,10}:AA[\w-]{33}(?![\w-])",
    "JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{16,}",
    "age key": r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b",
    "content key": r"^\s*\d+:[0-9a-f]{64}\s*$",
    "home folder": r"(?<![\w.])/(?:home/(?!app\b)[a-z_][\w.-]*|Users/[A-Za-z][\w.-]*|root)/[\w.-]",
    "registry": (
        r"(?i)pythonhosted[.]org|\bpypi[.]org/simple|proxy[.]golang[.]org|registry[.]npmjs"
        r"|\b[a]rtifactory\b|--(?:extra-|default-)?index(?:-url)?[ =]|--find[-]links"
        r"|\b(?:(?:PIP|UV)_(?:\w+_)?(?:INDEX|FIND_LINKS)\w*|GOPROXY|GONOSUMDB|GOFLAGS)="
    ),
}
_SHAPED = {kind: re.compile(shape) for kind, shape in _SHAPES.items()}

# A name that ends as secrets' names do, what gives it a value, and the value.
_GIVEN = re.compile(
    r"""(?ix) (?:password|passwd|passphrase|pwd|secret|token|credentials?|api_?key|_key|-key|\bkey)
    s? ["'\]]* \s* (?: [:=]>? | := | == | [ ]= ) \s* (?:[a-z]?["'`])?
    (?P<value>[A-Za-z0-9+/=_.~!@\#$%^&*-]{16,})"""
)
# A password within an address.
_WITHIN = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}$<>]*:(?P<value>[^\s/:@'\"{}$<>]+)@")
# Bits a character: words of people and code have less.
_RANDOM_BITS = 3.3
_HEX_BITS = 2.8
# Passwords of examples, in addresses that lead nowhere.
_EXAMPLE = re.compile(r"(?i)password|secret|passwd|pass|pw|hunter2|x+|\.+|…")


class Leak(NamedTuple):
    file: str
    line: int
    kind: str

    def __str__(self) -> str:
        # Never what was found: it would be in the next log.
        return f"{self.file}:{self.line}: {self.kind}"


def bits(text: str) -> float:
    """Shannon's entropy of the characters, in bits for each."""
    counted = Counter(text).values()
    return -sum(each / len(text) * math.log2(each / len(text)) for each in counted)


def is_random(value: str) -> bool:
    """Whether it looks made by a machine: hexadecimal digits, base32, or letters with
    digits among them."""
    if re.fullmatch(r"[0-9a-fA-F]{24,}", value):
        return bits(value) >= _HEX_BITS
    if re.fullmatch(r"[A-Z2-7]{16,}=*", value):  # base32: too few digits to change often
        return len(re.findall(r"\d", value)) > 1 and bits(value) >= _RANDOM_BITS
    core = re.sub(r"[^A-Za-z0-9]", "", value)
    # Names in code change between letters and digits, small and large, now and then; what is
    # random, at every second or third character.
    turns = len(re.findall(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])|[a-z](?=[A-Z])", core))
    return len(core) >= 16 and turns * 5 >= len(core) and bits(core) >= _RANDOM_BITS


def kinds(line: str) -> Iterator[str]:
    """What is on the line."""
    if MEANT in line:
        return
    yield from (kind for kind, shape in _SHAPED.items() if shape.search(line))
    if any(is_random(match["value"]) for match in _GIVEN.finditer(line)):
        yield "random text under a secret's name"
    if any(not _EXAMPLE.fullmatch(match["value"]) for match in _WITHIN.finditer(line)):
        yield "password in an address"


def scan(folder: Path) -> list[Leak]:
    """The leaks of a repository's files, those not yet added included, by file and line."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
    return [
        Leak(name, *found)
        for name in sorted(set(listed.stdout.decode().split("\0")) - {""})
        if (folder / name).is_file() and not (folder / name).is_symlink()
        for found in _file(folder / name)
    ]


def _file(file: Path) -> Iterator[tuple[int, str]]:
    if file.stat().st_size > SIZE_LIMIT:
        yield 0, f"larger than {SIZE_LIMIT} bytes"
        return
    # Bytes that are no text are kept apart from text, which may be in the same file.
    for number, line in enumerate(file.read_bytes().decode(errors="replace").splitlines(), 1):
        yield from ((number, kind) for kind in kinds(line))


def main() -> int:
    found = scan(ROOT)
    for leak in found:
        print(leak)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
