"""Settings: every `USAGE_…` variable, its meaning, its bounds, its default. Read once at start.

No message and no repr shows a value: whatever stands in a variable may be a password that was meant
for another one.
"""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from interaction_usage.store import address
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT


class InvalidSettingError(Exception):
    """A variable of the environment that cannot be used; the message names it."""

    def __init__(self, variable: str, sentence: str) -> None:
        super().__init__(sentence)
        self.variable = variable


class Setting(NamedTuple):
    """One variable of the environment."""

    default: str
    meaning: str
    parse: Any  #: text -> value; raises ValueError with what is wrong with it, not showing it


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


def _limit_variable(application: str) -> str:
    return f"USAGE_SESSION_LIMIT_{application.upper().replace('-', '_')}"


VARIABLES: Mapping[str, Setting] = {
    "USAGE_KAFKA": Setting(
        "127.0.0.1:9092", "Kafka's bootstrap servers: `host:port`, separated by commas", _servers
    ),
    "USAGE_REDIS": Setting(
        "redis://127.0.0.1:6379/0",
        "Redis, as a `redis://` or `rediss://` URL; `?cluster=true` for a node of a cluster",
        _redis_url,
    ),
    "USAGE_GROUP": Setting("usage", "the consumer group that all workers share", _group),
    "USAGE_PARTITIONS": Setting(
        "12", "partitions of a topic that is created because it is missing",
        _whole(1, 10_000, "partitions"),
    ),
    "USAGE_REPLICATION": Setting(
        "1", "replicas of a topic that is created because it is missing",
        _whole(1, 20, "replicas"),
    ),
    "USAGE_MAX_BATCH_BYTES": Setting(
        "67108864",
        "bytes that one compressed batch of events may unpack to; a larger one is refused",
        _whole(1 << 20, 1 << 30, "bytes"),
    ),
    **{
        _limit_variable(application): Setting(
            str(DEFAULT_SESSION_LIMIT),
            f"seconds after which a `{application}` session without a stop ends",
            _whole(1, 35 * 86_400, "seconds"),
        )
        for application in APPLICATIONS
    },
}  # fmt: skip


class Settings(NamedTuple):
    """The settings in force."""

    kafka: str
    redis: str
    group: str
    partitions: int
    replication: int
    max_batch_bytes: int
    session_limits: Mapping[str, int]  #: application to seconds

    def __repr__(self) -> str:
        """Show where Redis is, and not with which password."""
        shown = self._asdict() | {"redis": address.place(self.redis)}
        members = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"Settings({members})"


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in *environment*. Raises InvalidSettingError."""
    unknown = sorted(
        name for name in environment
        if name.startswith("USAGE_") and name not in VARIABLES and name not in _FOREIGN
    )  # fmt: skip
    if unknown:
        raise InvalidSettingError(unknown[0], f"unknown setting {unknown[0]}; {_hint(unknown[0])}")
    values: dict[str, Any] = {}
    for name, setting in VARIABLES.items():
        text = environment.get(name) or setting.default
        try:
            values[name] = setting.parse(text)
        except ValueError as error:
            raise InvalidSettingError(name, f"{name} {error}") from None
    return Settings(
        kafka=values["USAGE_KAFKA"],
        redis=values["USAGE_REDIS"],
        group=values["USAGE_GROUP"],
        partitions=values["USAGE_PARTITIONS"],
        replication=values["USAGE_REPLICATION"],
        max_batch_bytes=values["USAGE_MAX_BATCH_BYTES"],
        session_limits={
            application: values[_limit_variable(application)] for application in APPLICATIONS
        },
    )


#: Variables of the tests and of the development servers, which are no settings of the product.
_FOREIGN = frozenset({"USAGE_REQUIRE_KAFKA", "USAGE_KAFKA_JARS"})


def _hint(name: str) -> str:
    """Return what to do about an unknown setting."""
    from difflib import get_close_matches

    near = get_close_matches(name, VARIABLES, 1)
    return f"did you mean {near[0]}?" if near else "remove it, there is none like it"
