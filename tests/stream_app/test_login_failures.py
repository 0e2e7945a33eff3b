"""What librdkafka reports of logins becomes two sentences without a secret."""

import pytest
from confluent_kafka import KafkaError

from interaction_usage.kafka_address import KafkaAddress, Security
from stream_app.login_failures import LoginFailures
from stream_app.publishing_failures import PublishingFailures

SECRET = "q7-secret-x9"
KAFKA = KafkaAddress(
    "127.0.0.1:1",
    Security("SASL_SSL", "PLAIN", "u", SECRET, sasl_oauthbearer_client_secret=SECRET),
)
NO_TOKEN = "Failed to acquire SASL OAUTHBEARER token: "
PLACE = "sasl_ssl://kafka:9093/bootstrap: "


@pytest.mark.parametrize(
    ("code", "text", "sentence", "is_permanent"),
    [
        (
            KafkaError._AUTHENTICATION,
            f"{PLACE}SASL authentication error: Nobody knows u. Go (after 3ms in state AUTH_REQ)",
            "Kafka refused the login: Nobody knows u; Go", True,
        ),
        (
            KafkaError._AUTHENTICATION, f"{PLACE}SASL authentication error: not {SECRET}",
            "Kafka refused the login: it does not say why without a secret", True,
        ),
        (
            KafkaError._AUTHENTICATION, f'{NO_TOKEN}{{"error": "invalid_client", "a": "{SECRET}"}}',
            "The token server gave no token: invalid_client", True,
        ),
        (
            KafkaError._AUTHENTICATION, f"{NO_TOKEN}Failed to connect to {SECRET}",
            "The token server gave no token", False,
        ),
        (
            KafkaError._RESOLVE, "k:1/bootstrap: Failed to resolve 'k:1': Name not known",
            "no broker answered: Failed to resolve 'k:1': Name not known", False,
        ),
        (
            KafkaError._TRANSPORT,
            f"{PLACE}Receive failed: ssl/tls alert certificate unknown: SSL alert number 46",
            "Kafka refused the certificate of this client: certificate unknown", True,
        ),
    ],
)  # fmt: skip
def test_what_is_reported_is_said(code: int, text: str, sentence: str, is_permanent: bool) -> None:
    """And whether it may pass."""
    failures = LoginFailures(KAFKA)
    failures.note(KafkaError(code, text))
    found = failures.find()
    assert found
    assert found.sentence == sentence
    assert found.is_permanent is is_permanent
    assert SECRET not in str(found)
    failures.forget()
    assert failures.noted() is None


def test_a_broker_that_is_away_is_none() -> None:
    """Nothing is known of a login."""
    failures = LoginFailures(KAFKA)
    failures.note(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert failures.find() is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "to WRITE the topic usage.flows"),
        (KafkaError._MSG_TIMED_OUT, "Kafka refused the login: no"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "Message size too large"),
    ],
)
def test_why_a_record_was_not_published(code: int, why: str) -> None:
    """A refused login explains only that nobody answered."""
    failures = PublishingFailures(KAFKA)
    failures.note(KafkaError(KafkaError._AUTHENTICATION, "SASL authentication error: no"))
    assert why in failures.why(KafkaError(code), "usage.flows")
