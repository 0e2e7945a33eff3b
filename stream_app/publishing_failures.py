"""Why a producer of librdkafka could not publish a record, and what to do."""

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from stream_app.kafka_state import WRITE, topic_denied
from stream_app.login_failures import LoginFailures

#: What Kafka answers a client that may not write a topic: that, or that it may not write any.
_DENIALS: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


class PublishingFailures(LoginFailures):
    """Takes note of what ends a producer, too, after which every record fails as purged."""

    def __init__(self, servers: str) -> None:
        super().__init__(servers)
        self._end: KafkaError | None = None

    def poll(self, producer: Any, seconds: float) -> None:
        """Have *producer* report what is acknowledged and what failed, for up to some seconds.

        librdkafka's binding raises what ends a producer, where it calls `error_cb` for the rest.
        """
        try:
            producer.poll(seconds)
        except KafkaException as error:
            self._end = error.args[0]

    def forget(self) -> None:
        """Forget what was noted: a broker has acknowledged a record, or the producer is another."""
        super().forget()
        self._end = None

    def why(self, error: KafkaError, topic: str) -> str:
        """Return why a record was not published to *topic*, given the *error* it failed with."""
        cause = self._end or error
        if cause.code() in _DENIALS:
            return str(topic_denied(topic, WRITE))
        if cause.code() == KafkaError._MSG_TIMED_OUT and (refused := self.noted()):
            return str(refused)
        return str(cause.str())
