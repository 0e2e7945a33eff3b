"""Why Kafka does not let a client of librdkafka in: what it reports, and what a look shows."""

import re
from typing import Final

from confluent_kafka import KafkaError

from interaction_usage.kafka_address import OAUTHBEARER, security_of
from stream_app.handshake import LoginFailure, client_certificate_refused, examine

#: What librdkafka says around the broker's own words.
_AROUND: Final = re.compile(
    r"^(?:\S+/\S+: )?(?:SASL authentication error: )?|(?: \(after \d+ms in state \w+\).*)?$"
)
_NO_SASL: Final = "Request not valid in current SASL state"
_NO_TOKEN: Final = "Failed to acquire SASL OAUTHBEARER token"
_TOKEN_CLIENT: Final = (
    "Check USAGE_KAFKA_SASL_OAUTHBEARER_CLIENT_ID and USAGE_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET"
)


class LoginFailures:
    """Takes note of what clients at *servers* report; `note` is their `error_cb`.

    A client calls it while it is polled.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._noted: LoginFailure | None = None
        self._untrusted: LoginFailure | None = None
        self._examined = False

    def note(self, error: KafkaError) -> None:
        """Take note of *error* if it is about a login or a certificate."""
        text = error.str()
        if error.code() == KafkaError._AUTHENTICATION:
            if _NO_SASL not in text:  # `examine` says that better
                self._noted = _refused_login(text, self._servers)
        elif error.code() == KafkaError._RESOLVE:
            self._noted = LoginFailure(
                f"no broker answered: {_words_of(text)}", "Check USAGE_KAFKA", is_permanent=False
            )
        elif "certificate verify failed" in text:
            self._untrusted = LoginFailure(
                "A broker's certificate is not trusted",
                "Check USAGE_KAFKA_SSL_CA_LOCATION, and that brokers advertise the names that "
                "their certificates have",
            )
        elif "SSL alert number" in text and "certificate" in text:
            alert = re.search(r"alert (certificate \w+|\w+ certificate)", text)
            self._noted = client_certificate_refused(alert[1] if alert else "it is not accepted")

    def forget(self) -> None:
        """Forget what was noted: a broker has let a client in."""
        self._noted = self._untrusted = None
        self._examined = False

    def noted(self) -> LoginFailure | None:
        """Return what clients reported."""
        return self._noted

    def find(self) -> LoginFailure | None:
        """Return what clients reported, or else what a look at the brokers shows.

        Takes up to some seconds; must not be called where an event loop runs.
        """
        if not self._noted and not self._examined:
            self._examined = True
            self._noted = examine(self._servers)
        return self._noted or self._untrusted


def _words_of(text: str) -> str:
    """Return what *text* says without what librdkafka puts around it, as one sentence."""
    return _AROUND.sub("", text).replace(". ", "; ")


def _refused_login(text: str, servers: str) -> LoginFailure:
    if text.startswith(_NO_TOKEN):
        return _refused_token(text)
    security = security_of(servers)
    reason = _words_of(text)
    secrets = (security.sasl_password, security.sasl_oauthbearer_client_secret)
    if any(secret and secret in reason for secret in secrets):
        reason = "it does not say why without a secret"
    if "mechanism handshake failed" in text:
        advice = "Check USAGE_KAFKA_SECURITY_PROTOCOL and USAGE_KAFKA_SASL_MECHANISM"
    elif security.sasl_mechanism == OAUTHBEARER:
        advice = _TOKEN_CLIENT
    else:
        advice = "Check USAGE_KAFKA_SASL_USERNAME and USAGE_KAFKA_SASL_PASSWORD"
    return LoginFailure(f"Kafka refused the login: {reason}", advice)


def _refused_token(text: str) -> LoginFailure:
    """Return why a token server gave no token: its answer may have anything, so not all of it."""
    if code := re.search(r'"error"\s*:\s*"([a-z_]{1,40})"', text):
        return LoginFailure(f"The token server gave no token: {code[1]}", _TOKEN_CLIENT)
    return LoginFailure(
        "The token server gave no token",
        "Check USAGE_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL and that it answers there",
        is_permanent=False,
    )
