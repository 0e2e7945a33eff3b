"""Settings: every `USAGE_…` variable with its meaning, bounds and default. Read once at start.

To add one, add its row to `Settings`. No message and no repr shows a value: whatever is in a
variable may be a password that was meant for another one.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from interaction_usage.store import address
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT


class InvalidSettingError(Exception):
    """A variable of the environment that cannot be used; the message names it."""

    def __init__(self, variable: str, sentence: str) -> None:
        super().__init__(sentence)
        self.variable = variable


class Setting(NamedTuple):
    """One variable of the environment."""

    parse: Callable[[str], Any]  #: text -> value; raises ValueError, whose message must not show it
    default: str
    meaning: str


def _servers(text: str) -> str:
    servers = [server.strip() for server in text.split(",") if server.strip()]
    if not servers or not all(map(_is_server, servers)):
        raise ValueError("must be host:port, several of them separated by commas")
    return ",".join(servers)


def _is_server(text: str) -> bool:
    # No @: what is before it may be a password, and this is shown where Kafka is not reached.
    shape = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", text)
    return shape is not None and 1 <= int(shape[1]) <= 65_535


def _redis_url(text: str) -> str:
    address.check(text)
    return text


def _group(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", text):
        raise ValueError("must be a name of 1 to 200 letters, digits, dots, dashes or underscores")
    return text


def _whole(least: int, most: int, unit: str) -> Any:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number of {unit} from {least} to {most}")
        return int(text)

    return parse


def _path(text: str) -> str:
    if text and (not text.startswith("/") or text.endswith("/") or "\0" in text):
        raise ValueError("must be the absolute path of a file")
    return text


class Listen(NamedTuple):
    """Where a process listens."""

    host: str  #: empty for all addresses
    port: int  #: 0 for nowhere


def _listen(text: str) -> Listen:
    shape = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?([0-9]{1,5})", text.strip())
    if shape is None or int(shape[2]) > 65_535:
        raise ValueError("must be a port, from 0 to 65535, or host:port")
    return Listen((shape[1] or "").strip("[]"), int(shape[2]))


def _variable(parse: Callable[[str], Any], default: str, meaning: str) -> Any:
    """Return a member of `Settings` whose variable is named after it."""
    return field(default=parse(default), metadata={"": Setting(parse, default, meaning)})


def _variable_per(
    names: tuple[str, ...], parse: Callable[[str], Any], default: str, meaning: str
) -> Any:
    """Return a member of `Settings` with a value, and a variable, for each of *names*.

    The variables are named after the member, in the singular, and the name.
    """
    rows = {name: Setting(parse, default, meaning.format(name)) for name in names}
    values = {name: parse(default) for name in names}
    return field(default_factory=values.copy, metadata=rows)


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings: a row a variable, `kafka` for `USAGE_KAFKA`."""

    kafka: str = _variable(
        _servers, "127.0.0.1:9092", "Kafka's bootstrap servers: `host:port`, separated by commas"
    )
    redis: str = _variable(
        _redis_url,
        "redis://127.0.0.1:6379/0",
        "Redis, as a `redis://` or `rediss://` URL; `?cluster=true` for a node of a cluster",
    )
    group: str = _variable(_group, "usage", "the consumer group that all workers share")
    partitions: int = _variable(
        _whole(1, 10_000, "partitions"), "12", "partitions of a topic that the worker creates"
    )
    replication: int = _variable(
        _whole(1, 20, "replicas"), "1", "replicas of a topic that the worker creates"
    )
    max_batch_bytes: int = _variable(
        _whole(1 << 20, 1 << 30, "bytes"),
        "67108864",
        "bytes that one compressed batch of events may unpack to; a larger one is rejected",
    )
    #: Application to seconds.
    session_limits: Mapping[str, int] = _variable_per(
        APPLICATIONS, _whole(1, 35 * 86_400, "seconds"), str(DEFAULT_SESSION_LIMIT),
        "seconds after which a `{}` session without a stop ends",
    )  # fmt: skip
    alive_file: str = _variable(
        _path,
        "",
        "the file that a worker touches while it lives, one for each; empty for one in the runtime "
        "folder",
    )
    health_port: Listen = _variable(  # noqa: RUF009 (a tuple)
        _listen, "0", "where a worker answers `/healthz` and `/readyz`: a port, or `host:port`"
    )

    def __repr__(self) -> str:
        """Show where Redis is, but not the password."""
        shown = vars(self) | {"redis": address.place(self.redis)}
        members = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"Settings({members})"


def _rows() -> Iterator[tuple[str, str, str, Setting]]:
    """Yield the member, the name within it if it has several, the variable, and the row."""
    for member in fields(Settings):
        for name, setting in member.metadata.items():
            words = (member.name.removesuffix("s"), name) if name else (member.name,)
            variable = f"USAGE_{'_'.join(words).upper().replace('-', '_')}"
            yield member.name, name, variable, setting


#: Every variable, by name.
VARIABLES: Final[Mapping[str, Setting]] = {variable: setting for _, _, variable, setting in _rows()}

#: Variables of the tests and of the development servers, which are no settings of the product.
_FOREIGN: Final = frozenset({"USAGE_REQUIRE_KAFKA", "USAGE_KAFKA_JARS"})


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in *environment*. Raises InvalidSettingError."""
    _check_names(environment)
    members: dict[str, Any] = {}
    for member, name, variable, setting in _rows():
        try:
            value = setting.parse(environment.get(variable) or setting.default)
        except ValueError as error:
            raise InvalidSettingError(variable, f"{variable} {error}") from None
        if name:
            members.setdefault(member, {})[name] = value
        else:
            members[member] = value
    return Settings(**members)


def _check_names(environment: Mapping[str, str]) -> None:
    """Raise InvalidSettingError for a variable that would be ignored."""
    for name in sorted(environment):
        if name.startswith("USAGE_") and name not in VARIABLES and name not in _FOREIGN:
            raise InvalidSettingError(name, f"unknown setting {name}; {_hint(name)}")


def _hint(name: str) -> str:
    """Return what to do about an unknown setting."""
    from difflib import get_close_matches

    near = get_close_matches(name, VARIABLES, 1)
    return f"did you mean {near[0]}?" if near else "remove it"
