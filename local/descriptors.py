"""How many files a process may have open, of which each client's socket is one."""

import resource

_BESIDE = 1000  # that a connector has open besides, generously
_LEAST = 1024  # without which the stores do not work


class TooFewError(RuntimeError):
    """The stack cannot run with so few. One line for people."""


def raise_limit(sockets: int) -> str:
    """Allows this process and its children what the system lets them have, and returns a line where
    that is too little for a connector's sockets. Raises `TooFewError`."""
    wanted = sockets + _BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return shortage(sockets, soft)


def shortage(sockets: int, allowed: int) -> str:
    """The line for so many open files a process; empty where they are enough. Raises
    `TooFewError`."""
    if allowed == resource.RLIM_INFINITY or allowed >= sockets + _BESIDE:
        return ""
    if allowed < _LEAST:
        raise TooFewError(
            f"a process may have {allowed} files open, and {_LEAST} are needed: "
            f"`ulimit -n {sockets + _BESIDE}` before, or the system's own limit"
        )
    return (
        f"a process may have {allowed} files open: enough for {max(0, allowed - _BESIDE)} clients "
        f"of a connector, which is to carry {sockets} (STONECHAT_SESSIONS_LIMIT)"
    )
