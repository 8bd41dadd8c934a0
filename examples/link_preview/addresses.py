"""Where a link may lead. Users choose the links and we are inside the network, so a link must not
reach what they cannot reach themselves (server-side request forgery, CWE-918).

A name is resolved once, all its addresses are checked, and the connection is made to a checked
address: a name that means something else a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket

import httpx

from .config import Config

_SCHEMES = {"http": 80, "https": 443}
# All that is given out of IPv6, less 6to4, which wraps IPv4 addresses. The forms that map or
# translate them (::ffff:0:0/96, 64:ff9b::/96) are outside.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_6TO4 = ipaddress.IPv6Network("2002::/16")


class Refused(Exception):
    """There is nothing to show of this link, now or later."""

    plain = True  # its texts quote nobody


class Unreachable(Exception):
    """There may be something to show later."""

    plain = True


async def address_of(url: httpx.URL, config: Config) -> str:
    """The address to connect to for this URL. Raises `Refused` and `Unreachable`."""
    if url.scheme not in _SCHEMES or not url.raw_host or url.userinfo:
        raise Refused("not a link")
    port = _SCHEMES[url.scheme] if url.port is None else url.port
    host = url.raw_host.decode("ascii")
    if port not in config.ports:
        raise Refused("the port")
    addresses = await _resolved(host, port)
    if host not in config.internal_hosts and not all(map(is_public, addresses)):
        raise Refused("not a public address")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's: not loopback, private, shared (RFC 6598),
    link-local, multicast, documentation, reserved, or IPv4 in disguise."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed in _UNICAST and parsed not in _6TO4 and parsed.is_global
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


async def _resolved(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Unreachable("the name is not resolved now") from None
        raise Refused("no such host") from None
    except UnicodeError:  # a label that is too long
        raise Refused("not a name") from None
    return [str(each[4][0]) for each in found]
