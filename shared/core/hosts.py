"""Addresses: how one is read, under which a caller counts, and which our requests may go to if somebody else has chosen it."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST = 64
"""Characters that count of a name that is no address: proxies pass on what callers write."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""Upper half of an interface's id, behind which an IPv4 address stands (RFC 5214)."""
_INNER = tuple(
    ipaddress.ip_network(one)
    for one in ("168.63.129.16/32", "192.0.0.0/24", "::/3", "4000::/2", "8000::/1", "2001::/23", "3fff::/20")
)
"""Not public, whatever some Pythons say: services of Azure and Oracle, IPv6 outside 2000::/3, what IETF keeps for protocols,
examples (RFC 9637)."""


def address_in(text: str) -> Address | None:
    """The address that a text says: IPv4 also where that is mapped into IPv6. None for a text that says none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def neighbourhood(host: str) -> str:
    """The address under which a caller counts: of IPv6 its /64, in which one household may use any address."""
    address = address_in(host)
    if address is None:
        return host[:_LONGEST]
    return str(ipaddress.ip_network((int(address), 64), strict=False)) if address.version == 6 else str(address)


def _within(address: Address) -> Address:
    """The address that a packet ends at: IPv6 wraps IPv4 in several ways."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64 or int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == one.version and address in one for one in networks)


def may_reach(text: str, allowed: Iterable[Network]) -> bool:
    """True for the text of an IP address that is public, or in one of the `allowed` networks."""
    if (found := address_in(text.partition("%")[0])) is None:
        return False
    address = _within(found)
    inner = not address.is_global or address.is_multicast or address.is_reserved or _is_in(address, _INNER)
    return not inner or _is_in(address, allowed)
