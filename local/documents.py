"""SecantusDB, the local document store, as one of its two servers.

The one in Python comes with its package. The one in Rust stores a message for a tenth of the CPU;
`make fast-store` builds it where there is a Rust toolchain, and new stacks use it then. Each keeps
files of its own, since neither takes the other's indexes for its own, and a stack stays with the
server that made its files. `STONECHAT_LOCAL_STORE` (`python` or `rust`) chooses for a new one.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from local.layout import ROOT

PYTHON = Path(sys.executable).parent / "secantusd-py"
RUST = ROOT / ".tools" / "bin" / "secantusd-rs"


class Server(NamedTuple):
    program: Path
    data: Path


def server(folder: Path, wanted: str | None = None) -> Server:
    """The server of the stack that keeps its documents in this folder. Raises `ValueError` where
    there is none of the name that is wanted, or it is not installed."""
    python, rust = Server(PYTHON, folder / "data"), Server(RUST, folder / "data-rust")
    chosen = next((each for each in (python, rust) if each.data.exists()), None)
    if chosen is None:
        match wanted:
            case None:
                chosen = rust if rust.program.exists() else python
            case "python":
                chosen = python
            case "rust":
                chosen = rust
            case _:
                raise ValueError(f"STONECHAT_LOCAL_STORE is python or rust, not {wanted}")
    if not chosen.program.exists():
        how = "make fast-store" if chosen is rust else "make up"
        raise ValueError(
            f"the documents in {folder} need {chosen.program.name}, which is not installed: "
            f"`{how}` does it"
        )
    return chosen
