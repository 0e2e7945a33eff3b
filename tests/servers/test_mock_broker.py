"""librdkafka's broker in this process: there at once, real protocol, quiet."""

import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from interaction_usage.servers.mock_broker import PARTITIONS, MockBroker, mock_broker


def _publish(broker: MockBroker, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(10) == 0


def _consume(broker: MockBroker, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "test",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    while len(values) < count:
        values += [record.value() for record in consumer.consume(count, timeout=0.1)]
    consumer.close()
    return sorted(values)


def test_what_is_published_is_consumed_by_a_group():
    """A consumer group reads every record that a producer published."""
    sent = [b"%03d" % number for number in range(100)]
    with mock_broker() as broker:
        _publish(broker, "usage.sessions", sent)
        assert _consume(broker, "usage.sessions", len(sent)) == sent


def test_a_topic_comes_into_being_when_it_is_asked_for():
    """A topic nobody created has its partitions in the first metadata about it."""
    with mock_broker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        topic = admin.list_topics("usage.flows", timeout=10).topics["usage.flows"]
        assert sorted(topic.partitions) == list(range(PARTITIONS))


def test_two_brokers_know_nothing_of_each_other():
    """Each block has a broker of its own, on a port of its own."""
    with mock_broker() as one, mock_broker() as other:
        _publish(one, "usage.sms", [b"x"])
        admin = AdminClient({"bootstrap.servers": other.bootstrap, "log_level": 0})
        assert one.port != other.port
        assert "usage.sms" not in admin.list_topics(timeout=10).topics


def test_it_is_gone_after_the_block():
    """Nothing answers at its address any more."""
    with mock_broker() as broker:
        pass
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.3)


def test_it_is_quiet_and_costs_nothing_while_idle(capfd: pytest.CaptureFixture[str]):
    """It writes nothing to the terminal and takes under 5 % of a core when nothing happens."""
    with mock_broker() as broker:
        _publish(broker, "usage.calls", [b"x"])
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.025
    assert capfd.readouterr() == ("", "")
