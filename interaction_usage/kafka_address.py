"""The address of a Kafka, and how its clients log in: one description for all of them.

The settings have librdkafka's names. What each client makes of them is in `stream_app.clients`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

PLAINTEXT: Final = "PLAINTEXT"
PROTOCOLS: Final = (PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL")
OAUTHBEARER: Final = "OAUTHBEARER"
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER)
#: Whether the name in a broker's certificate must be the one that it is reached by.
HTTPS, NONE = "https", "none"


@dataclass(frozen=True, repr=False)
class Security:
    """How clients log in; the members are librdkafka's settings. Its repr shows none of them."""

    security_protocol: str = PLAINTEXT
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password: str = ""
    ssl_endpoint_identification_algorithm: str = HTTPS
    sasl_oauthbearer_token_endpoint_url: str = ""
    sasl_oauthbearer_client_id: str = ""
    sasl_oauthbearer_client_secret: str = ""
    sasl_oauthbearer_scope: str = ""

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def has_sasl(self) -> bool:
        """Whether clients log in with SASL."""
        return self.security_protocol.startswith("SASL")

    def problem(self) -> tuple[str, str] | None:
        """Return the first member that does not fit the others, and what must be so; or None."""
        if self.has_sasl:
            if not self.sasl_mechanism:
                return "sasl_mechanism", f"is needed for {self.security_protocol}"
            for member in self._needed():
                if not getattr(self, member):
                    return member, f"is needed for {self.sasl_mechanism}"
        elif self.sasl_mechanism:
            return "sasl_mechanism", f"needs a protocol with SASL; it is {self.security_protocol}"
        if bool(self.ssl_certificate_location) != bool(self.ssl_key_location):
            missing = "key" if self.ssl_certificate_location else "certificate"
            return f"ssl_{missing}_location", "is needed: a certificate and its key go together"
        for member in _FILES:
            path = getattr(self, member)
            if path and not self.has_tls:
                return member, f"needs a protocol with SSL; it is {self.security_protocol}"
            if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):
                return member, "must be a file that can be read"
        return None

    def _needed(self) -> tuple[str, ...]:
        """Return the members that the mechanism needs."""
        if self.sasl_mechanism != OAUTHBEARER:
            return "sasl_username", "sasl_password"
        prefix = "sasl_oauthbearer_"
        return f"{prefix}token_endpoint_url", f"{prefix}client_id", f"{prefix}client_secret"


_FILES: Final = ("ssl_ca_location", "ssl_certificate_location", "ssl_key_location")

#: Member of `Security` to the setting of librdkafka that it is.
LIBRDKAFKA_NAMES: Final[Mapping[str, str]] = {
    each.name: each.name.replace("_", ".") for each in fields(Security)
}


class KafkaAddress(str):
    """Kafka's bootstrap servers, `host:port` with commas between, and how clients log in there.

    It is the text that people see, without any secret; as a URL of a Redis is, it is handed to
    whatever makes a client, and only that looks at `security`.
    """

    __slots__ = ("security",)
    security: Security

    def __new__(cls, servers: str, security: Security | None = None) -> "KafkaAddress":
        address = super().__new__(cls, servers)
        address.security = security or Security()
        return address

    def __reduce__(self) -> tuple[type["KafkaAddress"], tuple[str, Security]]:
        """Keep `security` in a copy, and in another process."""
        return KafkaAddress, (str(self), self.security)


def security_of(servers: str) -> Security:
    """Return how clients log in at *servers*; a plain text is a Kafka without any login."""
    return servers.security if isinstance(servers, KafkaAddress) else Security()
