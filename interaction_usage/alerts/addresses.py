"""Which addresses a webhook may be sent to: none inside, whatever name stands for it.

Whoever sets a webhook chooses where this process connects to, and it may reach what they cannot:
services without a password, a cloud's metadata. So a host is resolved here, every address of it is
checked, and the connection is made to a checked address; a name cannot mean another one by then.
Redirects are not followed. Networks that are allowed anyway are a setting.
"""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from interaction_usage.alerts.errors import ForbiddenAddressError
from interaction_usage.settings import Network

_Address = IPv4Address | IPv6Address

#: IPv6 addresses that a translator sends on to the IPv4 address in their last 32 bits.
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
#: All IPv6 addresses that are given to anybody outside; what else there is has a use inside, or had
#: one, like fec0::/10 and ::/96. The rest of the list is that of Python's `is_global`.
_UNICAST: Final = IPv6Network("2000::/3")
_NOT_GLOBAL: Final = (
    IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20")
)  # fmt: skip

#: Why a URL without TLS is refused.
PLAIN: Final = "http:// is only for USAGE_ALERTS_ALLOWED_NETWORKS; use https://"


def check(address: str, allowed: Sequence[Network], *, is_plain: bool) -> None:
    """Raise ForbiddenAddressError unless a webhook may be sent to *address*.

    A *plain* one, without TLS, only to networks that are allowed.
    """
    meant = _meant(ip_address(address.partition("%")[0]))
    if any(one in ip_network(network) for network in allowed for one in meant):
        return
    if not all(map(_is_outside, meant)):
        raise ForbiddenAddressError(
            f"{address} is inside; USAGE_ALERTS_ALLOWED_NETWORKS does not allow it"
        )
    if is_plain:
        raise ForbiddenAddressError(PLAIN)


def _is_outside(address: _Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    if any(address in network for network in _NOT_GLOBAL):
        return False
    return address.is_global and not address.is_multicast


def _meant(address: _Address) -> list[_Address]:
    """Return the addresses that packets to *address* may end at."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    found: list[_Address] = [address]
    if address.sixtofour:
        found.append(address.sixtofour)
    if address.teredo:
        found += address.teredo
    if address in _TRANSLATED:
        return [IPv4Address(int(address) & 0xFFFF_FFFF)]
    return found


class CheckedResolver(AbstractResolver):
    """Resolves names as the system does, and returns addresses that were checked."""

    def __init__(self, allowed: Sequence[Network], *, is_plain: bool) -> None:
        self._allowed, self._is_plain = allowed, is_plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of *host*. Raises ForbiddenAddressError and OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        for *_, at in found:
            check(str(at[0]), self._allowed, is_plain=self._is_plain)
        return [
            ResolveResult(
                hostname=host, host=str(at[0]), port=port, family=kind, proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, at in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Nothing is kept."""
