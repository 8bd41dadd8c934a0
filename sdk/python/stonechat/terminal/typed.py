"""What is typed in a chat: a message, or a command about one. No terminal here."""

import re
from dataclasses import dataclass
from typing import Literal

HELP = (
    "/reply [#N] TEXT, /react [#N] EMOJI, /edit [#N] TEXT, /recall [#N]: about the message of that "
    "number, or the last one. /help shows this, //TEXT says /TEXT, Ctrl-D ends."
)
_COMMAND = re.compile(r"/(\w+)(?:\s+#(\d{1,15}))?(?:\s+(.*))?", re.DOTALL)
_TAKES_TEXT = {"reply": True, "react": True, "edit": True, "recall": False, "help": False}

Kind = Literal["say", "reply", "react", "edit", "recall", "help"]


@dataclass(frozen=True, slots=True)
class Typed:
    """`ref` is the number that was given, if one was."""

    kind: Kind
    text: str = ""
    ref: int | None = None


def parse(text: str) -> Typed:
    """Raises `ValueError`, which says what is wrong."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("that is no text: is the terminal's encoding UTF-8?") from None
    if not text.startswith("/") or text.startswith("//"):
        return Typed("say", text.removeprefix("/") if text.startswith("//") else text)
    found = _COMMAND.fullmatch(text.rstrip())
    name = found[1] if found else text.split()[0][1:]
    if found is None or name not in _TAKES_TEXT:
        raise ValueError(f"there is no command /{name}; /help tells, //{name} says /{name}")
    rest = (found[3] or "").strip()
    if _TAKES_TEXT[name] != bool(rest):
        wrong = "takes a text" if _TAKES_TEXT[name] else "takes no text"
        raise ValueError(f"/{name} {wrong}; /help tells")
    return Typed(name, rest, int(found[2]) if found[2] else None)  # type: ignore[arg-type]
