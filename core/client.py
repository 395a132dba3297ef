"""Who is at the other end: address and device, as far as they can be known."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from ua_parser import parse

LONGEST_ADDRESS = 100  # of IPv6 with a zone, and with blanks around it


def client_address(request: Any) -> str | None:
    """The caller's address."""
    return address_of(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def address_of(peer_address: str, forwarded: str) -> str | None:
    """Of whoever is at the other end of the connection, or of whom they speak for.

    `X-Forwarded-For` counts only behind TRUSTED_PROXIES=n proxies, and then the entry that the outermost of
    them wrote, the n-th from the right: whatever stands left of it was typed by the caller.
    """
    peer = _readable(peer_address)
    proxies = settings.TRUSTED_PROXIES
    if not proxies or not forwarded:
        return peer
    entries = [entry.strip() for entry in forwarded.split(",")]
    return _readable(entries[-proxies] if len(entries) >= proxies else entries[0]) or peer


def peer_of(scope: Any) -> str:
    """Of what granian gives: "192.0.2.7:50000" or "[2001:db8::7]:50000", without the port."""
    address: str = scope.client.rpartition(":")[0].strip("[]")
    return address


def network(address: str | None) -> str:
    """What counts as one client in limits: an IPv4 address, or the /64 of an IPv6 one."""
    if not address:
        return "unknown"
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network(f"{parsed}/64", strict=False))
    return str(parsed)


def device_of(user_agent: str) -> str:
    """ "Firefox on Linux": names from the parser's lists, never the caller's text."""
    return _device_of(user_agent[:512])  # before it is remembered: callers type what they like


@lru_cache(maxsize=2048)
def _device_of(user_agent: str) -> str:
    if not user_agent:
        return "Unknown device"
    parsed = parse(user_agent)
    browser = parsed.user_agent.family if parsed.user_agent else ""
    system = parsed.os.family if parsed.os else ""
    name = " on ".join(part for part in (browser, system) if part and part != "Other")
    return name[:100] or "Unknown device"


def _readable(address: str) -> str | None:
    return _parsed(address) if len(address) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=2048)
def _parsed(address: str) -> str | None:
    try:
        parsed = ip_address(address.strip())
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed)))  # without a zone
    return str(parsed)
