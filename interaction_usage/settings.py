"""Settings: every `USAGE_…` variable with its meaning, bounds and default. Read once at start.

They come from the environment and, below it, from a file (`env_file`).

To add one, add its row to `Settings`, or to one of `setting_groups`. No message and no repr shows
a value: whatever is in a variable may be a password that was meant for another one.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from interaction_usage import env_file, prefixes
from interaction_usage import setting_values as values
from interaction_usage.kafka_address import (
    KafkaAddress,
    Security,
)
from interaction_usage.logs import FORMATS, LEVELS
from interaction_usage.setting_groups import (
    ALERTS,
    KAFKA_LOGIN,
    REDIS_LOGIN,
    SMTP,
    InvalidSettingError,
    Setting,
    Smtp,
    read_members,
    variables_of,
)
from interaction_usage.setting_values import Network
from interaction_usage.store import address
from rollups.catalog import APPLICATIONS, DEFAULT_SESSION_LIMIT

__all__ = [
    "VARIABLES",
    "InvalidSettingError",
    "Network",
    "Settings",
    "Smtp",
    "problems_of_process",
    "read",
]


def _variable(
    parse: Callable[[str], Any],
    default: str,
    meaning: str,
    show: Callable[[str], str] = str.strip,
) -> Any:
    """Return a member of `Settings` whose variable is named after it."""
    row = Setting(parse, default, meaning, show=show)
    return field(default=parse(default), metadata={"": row})


def _variable_per(
    names: tuple[str, ...], parse: Callable[[str], Any], default: str, meaning: str
) -> Any:
    """Return a member of `Settings` with a value, and a variable, for each of *names*.

    The variables are named after the member, in the singular, and the name.
    """
    rows = {name: Setting(parse, default, meaning.format(name)) for name in names}
    usual = {name: parse(default) for name in names}
    return field(default_factory=usual.copy, metadata=rows)


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings: a row a variable, `kafka` for `USAGE_KAFKA`."""

    kafka: KafkaAddress = _variable(  # noqa: RUF009 (it makes a field)
        values.servers,
        "127.0.0.1:9092",
        "Kafka's bootstrap servers: `host:port`, separated by commas",
    )
    redis: str = _variable(
        values.redis_url,
        "redis://127.0.0.1:6379/0",
        "Redis, as a `redis://` or `rediss://` URL; `?cluster=true` for a node of a cluster, "
        "`redis+sentinel://` for sentinels, `unix://` for a socket",
        address.shown,
    )
    topic_prefix: str = _variable(
        prefixes.parse_topic_prefix,
        "",
        "what the names of topics and of the consumer group begin with, where several environments "
        "share a Kafka: `staging.`",
    )
    redis_prefix: str = _variable(
        prefixes.parse_redis_prefix,
        "",
        "what all keys begin with, where several environments share a Redis: `staging:`",
    )
    #: As it is called in Kafka, with the prefix.
    group: str = _variable(values.group, "usage", "the consumer group that all workers share")
    partitions: int = _variable(
        values.whole(1, 10_000, "partitions"), "12", "partitions of a topic that the worker creates"
    )
    replication: int = _variable(
        values.whole(1, 20, "replicas"), "1", "replicas of a topic that the worker creates"
    )
    max_batch_bytes: int = _variable(
        values.whole(1 << 20, 1 << 30, "bytes"),
        "67108864",
        "bytes that one compressed batch of events may unpack to; a larger one is rejected",
    )
    #: Application to seconds.
    session_limits: Mapping[str, int] = _variable_per(
        APPLICATIONS, values.whole(1, 35 * 86_400, "seconds"), str(DEFAULT_SESSION_LIMIT),
        "seconds after which a `{}` session without a stop ends",
    )  # fmt: skip
    archive: str = _variable(
        values.archive,
        "",
        "where `usage archive` keeps a copy of every record: an absolute folder, or "
        "`s3://bucket/prefix`",
    )
    archive_interval: int = _variable(
        values.whole(1, 3600, "seconds"),
        "30",
        "seconds between two commits of `usage archive run`; each is a file until `compact`",
    )
    alive_file: str = _variable(
        values.path,
        "",
        "the file that a worker touches while it lives, one for each; empty for one in the runtime "
        "folder",
    )
    log_level: str = _variable(
        values.one_of(*LEVELS), "info", f"the lowest level of log lines: {', '.join(LEVELS)}"
    )
    log_format: str = _variable(
        values.one_of(*FORMATS), "text", "log lines for people, `text`, or for programs, `json`"
    )
    health_port: values.Listen = _variable(  # noqa: RUF009 (a tuple)
        values.listen,
        "0",
        "where a worker answers `/healthz`, `/readyz` and `/metrics`: port or `host:port`",
    )
    alerts_allowed_networks: tuple[Network, ...] = _variable(
        values.networks,
        "",
        "networks inside that webhooks of alerts may be sent to: `10.1.0.0/16`, separated by "
        "commas; also over plain `http://`",
    )
    hide_sessions: bool = _variable(
        values.yes_or_no,
        "no",
        "whether explanations name no session to the token of an account: `yes` or `no`",
    )

    #: What webhooks of alerts are signed with; empty: none can be sent.
    alerts_secret: str = ""
    #: What they are signed with as well; empty: with nothing else.
    alerts_previous_secret: str = ""
    #: How e-mails of alerts are sent; without a host: none can be.
    smtp: Smtp = Smtp()  # noqa: RUF009 (a tuple)

    def __repr__(self) -> str:
        """Show where Redis is, but no password and no secret."""
        hidden = dict.fromkeys(("alerts_secret", "alerts_previous_secret", "smtp"), "…")
        shown = vars(self) | {"redis": address.place(self.redis)} | hidden
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
VARIABLES: Final[Mapping[str, Setting]] = {
    **{variable: setting for _, _, variable, setting in _rows()},
    **variables_of("USAGE_KAFKA_", KAFKA_LOGIN),
    **variables_of("USAGE_REDIS_", REDIS_LOGIN),
    **variables_of("USAGE_ALERTS_", ALERTS),
    **variables_of("USAGE_SMTP_", SMTP),
    env_file.VARIABLE: Setting(
        values.text,
        env_file.NAME,
        "a file with settings, below the environment; none if it is empty",
    ),
}

#: Variables of the tests and of the development servers, which are no settings of the product.
_FOREIGN: Final = frozenset({"USAGE_REQUIRE_KAFKA", "USAGE_KAFKA_JARS"})


#: What Kubernetes sets in every container for each Service whose name begins with `usage`.
_INJECTED: Final = re.compile(
    r"USAGE(?:_[A-Z0-9_]+)?_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
    r"|USAGE_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in *environment*, or those of this process. Raises InvalidSettingError.

    Those of this process are in its environment and, below it, in the file.
    """
    if environment is not None:
        found, problems = _read(environment)
    else:
        found, problems = _read_process()
    if found is None:
        raise problems[0]
    return found


def problems_of_process() -> list[InvalidSettingError]:
    """Return everything that is wrong with the settings of this process."""
    return _read_process()[1]


def from_file() -> Mapping[str, str]:
    """Return the settings of this process that are in the file. Raises InvalidSettingError."""
    try:
        return env_file.below(os.environ)
    except env_file.EnvFileError as error:
        raise InvalidSettingError(env_file.VARIABLE, str(error)) from None


_Problems = list[InvalidSettingError]


def _changed_prefix() -> InvalidSettingError:
    """Return the error where names were made before a prefix was set: in a running process."""
    variable = prefixes.TOPIC_VARIABLE
    return InvalidSettingError(
        variable,
        f"{variable} or {prefixes.REDIS_VARIABLE} has changed since this process started; start "
        "it again",
    )


def _read_process() -> tuple[Settings | None, _Problems]:
    try:
        filed = from_file()
    except InvalidSettingError as error:
        return None, [error, *_read(os.environ)[1]]
    found, problems = _read({**os.environ, **filed})
    if found and (found.topic_prefix, found.redis_prefix) != (prefixes.TOPICS, prefixes.KEYS):
        found, problems = None, [_changed_prefix()]
    where = "the file of USAGE_ENV_FILE" if os.environ.get(env_file.VARIABLE) else env_file.NAME
    return found, [
        InvalidSettingError(problem.variable, f"{problem} (it is in {where})")
        if problem.variable in filed
        else problem
        for problem in problems
    ]


def _read(environment: Mapping[str, str]) -> tuple[Settings | None, _Problems]:
    """Return the settings, or everything that is wrong with them."""
    problems = list(_unknown_names(environment))
    members: dict[str, Any] = {}
    for member, name, variable, setting in _rows():
        try:
            value = setting.parse(environment.get(variable) or setting.default)
        except ValueError as error:
            problems.append(InvalidSettingError(variable, f"{variable} {error}"))
            continue
        if name:
            members.setdefault(member, {})[name] = value
        else:
            members[member] = value
    security = _security(environment, problems)
    redis = _redis(environment, members.get("redis", ""), problems)
    alerts = read_members(environment, "USAGE_ALERTS_", ALERTS, problems)
    smtp = _smtp(environment, problems)
    if problems:
        return None, problems
    members["kafka"] = KafkaAddress(members["kafka"], security)
    members["redis"] = redis
    members |= {f"alerts_{name}": secret for name, secret in alerts.items()} | {"smtp": smtp}
    members["group"] = members["topic_prefix"] + members["group"]
    return Settings(**members), []


def _security(environment: Mapping[str, str], problems: _Problems) -> Security:
    prefix = "USAGE_KAFKA_"
    known = len(problems)
    security = Security(**read_members(environment, prefix, KAFKA_LOGIN, problems))
    # What does not fit together may come of what is wrong by itself.
    if len(problems) == known and (problem := security.problem()):
        member, sentence = problem
        variable = f"{prefix}{member.upper()}"
        problems.append(InvalidSettingError(variable, f"{variable} {sentence}"))
    return security


def _redis(environment: Mapping[str, str], url: str, problems: _Problems) -> str:
    prefix = "USAGE_REDIS_"
    login = address.Login(**read_members(environment, prefix, REDIS_LOGIN, problems))
    try:
        return address.with_login(url, login) if url else ""
    except address.LoginError as error:
        variable = f"{prefix}{error.member.upper()}"
        problems.append(InvalidSettingError(variable, f"{variable} {error}"))
        return ""


def _smtp(environment: Mapping[str, str], problems: _Problems) -> Smtp:
    members = read_members(environment, "USAGE_SMTP_", SMTP, problems)
    if members.get("host") and not members.get("from"):
        problems.append(
            InvalidSettingError("USAGE_SMTP_FROM", "USAGE_SMTP_FROM is needed with USAGE_SMTP_HOST")
        )
    members["sender"] = members.pop("from", "")
    return Smtp(**members)


def _unknown_names(environment: Mapping[str, str]) -> Iterator[InvalidSettingError]:
    """Yield an error for each variable that would be ignored."""
    for name in sorted(environment):
        is_ours = name.startswith("USAGE_") and name not in _FOREIGN
        if is_ours and name not in VARIABLES and not _INJECTED.fullmatch(name):
            yield InvalidSettingError(name, f"unknown setting {name}; {_hint(name)}")


def _hint(name: str) -> str:
    """Return what to do about an unknown setting."""
    from difflib import get_close_matches

    near = get_close_matches(name, VARIABLES, 1)
    return f"did you mean {near[0]}?" if near else "remove it"
