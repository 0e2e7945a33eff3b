"""Settings: every `USAGE_…` variable with its meaning, bounds and default. Read once at start.

They come from the environment and, below it, from a file (`env_file`).

To add one, add its row to `Settings`. No message and no repr shows a value: whatever is in a
variable may be a password that was meant for another one.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

from interaction_usage import env_file, prefixes
from interaction_usage.kafka_address import (
    HTTPS,
    MECHANISMS,
    NONE,
    PLAINTEXT,
    PROTOCOLS,
    KafkaAddress,
    Security,
)
from interaction_usage.logs import FORMATS, LEVELS
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
    is_secret: bool = False  #: whether `…_FILE` may name a file that has it
    show: Callable[[str], str] = str.strip  #: a valid text -> all of it that may be shown


def _servers(text: str) -> KafkaAddress:
    servers = [server.strip() for server in text.split(",") if server.strip()]
    if not servers or not all(map(_is_server, servers)):
        raise ValueError("must be host:port, several of them separated by commas")
    return KafkaAddress(",".join(servers))


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


def _one_of(*names: str) -> Any:
    def parse(text: str) -> str:
        found = {name.lower(): name for name in names}.get(text.strip().lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(filter(None, names))}")
        return found

    return parse


def _yes_or_no(text: str) -> bool:
    found = {"yes": True, "no": False}.get(text.strip().lower())
    if found is None:
        raise ValueError("must be yes or no")
    return found


def _text(text: str) -> str:
    return text


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@]+(?:/[^\s#]*)?", text):
        raise ValueError("must be a URL: https://host/path")
    return text


def _whole(least: int, most: int, unit: str) -> Any:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number of {unit} from {least} to {most}")
        return int(text)

    return parse


def _path(text: str) -> str:
    # Not //: what has no scheme before it may be a URL with a password, and a path is shown.
    if text and (text[:1] != "/" or text[:2] == "//" or text.endswith("/") or "\0" in text):
        raise ValueError("must be the absolute path of a file")
    return text


def _archive(text: str) -> str:
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


def _listen(text: str) -> Listen:
    shape = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?([0-9]{1,5})", text.strip())
    if shape is None or int(shape[2]) > 65_535:
        raise ValueError("must be a port, from 0 to 65535, or host:port")
    return Listen((shape[1] or "").strip("[]"), int(shape[2]))


#: An IP network: 10.1.0.0/16.
Network = str


def _networks(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return tuple(str(ip_network(name)) for name in names)
    except ValueError:
        raise ValueError("must be networks like 10.1.0.0/16, separated by commas") from None


def _smtp_host(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise ValueError("must be the name or the address of a host")
    return text


def _sender(text: str) -> str:
    if text and not re.fullmatch(r"[^\s@<>]+@[A-Za-z0-9.-]+", text):
        raise ValueError("must be an address like usage@example.com")
    return text


def _alerts_secret(text: str) -> str:
    if text and len(text) < 24:
        raise ValueError("must have at least 24 characters: openssl rand -hex 32")
    return text


class Smtp(NamedTuple):
    """How e-mails are sent."""

    host: str = ""
    port: int = 587
    security: str = "starttls"
    username: str = ""
    password: str = ""
    ssl_ca_location: str = ""
    sender: str = ""


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
    values = {name: parse(default) for name in names}
    return field(default_factory=values.copy, metadata=rows)


@dataclass(frozen=True, repr=False)
class Settings:
    """The settings: a row a variable, `kafka` for `USAGE_KAFKA`."""

    kafka: KafkaAddress = _variable(  # noqa: RUF009 (it makes a field)
        _servers, "127.0.0.1:9092", "Kafka's bootstrap servers: `host:port`, separated by commas"
    )
    redis: str = _variable(
        _redis_url,
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
    archive: str = _variable(
        _archive,
        "",
        "where `usage archive` keeps a copy of every record: an absolute folder, or "
        "`s3://bucket/prefix`",
    )
    archive_interval: int = _variable(
        _whole(1, 3600, "seconds"),
        "30",
        "seconds between two commits of `usage archive run`; each is a file until `compact`",
    )
    alive_file: str = _variable(
        _path,
        "",
        "the file that a worker touches while it lives, one for each; empty for one in the runtime "
        "folder",
    )
    log_level: str = _variable(
        _one_of(*LEVELS), "info", f"the lowest level of log lines: {', '.join(LEVELS)}"
    )
    log_format: str = _variable(
        _one_of(*FORMATS), "text", "log lines for people, `text`, or for programs, `json`"
    )
    health_port: Listen = _variable(  # noqa: RUF009 (a tuple)
        _listen,
        "0",
        "where a worker answers `/healthz`, `/readyz` and `/metrics`: port or `host:port`",
    )
    alerts_allowed_networks: tuple[Network, ...] = _variable(
        _networks,
        "",
        "networks inside that webhooks of alerts may be sent to: `10.1.0.0/16`, separated by "
        "commas; also over plain `http://`",
    )
    hide_sessions: bool = _variable(
        _yes_or_no,
        "no",
        "whether explanations name no session to the token of an account: `yes` or `no`",
    )

    #: What webhooks of alerts are signed with; empty: none can be sent.
    alerts_secret: str = ""
    #: How e-mails of alerts are sent; without a host: none can be.
    smtp: Smtp = Smtp()  # noqa: RUF009 (a tuple)

    def __repr__(self) -> str:
        """Show where Redis is, but no password and no secret."""
        hidden = {"alerts_secret": "…", "smtp": "…"}
        shown = vars(self) | {"redis": address.place(self.redis)} | hidden
        members = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"Settings({members})"


#: How clients log in to Kafka: member of `Security` to its row. The names are librdkafka's.
_SECURITY: Final[Mapping[str, Setting]] = {
    "security_protocol": Setting(
        _one_of(*PROTOCOLS), PLAINTEXT, f"how Kafka is reached: {', '.join(PROTOCOLS)}"
    ),
    "sasl_mechanism": Setting(
        _one_of(*MECHANISMS, ""), "", f"how clients log in: {', '.join(MECHANISMS)}"
    ),
    "sasl_username": Setting(_text, "", "the user, for PLAIN and SCRAM"),
    "sasl_password": Setting(_text, "", "the password of the user", is_secret=True),
    "ssl_ca_location": Setting(
        _text, "", "a file with the certificates that brokers' are signed with, unless a public one"
    ),
    "ssl_certificate_location": Setting(_text, "", "a file with the client's certificate (PEM)"),
    "ssl_key_location": Setting(_text, "", "a file with the key of that certificate"),
    "ssl_key_password": Setting(_text, "", "the password of that key", is_secret=True),
    "ssl_endpoint_identification_algorithm": Setting(
        _one_of(HTTPS, NONE),
        HTTPS,
        f"`{NONE}` does not compare a broker's name with its certificate",
    ),
    "sasl_oauthbearer_token_endpoint_url": Setting(
        lambda text: _url(text) if text else "",
        "",
        "where tokens come from, for OAUTHBEARER (OIDC)",
        show=lambda text: text.partition("?")[0],
    ),
    "sasl_oauthbearer_client_id": Setting(_text, "", "the client that asks for tokens"),
    "sasl_oauthbearer_client_secret": Setting(
        _text, "", "the secret of that client", is_secret=True
    ),
    "sasl_oauthbearer_scope": Setting(_text, "", "the scope of the tokens"),
}
#: How clients log in to Redis, beside what its URL has: member of `address.Login` to its row.
_REDIS_LOGIN: Final[Mapping[str, Setting]] = {
    "username": Setting(_text, "", "the user of Redis, where the URL has none"),
    "password": Setting(_text, "", "the password of Redis, where the URL has none", is_secret=True),
    "ssl_ca_location": Setting(
        _text, "", "a file with the certificates that Redis' is signed with"
    ),
    "ssl_certificate_location": Setting(_text, "", "a file with the client's certificate (PEM)"),
    "ssl_key_location": Setting(_text, "", "a file with the key of that certificate"),
    "ssl_key_password": Setting(_text, "", "the password of that key", is_secret=True),
}


#: What webhooks of alerts are signed with.
_ALERTS: Final[Mapping[str, Setting]] = {
    "secret": Setting(
        _alerts_secret,
        "",
        "what the secrets follow from that webhooks of alerts are signed with: 24 or more random "
        "characters",
        is_secret=True,
    ),
}
#: How e-mails of alerts are sent: member of `Smtp` to its row.
_SMTP: Final[Mapping[str, Setting]] = {
    "host": Setting(_smtp_host, "", "the server that e-mails of alerts are sent through"),
    "port": Setting(_whole(1, 65_535, "a port"), "587", "the port of that server"),
    "security": Setting(
        _one_of("starttls", "tls", "none"),
        "starttls",
        "how that server is reached: `starttls`, `tls` or `none`",
    ),
    "username": Setting(_text, "", "the user of that server, where it wants a login"),
    "password": Setting(_text, "", "the password of that user", is_secret=True),
    "ssl_ca_location": Setting(
        _text, "", "a file with the certificates that the server's is signed with"
    ),
    "from": Setting(_sender, "", "the address that e-mails come from: `usage@example.com`"),
}


def _variables_of(prefix: str, rows: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return *rows* by variable, each secret also as the file that has it."""
    found = {}
    for member, row in rows.items():
        found[f"{prefix}{member.upper()}"] = row
        if row.is_secret:
            about = f"a file with {row.meaning}"
            found[f"{prefix}{member.upper()}_FILE"] = Setting(_text, "", about)
    return found


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
    **_variables_of("USAGE_KAFKA_", _SECURITY),
    **_variables_of("USAGE_REDIS_", _REDIS_LOGIN),
    **_variables_of("USAGE_ALERTS_", _ALERTS),
    **_variables_of("USAGE_SMTP_", _SMTP),
    env_file.VARIABLE: Setting(
        _text, env_file.NAME, "a file with settings, below the environment; none if it is empty"
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
    alerts = _members(environment, "USAGE_ALERTS_", _ALERTS, problems)
    smtp = _smtp(environment, problems)
    if problems:
        return None, problems
    members["kafka"] = KafkaAddress(members["kafka"], security)
    members["redis"] = redis
    members["alerts_secret"], members["smtp"] = alerts["secret"], smtp
    members["group"] = members["topic_prefix"] + members["group"]
    return Settings(**members), []


def _security(environment: Mapping[str, str], problems: _Problems) -> Security:
    prefix = "USAGE_KAFKA_"
    known = len(problems)
    security = Security(**_members(environment, prefix, _SECURITY, problems))
    # What does not fit together may come of what is wrong by itself.
    if len(problems) == known and (problem := security.problem()):
        member, sentence = problem
        variable = f"{prefix}{member.upper()}"
        problems.append(InvalidSettingError(variable, f"{variable} {sentence}"))
    return security


def _redis(environment: Mapping[str, str], url: str, problems: _Problems) -> str:
    prefix = "USAGE_REDIS_"
    login = address.Login(**_members(environment, prefix, _REDIS_LOGIN, problems))
    try:
        return address.with_login(url, login) if url else ""
    except address.LoginError as error:
        variable = f"{prefix}{error.member.upper()}"
        problems.append(InvalidSettingError(variable, f"{variable} {error}"))
        return ""


def _smtp(environment: Mapping[str, str], problems: _Problems) -> Smtp:
    members = _members(environment, "USAGE_SMTP_", _SMTP, problems)
    if members.get("host") and not members.get("from"):
        problems.append(
            InvalidSettingError("USAGE_SMTP_FROM", "USAGE_SMTP_FROM is needed with USAGE_SMTP_HOST")
        )
    members["sender"] = members.pop("from", "")
    return Smtp(**members)


def _members(
    environment: Mapping[str, str], prefix: str, rows: Mapping[str, Setting], problems: _Problems
) -> dict[str, Any]:
    """Return the values of *rows* that are set; add to *problems* what cannot be used."""
    members: dict[str, Any] = {}
    for member, row in rows.items():
        variable = f"{prefix}{member.upper()}"
        text = environment.get(variable, "")
        try:
            if row.is_secret and (path := environment.get(f"{variable}_FILE")):
                text = _content(variable, path, is_given_twice=bool(text))
            members[member] = row.parse(text or row.default)
        except InvalidSettingError as error:
            problems.append(error)
        except ValueError as error:
            problems.append(InvalidSettingError(variable, f"{variable} {error}"))
    return members


def _content(variable: str, path: str, *, is_given_twice: bool) -> str:
    """Return the secret in the file at *path*, without the end of its line."""
    name = f"{variable}_FILE"
    if is_given_twice:
        raise InvalidSettingError(name, f"{name} and {variable} are both set; keep one of them")
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(65_536).rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise InvalidSettingError(name, f"{name} must be a file that can be read") from None
    if not content:
        raise InvalidSettingError(name, f"{name} must be a file that is not empty")
    return content


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
