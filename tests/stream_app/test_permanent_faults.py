"""What Kafka answers however often it is asked ends a worker; what passes is waited for."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors as aiokafka
from confluent_kafka import KafkaError, KafkaException
from faust.exceptions import ProducerSendError
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_app import broker
from stream_app.broker import topic_partitions
from stream_app.errors import BrokerDeniedError, BrokerUnavailableError
from stream_app.faults import permanent_fault


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (aiokafka.TopicAuthorizationFailedError("usage.flows"), "does not allow .* a topic"),
        (aiokafka.GroupAuthorizationFailedError("usage"), "USAGE_GROUP"),
        (aiokafka.ClusterAuthorizationFailedError(), "does not allow .* the cluster"),
        (aiokafka.SaslAuthenticationFailed(), "does not accept the login"),
        (aiokafka.AuthenticationFailedError("the password"), "does not accept the login$"),
        (AuthenticationError("invalid username-password pair"), "does not accept the user name"),
    ],
)
def test_what_is_not_allowed_is_a_sentence(error: Exception, sentence: str) -> None:
    """Also behind what Faust makes of it."""
    wrapped = ProducerSendError("it failed")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        assert re.search(sentence, permanent_fault(each) or "")


@pytest.mark.parametrize(
    "error",
    [
        aiokafka.KafkaConnectionError(), aiokafka.NotLeaderForPartitionError(),
        aiokafka.UnknownTopicOrPartitionError(), aiokafka.KafkaTimeoutError(),
        BrokerUnavailableError("no broker"), RedisConnectionError("refused"), OSError("refused"),
    ],
)  # fmt: skip
def test_what_passes_is_none(error: Exception) -> None:
    """A broker that restarts, a leader that moves."""
    assert permanent_fault(error) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, BrokerDeniedError),
        (KafkaError._TRANSPORT, BrokerUnavailableError),
    ],
)
def test_a_broker_that_refuses_is_not_one_that_is_away(code: int, kind: type[Exception]) -> None:
    """Whoever only wants to know whether Kafka can be used may take both alike."""

    def fails(**_: Any) -> None:
        raise KafkaException(KafkaError(code))

    with pytest.raises(BrokerUnavailableError) as raised:
        topic_partitions(SimpleNamespace(list_topics=fails), ["usage.flows"])
    assert type(raised.value) is kind
    assert (permanent_fault(raised.value) is not None) is (kind is BrokerDeniedError)


def test_the_codes_are_those_of_librdkafka() -> None:
    """Each has a name of its own there."""
    assert all(KafkaError(code).name() for code in broker._DENIALS)
