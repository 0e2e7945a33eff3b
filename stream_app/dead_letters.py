"""Dead letters: a refused record with its bytes untouched, and why and from where in headers."""

from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from stream_app.refusals import Refused

REASON = "usage-reason"
SENTENCE = "usage-sentence"
TOPIC = "usage-topic"
PARTITION = "usage-partition"
OFFSET = "usage-offset"


class DeadLetter(NamedTuple):
    """What is published to `usage.dead-letters` for one refused record."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter(record: ConsumerRecord, refused: Refused) -> DeadLetter:
    """Return the dead letter of *record*: its own key, value and headers, and five more headers."""
    told = [
        (REASON, str(refused.reason)),
        (SENTENCE, refused.sentence),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(record.offset)),
    ]
    headers = [*record.headers, *((name, text.encode()) for name, text in told)]
    return DeadLetter(record.key, record.value, headers)
