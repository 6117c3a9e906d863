"""Which paths and addresses the settings let by.

Paths are compared after the same decoding that Django's resolver sees (``request.path_info``), and
only on segment borders: ``/health`` covers ``/health`` and ``/health/db`` but not ``/healthcare``.
Addresses are compared as numbers (:mod:`ipaddress`), never as text.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path prefix on segment borders, or with ``exact`` one path, optionally for one method."""

    path: str
    method: str = ""
    exact: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Whether a request of *method* for *path* is meant. GET covers HEAD (RFC 9110, 9.3.2)."""
        if self.method and method != self.method and (self.method, method) != ("GET", "HEAD"):
            return False
        if self.exact:
            return path == self.path
        if has_dot_segment(path):
            return False
        base = self.path.rstrip("/")
        return path == self.path or path == base or path.startswith(base + "/")

    def __str__(self) -> str:
        return f"{self.method} {self.path}".lstrip() + (" (exactly)" if self.exact else "")


def parse_pattern(text: str) -> PathPattern:
    """Read ``"/path/"`` or ``"METHOD /path/"``.

    Raises ``ValueError`` with a sentence for the developer when it is something else, or when it
    would exempt the whole site.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a string")
    words = text.split()
    if len(words) not in (1, 2):
        raise ValueError(f"{text!r} is neither '/path/' nor 'METHOD /path/'")
    method = words[0] if len(words) == 2 else ""
    path = words[-1]
    if method and method not in METHODS:
        raise ValueError(f"{method!r} in {text!r} is not an HTTP method in capitals")
    if not path.startswith("/"):
        raise ValueError(f"the path in {text!r} does not begin with '/'")
    if any(sign in path for sign in "^$*\\?#"):
        raise ValueError(f"{text!r} looks like a pattern; only plain paths are taken")
    if "%" in path:  # paths are compared as the resolver sees them, so this would never match
        raise ValueError(f"{text!r} is encoded; write the path with the characters themselves")
    if has_dot_segment(path):
        raise ValueError(f"{text!r} has a '.' or '..' segment")
    if not path.strip("/"):
        raise ValueError(f"{text!r} would exempt the whole site")
    if "//" in path:
        # Python joins neighbouring strings, so ["/a/" "/b/"] arrives as one that covers nothing.
        raise ValueError(f"{text!r} has an empty segment ('//'); is a comma missing?")
    return PathPattern(path, method)


def has_dot_segment(path: str) -> bool:
    """Whether *path* has a ``.`` or ``..`` segment, which some server might still resolve."""
    return "/." in path and any(segment in (".", "..") for segment in path.split("/"))


def first_match(patterns: Iterable[PathPattern], method: str, path: str) -> PathPattern | None:
    """The first pattern that covers the request."""
    return next((p for p in patterns if p.matches(method, path)), None)


def parse_network(text: object) -> Network:
    """Read a network in CIDR form.

    Raises ``ValueError`` when it is none, or covers every address.
    """
    if not isinstance(text, str) or "/" not in text:
        raise ValueError(f"{text!r} is not a network in CIDR form, such as '192.0.2.0/24'")
    network = ipaddress.ip_network(text)  # strict: host bits set are a mistake worth telling
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} would exempt every address")
    return network


def network_of(networks: Iterable[Network], address: str) -> Network | None:
    """The first network that *address* lies in; ``None`` also for what is no address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped  # dual-stack sockets report IPv4 peers so
    return next((n for n in networks if ip.version == n.version and ip in n), None)


def client_address(remote: str, forwarded_for: str, proxies: int) -> str:
    """The address of the client behind *proxies* reverse proxies of our own.

    Each of them appends the address it saw to ``X-Forwarded-For``, so only the last *proxies*
    entries are ours; whatever stands further left was written by the client. With fewer entries
    than proxies the request did not come through them, and its address is not known: empty.
    """
    if proxies <= 0:
        return remote
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    return hops[-proxies] if len(hops) >= proxies else ""
