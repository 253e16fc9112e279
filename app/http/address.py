"""A caller's address, as limits and logs know it."""

import ipaddress

from shared.core.hosts import Address

_LONGEST = 64
"""Of a name that is no address: proxies write some, and so may who is behind them."""


def address_in(host: str) -> Address | None:
    """The address that a text says: IPv4 also where that is mapped into IPv6. None for a text that says none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def neighbourhood(host: str) -> str:
    """The address under which a caller counts: of IPv6 its /64, in which one household may use any address."""
    address = address_in(host)
    if address is None:
        return host[:_LONGEST]
    return str(ipaddress.ip_network((int(address), 64), strict=False)) if address.version == 6 else str(address)
