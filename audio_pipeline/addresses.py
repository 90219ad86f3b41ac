"""Whether an address is this machine's own: what listens or asks there needs no key.

Here: the rule, for service and portal. Not here: what follows from it (`serve.http.access`, `portal.session`).
"""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine and cannot be reached from another.

    Examples
    --------
    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("portal.plant.example")
    (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
