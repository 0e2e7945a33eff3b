"""What the text of a setting may be: a function for each kind of value.

It returns the value, or raises ValueError, whose message goes on from the variable's name and must
not show the text: that may be a password that was meant for another variable.
"""

import re
from ipaddress import ip_network
from typing import Any, NamedTuple

from interaction_usage.kafka_address import KafkaAddress
from interaction_usage.store import address


def servers(text: str) -> KafkaAddress:
    """Return Kafka's bootstrap servers."""
    found = [server.strip() for server in text.split(",") if server.strip()]
    if not found or not all(map(_is_server, found)):
        raise ValueError("must be host:port, several of them separated by commas")
    return KafkaAddress(",".join(found))


def _is_server(text: str) -> bool:
    # No @: what is before it may be a password, and this is shown where Kafka is not reached.
    shape = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", text)
    return shape is not None and 1 <= int(shape[1]) <= 65_535


def redis_url(text: str) -> str:
    """Return a URL of Redis."""
    address.check(text)
    return text


def group(text: str) -> str:
    """Return the name of a consumer group."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", text):
        raise ValueError("must be a name of 1 to 200 letters, digits, dots, dashes or underscores")
    return text


def one_of(*names: str) -> Any:
    """Return the function that takes one of *names*, in upper or lower case."""

    def parse(text: str) -> str:
        found = {name.lower(): name for name in names}.get(text.strip().lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(filter(None, names))}")
        return found

    return parse


def yes_or_no(text: str) -> bool:
    """Return whether it is so."""
    found = {"yes": True, "no": False}.get(text.strip().lower())
    if found is None:
        raise ValueError("must be yes or no")
    return found


def text(text: str) -> str:
    """Return the text itself."""
    return text


def url(text: str) -> str:
    """Return a URL of HTTP."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s#]*)?", text):
        raise ValueError("must be a URL: https://host/path")
    return text


def whole(least: int, most: int, unit: str) -> Any:
    """Return the function that takes a whole number from *least* to *most*."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number of {unit} from {least} to {most}")
        return int(text)

    return parse


def path(text: str) -> str:
    """Return the absolute path of a file; empty for none."""
    # Not //: what has no scheme before it may be a URL with a password, and a path is shown.
    if text and (text[:1] != "/" or text[:2] == "//" or text.endswith("/") or "\0" in text):
        raise ValueError("must be the absolute path of a file")
    return text


def archive(text: str) -> str:
    """Return a folder, or a place in S3; empty for none."""
    place = text.strip().rstrip("/")
    is_bucket = re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^\s?#@\0]+)?", place)
    is_folder = place[:1] == "/" and place[:2] != "//" and "\0" not in place
    if text and not is_bucket and not is_folder:
        raise ValueError("must be the absolute path of a folder, or s3://bucket/prefix")
    return place


class Listen(NamedTuple):
    """Where a process listens."""

    host: str  #: empty for all addresses
    port: int  #: 0 for nowhere


def listen(text: str) -> Listen:
    """Return where a process listens."""
    shape = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?([0-9]{1,5})", text.strip())
    if shape is None or int(shape[2]) > 65_535:
        raise ValueError("must be a port, from 0 to 65535, or host:port")
    return Listen((shape[1] or "").strip("[]"), int(shape[2]))


#: An IP network: 10.1.0.0/16.
Network = str


def networks(text: str) -> tuple[str, ...]:
    """Return IP networks."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(str(ip_network(name)) for name in names)
    except ValueError:
        raise ValueError("must be networks like 10.1.0.0/16, separated by commas") from None


def smtp_host(text: str) -> str:
    """Return the name of a host; empty for none."""
    if text and not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise ValueError("must be the name or the address of a host")
    return text


def sender(text: str) -> str:
    """Return an address of e-mail; empty for none."""
    if text and not re.fullmatch(r"[^\s@<>]+@[A-Za-z0-9.-]+", text):
        raise ValueError("must be an address like usage@example.com")
    return text


def alerts_secret(text: str) -> str:
    """Return a secret that is long enough; empty for none."""
    if text and len(text) < 24:
        raise ValueError("must have at least 24 characters: openssl rand -hex 32")
    return text
