"""Hosts as HTTP names them, compared as hosts: `Host` headers and origins. Pure."""

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

_AUTHORITY: Final = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[^\s\[\]:/?#@\\%,]+)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE
)
_PORTS: Final = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host and, where one is named, a port."""

    host: str  #: lower case, without brackets and without the dot of a full name
    port: int | None


def authority(text: str) -> Authority | None:
    """Return the host and port that a `Host` header names; None where it is none."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host = found["host"].lower().strip("[]").removesuffix(".")
    if found["host"].startswith("["):
        try:
            host = str(ip_address(host))
        except ValueError:
            return None
    return Authority(host, int(found["port"])) if found["port"] else Authority(host, None)


def is_same_origin(origin: str, host: str, scheme: str) -> bool:
    """Return whether a page of *origin* belongs to the server that was asked as *host*.

    A port that is not named is the one of the origin's scheme. *scheme* is how the request came as
    far as is known: behind a proxy that does not say so, https looks like http.
    """
    own_scheme, separator, rest = origin.partition("://")
    own_scheme = own_scheme.lower()
    page, server = authority(rest), authority(host)
    if not separator or own_scheme not in _PORTS or page is None or server is None:
        return False
    if scheme == "https" and own_scheme != "https":
        return False
    default = _PORTS[own_scheme]
    return (page.host, _port(page, default)) == (server.host, _port(server, default))


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine and nothing else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(place: Authority, default: int) -> int:
    return default if place.port is None else place.port
