"""Who has asked how often: one bucket of tokens for each name, in bounded memory.

A bucket begins full, each asking takes a token out, and one comes back from time to time. So a few
askings in a row are fine, and many are slowed down to a steady rate.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict


class Buckets:
    """Buckets of *tokens* each, into which one token comes back every *seconds*.

    Remembers the *most* names that asked last. Whoever is forgotten begins with a full bucket; that
    is worth something only to a client with more names than this.
    """

    def __init__(self, tokens: int, seconds: float, most: int = 4_096) -> None:
        self._tokens = tokens
        self._seconds = seconds
        self._most = most
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Take a token of *name* at *now*, in seconds of any clock that never goes back.

        Returns 0 if there was one, else after how many seconds there will be; nothing is taken
        then.
        """
        left, at = self._known.pop(name, (float(self._tokens), now))
        left = min(float(self._tokens), left + max(0.0, now - at) / self._seconds)
        wait = 0.0 if left >= 1 else (1 - left) * self._seconds
        self._known[name] = (left if wait else left - 1, now)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return wait

    def clear(self) -> None:
        """Forget everybody."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)


def bucket_name(address: str) -> str:
    """Under which name a client counts that comes from *address*; ``""`` where that says nothing.

    A home has a network of IPv6 addresses to choose from (RFC 6177), so all of a /64 are one. What
    is no public address is a reverse proxy's that nobody has declared, or many people's at once.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:  # dual-stack sockets report IPv4 peers so
            ip = ip.ipv4_mapped
        elif ip.is_global:
            return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip) if ip.is_global else ""
