"""Dead letters of real refusals, written to a broker as the worker writes them."""

from collections.abc import Iterable

from aiokafka.structs import ConsumerRecord
from confluent_kafka import Producer

from stream_app.codec import decode_all
from stream_app.dead_letters import Headers, dead_letter
from stream_app.rejection import RejectedError
from stream_app.topics import DEAD_LETTERS

#: A record: its topic, its value, and headers if it has some.
Sent = tuple[str, bytes] | tuple[str, bytes, Headers]


def refuse(broker: str, records: Iterable[Sent], first: int = 0) -> None:
    """Write the dead letter of each of *records*, at the offsets from *first* on of partition 0."""
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    for offset, (topic, value, *more) in enumerate(records, first):
        headers = more[0] if more else []
        record = ConsumerRecord(topic, 0, offset, 0, 0, b"key", value, None, 1, 1, headers)
        [outcome] = decode_all(topic, [record])
        assert isinstance(outcome, RejectedError), f"{value!r} is not refused"
        written = dead_letter(record, outcome)
        producer.produce(DEAD_LETTERS, written.value, written.key, headers=written.headers)
    assert producer.flush(10) == 0
