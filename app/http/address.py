"""A caller's address, as limits and logs know it."""

import ipaddress

_LONGEST = 64
"""Of a name that is no address: proxies write some, and so may who is behind them."""


def neighbourhood(host: str) -> str:
    """The address under which a caller counts: of IPv6 its /64, in which one household may use any address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:_LONGEST]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
