"""The URL of a Redis, which may say that it names a node of a cluster: `?cluster=true`."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_CLUSTER: Final = "cluster"


def is_cluster(url: str) -> bool:
    """Tell whether *url* says that it names a node of a cluster. Raises ValueError."""
    said = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)).get(_CLUSTER, "false")
    if said not in ("true", "false"):
        raise ValueError(f"{_CLUSTER}={said}")
    return said == "true"


def server_url(url: str) -> str:
    """Return *url* as redis-py takes it, which does not know that."""
    parts = urlsplit(url)
    told = [(name, value) for name, value in parse_qsl(parts.query) if name != _CLUSTER]
    return parts._replace(query=urlencode(told)).geturl()


def at_node(url: str, host: str, port: int) -> str:
    """Return the URL of the node at *host* and *port* of the cluster that *url* names."""
    parts = urlsplit(server_url(url))
    user, at, _ = parts.netloc.rpartition("@")
    shown = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{user}{at}{shown}:{port}").geturl()
