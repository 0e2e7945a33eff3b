"""What each kind of Kafka client takes to reach a Kafka: librdkafka's, aiokafka's, Faust's.

Every client in the product is made with one of these, so none of them can ignore a setting.
"""

import logging
from typing import TYPE_CHECKING, Any

from interaction_usage.kafka_address import (
    HTTPS,
    LIBRDKAFKA_NAMES,
    OAUTHBEARER,
    Security,
    security_of,
)

if TYPE_CHECKING:
    import ssl

# Commands say themselves what is wrong; without a handler, Python prints what clients warn of.
_LIBRDKAFKA = logging.getLogger("librdkafka")
for _logger in (_LIBRDKAFKA, logging.getLogger("aiokafka")):
    _logger.addHandler(logging.NullHandler())


def librdkafka(servers: str) -> dict[str, Any]:
    """Return the configuration of a client of confluent-kafka, which logs nothing but its end."""
    security = security_of(servers)
    chosen = {
        name: value
        for member, name in LIBRDKAFKA_NAMES.items()
        if (value := getattr(security, member))
    }
    if security.sasl_mechanism == OAUTHBEARER:
        chosen["sasl.oauthbearer.method"] = "oidc"
    if not security.has_tls:
        del chosen[LIBRDKAFKA_NAMES["ssl_endpoint_identification_algorithm"]]
    quiet = {"log_level": 0, "logger": _LIBRDKAFKA}
    return {"bootstrap.servers": str(servers), **quiet, **chosen}


def aiokafka(servers: str) -> dict[str, Any]:
    """Return the keyword arguments of a consumer or producer of aiokafka."""
    security = security_of(servers)
    arguments: dict[str, Any] = {
        "bootstrap_servers": servers.split(","),
        "security_protocol": security.security_protocol,
    }
    if security.has_tls:
        arguments["ssl_context"] = ssl_context(security)
    if security.has_sasl:
        arguments["sasl_mechanism"] = security.sasl_mechanism
        if security.sasl_mechanism == OAUTHBEARER:
            from stream_app.oidc import tokens

            arguments["sasl_oauth_token_provider"] = tokens(security)
        else:
            arguments["sasl_plain_username"] = security.sasl_username
            arguments["sasl_plain_password"] = security.sasl_password
    return arguments


def faust(servers: str) -> dict[str, Any]:
    """Return the settings of a Faust app about its broker."""
    from faust import auth

    security = security_of(servers)
    broker = [f"kafka://{server}" for server in servers.split(",")]
    credentials: auth.Credentials | None = None
    context = ssl_context(security) if security.has_tls else None
    if security.sasl_mechanism == OAUTHBEARER:
        from stream_app.oidc import tokens

        credentials = auth.OAuthCredentials(oauth_cb=tokens(security), ssl_context=context)
    elif security.has_sasl:
        credentials = auth.SASLCredentials(
            username=security.sasl_username,
            password=security.sasl_password,
            mechanism=security.sasl_mechanism,
            ssl_context=context,
        )
    elif security.has_tls:
        credentials = auth.SSLCredentials(context)
    return {"broker": broker, "broker_credentials": credentials}


def ssl_context(security: Security) -> "ssl.SSLContext":
    """Return how a client that uses TLS checks brokers, and shows who it is."""
    from aiokafka.helpers import create_ssl_context

    context: ssl.SSLContext = create_ssl_context(
        cafile=security.ssl_ca_location or None,
        certfile=security.ssl_certificate_location or None,
        keyfile=security.ssl_key_location or None,
        password=security.ssl_key_password or None,
    )
    context.check_hostname = security.ssl_endpoint_identification_algorithm == HTTPS
    return context
