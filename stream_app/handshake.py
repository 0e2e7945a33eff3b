"""Why Kafka does not let a client in, as a first exchange with it by hand shows.

librdkafka says of a certificate only that it is not trusted, and of a port that speaks another
protocol that no broker answered. One request tells them apart: `SaslHandshake`, which every port of
a broker answers, those without SASL with an error of its own.
"""

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from interaction_usage.kafka_address import Security, security_of
from stream_app.clients import ssl_context

#: Seconds that connecting, and then each answer, may take.
_TIMEOUT_S: Final = 3.0
_ILLEGAL_SASL_STATE: Final = 34
#: `SaslHandshake` in version 1, without a client id, for the mechanism PLAIN.
_SASL_HANDSHAKE: Final = struct.pack(">hhihh5s", 17, 1, 1, -1, 5, b"PLAIN")

#: What OpenSSL calls a certificate that has expired, and one for another name or address.
_EXPIRED: Final = 10
_OTHER_NAME: Final = (62, 64)

_PROTOCOL: Final = "USAGE_KAFKA_SECURITY_PROTOCOL"


class LoginFailure(NamedTuple):
    """Why Kafka does not let this client in."""

    sentence: str  #: what is so
    advice: str  #: what to do
    is_permanent: bool = True  #: whether waiting does not help

    def __str__(self) -> str:
        """Return both sentences."""
        return f"{self.sentence}. {self.advice}"


def examine(servers: str) -> LoginFailure | None:
    """Return why the first of *servers* that can be reached does not let this client in.

    None if nothing is wrong that shows before the login itself, or none can be reached. Takes up to
    some seconds; must not be called where an event loop runs.
    """
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        place = host.strip("[]"), int(port)
        try:
            with _connected(*place):
                pass
        except OSError:
            continue
        with suppress(OSError):  # it does not answer, or is gone
            return _examine(*place, security_of(servers))
    return None


def _examine(host: str, port: int, security: Security) -> LoginFailure | None:
    if security.has_tls:
        return _examine_tls(host, port, security)
    with suppress(ConnectionError), _connected(host, port) as connection:
        if (takes_login := _takes_login(connection)) is not None:
            return _compare(takes_login, security)
    return _examine_plain(host, port)


def _examine_tls(host: str, port: int, security: Security) -> LoginFailure | None:
    context = ssl_context(security)
    try:
        with (
            _connected(host, port) as connection,
            context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            takes_login = _takes_login(encrypted)
            return None if takes_login is None else _compare(takes_login, security)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return client_certificate_refused(_words(error.reason))
    except ConnectionError:
        pass
    with suppress(ConnectionError), _connected(host, port) as connection:
        if _takes_login(connection) is not None:
            return LoginFailure(
                f"The port {port} of {host} does not use TLS, and this client does",
                f"Check {_PROTOCOL} and the port in USAGE_KAFKA",
            )
    return None


def _examine_plain(host: str, port: int) -> LoginFailure | None:
    """Return that the port uses TLS, if it does."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        suppress(ssl.SSLError, ConnectionError),
        _connected(host, port) as connection,
        context.wrap_socket(connection),
    ):
        return LoginFailure(
            f"The port {port} of {host} uses TLS, and this client does not",
            f"Check {_PROTOCOL} and the port in USAGE_KAFKA",
        )
    return None


def _compare(takes_login: bool, security: Security) -> LoginFailure | None:
    if takes_login == security.has_sasl:
        return None
    if takes_login:
        sentence = "Kafka asks for a login with SASL at this port, and this client has none"
    else:
        sentence = "Kafka takes no login with SASL at this port, and this client has one"
    return LoginFailure(sentence, f"Check {_PROTOCOL} and the port in USAGE_KAFKA")


def _untrusted(error: ssl.SSLCertVerificationError) -> LoginFailure:
    reason = str(error.verify_message).strip().rstrip(".")
    if error.verify_code in _OTHER_NAME:
        advice = "Name the brokers in USAGE_KAFKA as their certificates do"
    elif error.verify_code == _EXPIRED:
        advice = "Renew the broker's certificate"
    else:
        advice = "Check USAGE_KAFKA_SSL_CA_LOCATION"
    return LoginFailure(f"The broker's certificate is not trusted: {reason}", advice)


def client_certificate_refused(reason: str) -> LoginFailure:
    """Return that a broker refused this client's certificate, or that it has none."""
    return LoginFailure(
        f"Kafka refused the certificate of this client: {reason}",
        "Check USAGE_KAFKA_SSL_CERTIFICATE_LOCATION and USAGE_KAFKA_SSL_KEY_LOCATION, and until "
        "when the certificate is valid",
    )


def _words(reason: str | None) -> str:
    """Return OpenSSL's name of an alert as words: `TLSV13_ALERT_CERTIFICATE_REQUIRED`."""
    return (reason or "").partition("ALERT_")[2].replace("_", " ").lower()


@contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
        yield connection


def _takes_login(connection: socket.socket) -> bool | None:
    """Return whether a broker takes logins with SASL here; None if it is no broker's port."""
    connection.sendall(struct.pack(">i", len(_SASL_HANDSHAKE)) + _SASL_HANDSHAKE)
    answer = b""
    while len(answer) < 10:
        received = connection.recv(64)
        if not received:
            return None
        answer += received
    _, correlation, code = struct.unpack(">iih", answer[:10])
    return bool(code != _ILLEGAL_SASL_STATE) if correlation == 1 else None
