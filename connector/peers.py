"""Who is at the other end of a connection: the socket's address, or what trusted proxies say.

`X-Forwarded-For` is believed as far as trusted proxies wrote it: read from the right, the first
address that is none of theirs is the client's (as MDN and RFC 7239, section 8.1, advise).
"""

import ipaddress
from typing import Any, Protocol

from shared.setting_types import networks

AGENT_LENGTH = 200

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Headers(Protocol):
    """Of a request, where a name may come more than once."""

    def getall(self, key: str, default: list[str]) -> list[str]: ...


class Peers:
    def __init__(self, trusted_proxies: str) -> None:
        """`trusted_proxies` are networks, separated by commas. Raises `ValueError`."""
        self._trusted = networks(trusted_proxies)

    def address(self, peername: Any, headers: Headers) -> str:
        """The client's address; empty where the socket has none."""
        peer = _parsed(str(peername[0])) if isinstance(peername, tuple) and peername else None
        if peer is None:
            return ""
        found = peer
        # A proxy may add a line of its own below the one that its client made up.
        for text in reversed(",".join(headers.getall("X-Forwarded-For", [])).split(",")):
            if not self._is_trusted(found):
                break
            given = _parsed(text.strip())
            if given is None:
                break
            found = given
        return str(found)

    def limited_as(self, peername: Any) -> str | None:
        """As whose a connection counts, before anything is read from it: None for a trusted
        proxy's, which are many people's."""
        peer = _parsed(str(peername[0])) if isinstance(peername, tuple) and peername else None
        if peer is None:
            return ""
        return None if self._is_trusted(peer) else place(str(peer))

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def place(address: str) -> str:
    """What is limited as one: an IPv4 address, the /64 of an IPv6 address."""
    found = _parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return address


def agent(header: str | None) -> str:
    """What a client's program calls itself: printable, and not long."""
    return "".join(filter(str.isprintable, header or ""))[:AGENT_LENGTH]


def _parsed(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.split("%")[0].strip("[]"))
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
