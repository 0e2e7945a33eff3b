"""Settings that belong together: how to log in to Kafka and Redis, how to sign and send alerts.

Each secret among them may also be in a file, which a variable of its own names.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from interaction_usage import setting_values as values
from interaction_usage.kafka_address import HTTPS, MECHANISMS, NONE, PLAINTEXT, PROTOCOLS


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


class Smtp(NamedTuple):
    """How e-mails are sent."""

    host: str = ""
    port: int = 587
    security: str = "starttls"
    username: str = ""
    password: str = ""
    ssl_ca_location: str = ""
    sender: str = ""


#: How clients log in to Kafka: member of `Security` to its row. The names are librdkafka's.
KAFKA_LOGIN: Final[Mapping[str, Setting]] = {
    "security_protocol": Setting(
        values.one_of(*PROTOCOLS), PLAINTEXT, f"how Kafka is reached: {', '.join(PROTOCOLS)}"
    ),
    "sasl_mechanism": Setting(
        values.one_of(*MECHANISMS, ""), "", f"how clients log in: {', '.join(MECHANISMS)}"
    ),
    "sasl_username": Setting(values.text, "", "the user, for PLAIN and SCRAM"),
    "sasl_password": Setting(values.text, "", "the password of the user", is_secret=True),
    "ssl_ca_location": Setting(
        values.text,
        "",
        "a file with the certificates that brokers' are signed with, unless a public one",
    ),
    "ssl_certificate_location": Setting(
        values.text, "", "a file with the client's certificate (PEM)"
    ),
    "ssl_key_location": Setting(values.text, "", "a file with the key of that certificate"),
    "ssl_key_password": Setting(values.text, "", "the password of that key", is_secret=True),
    "ssl_endpoint_identification_algorithm": Setting(
        values.one_of(HTTPS, NONE),
        HTTPS,
        f"`{NONE}` does not compare a broker's name with its certificate",
    ),
    "sasl_oauthbearer_token_endpoint_url": Setting(
        lambda text: values.url(text) if text else "",
        "",
        "where tokens come from, for OAUTHBEARER (OIDC)",
        show=lambda text: text.partition("?")[0],
    ),
    "sasl_oauthbearer_client_id": Setting(values.text, "", "the client that asks for tokens"),
    "sasl_oauthbearer_client_secret": Setting(
        values.text, "", "the secret of that client", is_secret=True
    ),
    "sasl_oauthbearer_scope": Setting(values.text, "", "the scope of the tokens"),
}
#: How clients log in to Redis, beside what its URL has: member of `address.Login` to its row.
REDIS_LOGIN: Final[Mapping[str, Setting]] = {
    "username": Setting(values.text, "", "the user of Redis, where the URL has none"),
    "password": Setting(
        values.text, "", "the password of Redis, where the URL has none", is_secret=True
    ),
    "ssl_ca_location": Setting(
        values.text, "", "a file with the certificates that Redis' is signed with"
    ),
    "ssl_certificate_location": Setting(
        values.text, "", "a file with the client's certificate (PEM)"
    ),
    "ssl_key_location": Setting(values.text, "", "a file with the key of that certificate"),
    "ssl_key_password": Setting(values.text, "", "the password of that key", is_secret=True),
}


#: What webhooks of alerts are signed with.
ALERTS: Final[Mapping[str, Setting]] = {
    "secret": Setting(
        values.alerts_secret,
        "",
        "what the secrets follow from that webhooks of alerts are signed with: 24 or more random "
        "characters",
        is_secret=True,
    ),
    "previous_secret": Setting(
        values.alerts_secret,
        "",
        "the secret before, while receivers change to the new one: webhooks are signed with both",
        is_secret=True,
    ),
}
#: How e-mails of alerts are sent: member of `Smtp` to its row.
SMTP: Final[Mapping[str, Setting]] = {
    "host": Setting(values.smtp_host, "", "the server that e-mails of alerts are sent through"),
    "port": Setting(values.whole(1, 65_535, "a port"), "587", "the port of that server"),
    "security": Setting(
        values.one_of("starttls", "tls", "none"),
        "starttls",
        "how that server is reached: `starttls`, `tls` or `none`",
    ),
    "username": Setting(values.text, "", "the user of that server, where it wants a login"),
    "password": Setting(values.text, "", "the password of that user", is_secret=True),
    "ssl_ca_location": Setting(
        values.text, "", "a file with the certificates that the server's is signed with"
    ),
    "from": Setting(values.sender, "", "the address that e-mails come from: `usage@example.com`"),
}


def variables_of(prefix: str, rows: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return *rows* by variable, each secret also as the file that has it."""
    found = {}
    for member, row in rows.items():
        found[f"{prefix}{member.upper()}"] = row
        if row.is_secret:
            about = f"a file with {row.meaning}"
            found[f"{prefix}{member.upper()}_FILE"] = Setting(values.text, "", about)
    return found


def read_members(
    environment: Mapping[str, str],
    prefix: str,
    rows: Mapping[str, Setting],
    problems: list[InvalidSettingError],
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
