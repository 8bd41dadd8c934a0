"""Where calls come from: the network that one person can hardly leave.

A subscriber has an IPv6 /64 as a matter of course, and neighbours of an IPv4 address are often of
one house: so a *source* is a /64, or a /24.
"""

import ipaddress

UNKNOWN = "unknown"  # all who come without an address, or with nonsense
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def source(address: str | None) -> str:
    """The network of an address: `192.0.2.0/24`, `2001:db8::/64`. An IPv4 address that is written
    as an IPv6 one (mapped, or by NAT64) is the IPv4 one; what is no address is `UNKNOWN`."""
    try:
        found = ipaddress.ip_address((address or "").strip().strip("[]").partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    bits = 24 if found.version == 4 else 64
    return str(ipaddress.ip_network((found, bits), strict=False))
