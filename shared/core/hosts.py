"""Addresses that our requests may go to if somebody else has chosen the address."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _within(address: Address) -> Address:
    """The address that a packet ends at: IPv6 wraps IPv4 in several ways."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def may_reach(text: str, allowed: Iterable[Network]) -> bool:
    """True for an IP address that is public, or in one of the `allowed` networks. False for a text that is no
    address."""
    try:
        address = _within(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
    public = address.is_global and not address.is_multicast and not address.is_reserved
    return public or any(address.version == one.version and address in one for one in allowed)


def is_address(host: str) -> bool:
    """True if a URL's host is an address, not a name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
