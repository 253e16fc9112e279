"""A caller's address, as limits and logs know it."""

import ipaddress


def neighbourhood(host: str) -> str:
    """Whom an address stands for: itself, or of IPv6 its /64, within which one household may choose freely."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
