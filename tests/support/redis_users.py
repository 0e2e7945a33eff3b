"""The users of Redis with exactly the rights that docs/redis.md says they need."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import redis

from interaction_usage.servers.redis_server import RedisServer

_PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
PASSWORD = "s3cr/et"
#: User to what the page's line of an ACL file says of it.
_ALL: dict[str, list[str]] = {
    name: rest.replace(">PASSWORD", f">{PASSWORD}").split()
    for name, rest in re.findall(r"^user ([\w-]+) (.+)$", _PAGE.read_text("utf-8"), re.MULTILINE)
}
RIGHTS = {name: rights for name, rights in _ALL.items() if "-" not in name}
#: The same for the users of an environment whose keys begin with `staging:`.
PREFIXED_RIGHTS = {name: rights for name, rights in _ALL.items() if name not in RIGHTS}


_NO_MORE: Mapping[str, Sequence[str]] = {}


def create_users(server: RedisServer, more: Mapping[str, Sequence[str]] = _NO_MORE) -> None:
    """Make the page's users on *server*, some with *more* rights; nobody else gets in."""
    with redis.Redis.from_url(server.url) as admin:
        for name, rights in RIGHTS.items():
            admin.execute_command("ACL", "SETUSER", name, "reset", *rights, *more.get(name, ()))
        admin.execute_command("ACL", "SETUSER", "admin", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        admin.execute_command("ACL", "SETUSER", "default", "off")


def url_of(server: RedisServer, user: str, password: str = "s3cr%2Fet") -> str:
    """Return the URL by which *user* reaches *server*."""
    return f"redis://{user}:{password}@127.0.0.1:{server.port}/0"


def refusals(server: RedisServer) -> list[tuple[str, str]]:
    """Return who was refused what by the rights, as Redis logged it."""
    with redis.Redis.from_url(url_of(server, "admin"), protocol=2) as admin:
        answer: list[Any] = admin.execute_command("ACL", "LOG", "100")
    entries = [entry if isinstance(entry, dict) else _pairs(entry) for entry in answer]
    return [(str(entry["username"]), str(entry["object"])) for entry in entries]


def _pairs(entry: Any) -> dict[str, Any]:
    flat = [value.decode() if isinstance(value, bytes) else value for value in entry]
    return dict(zip(flat[::2], flat[1::2], strict=True))
