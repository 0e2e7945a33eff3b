"""Topics from which Kafka deletes events by age or size, and how far back a rebuild would reach."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from stream_app.broker import cluster_metadata, offset_answers
from stream_app.kafka_state import read_configurations

#: What to do about it.
ADVICE: Final = (
    "Set retention.ms=-1 and retention.bytes=-1 with kafka-configs and back Redis up, or keep a "
    "copy with `usage archive run`, which a rebuild reads"
)

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class Retention(NamedTuple):
    """What Kafka deletes of a topic."""

    age_ms: int = -1  #: records older than this; below 0: none
    size: int = -1  #: the oldest records of a partition that is larger, in bytes; below 0: none

    @property
    def is_finite(self) -> bool:
        """Whether anything is deleted."""
        return self.age_ms >= 0 or self.size >= 0

    def __str__(self) -> str:
        """Return what is deleted, to follow `Kafka deletes its events`."""
        limits = []
        if self.age_ms >= 0:
            limits.append(f"after {duration(self.age_ms)} (retention.ms={self.age_ms})")
        if self.size >= 0:
            limits.append(f"beyond {self.size:,} bytes a partition (retention.bytes={self.size})")
        return " and ".join(limits)


def retention(configuration: Mapping[str, str]) -> Retention:
    """Return what a topic with this *configuration* loses."""
    age, size = (int(configuration.get(f"retention.{kind}") or -1) for kind in ("ms", "bytes"))
    return Retention(age, size)


def sentence(topic: str, found: Retention, oldest_ms: int | None, now_ms: int) -> str:
    """Return what is deleted of *topic*, and how far back a rebuild would reach now.

    *oldest_ms* is the timestamp of its oldest record; None if it has none, or that is unknown.
    """
    if oldest_ms is not None:
        age = duration(max(0, now_ms - oldest_ms))
        reach = f"its oldest record is {age} old, and a rebuild reaches no further back"
    elif found.age_ms >= 0:
        reach = f"a rebuild reaches back {duration(found.age_ms)} at most"
    else:
        reach = "how far back a rebuild reaches depends on the traffic"
    return f"Kafka deletes events of {topic} {found}; {reach}"


def read_warnings(
    admin: Any, topics: Sequence[str], now_ms: int, timeout: float = 5.0
) -> list[str]:
    """Return a sentence for each of *topics* that Kafka deletes events from, as far as is known.

    Raises BrokerUnavailableError.
    """
    configurations = read_configurations(admin, topics, timeout)
    finite = {
        topic: found
        for topic, values in configurations.items()
        if values is not None and (found := retention(values)).is_finite
    }
    oldest = read_oldest(admin, list(finite), timeout)
    return [sentence(topic, found, oldest[topic], now_ms) for topic, found in finite.items()]


def read_oldest(admin: Any, topics: Sequence[str], timeout: float = 5.0) -> dict[str, int | None]:
    """Return the timestamp of the oldest record of each of *topics*, in milliseconds.

    None where a topic has no record, or does not exist. Raises BrokerUnavailableError.
    """
    return _read_timestamps(admin, topics, OffsetSpec.for_timestamp(0), min, timeout)


def read_newest(admin: Any, topics: Sequence[str], timeout: float = 5.0) -> dict[str, int | None]:
    """Return the latest timestamp of a record of each of *topics*, as `read_oldest` the first."""
    return _read_timestamps(admin, topics, OffsetSpec.max_timestamp(), max, timeout)


def _read_timestamps(
    admin: Any, topics: Sequence[str], spec: OffsetSpec, of: Callable[[int, int], int],
    timeout: float,
) -> dict[str, int | None]:  # fmt: skip
    metadata = cluster_metadata(admin, timeout)
    places = [
        TopicPartition(topic, number)
        for topic in topics
        for number in range(metadata.topics.get(topic, 0))
    ]
    timestamps: dict[str, int | None] = dict.fromkeys(topics)
    if not places or metadata.is_mock:
        return timestamps
    for (topic, _), found in offset_answers(admin, places, spec, timeout):
        if found.timestamp >= 0:
            known = timestamps[topic]
            timestamps[topic] = found.timestamp if known is None else of(known, found.timestamp)
    return timestamps


def duration(milliseconds: int) -> str:
    """Return a length of time in days or hours, for people."""
    for unit, length in (("day", _DAY_MS), ("hour", _HOUR_MS)):
        if milliseconds >= length:
            many = milliseconds >= 100 * length
            number = f"{milliseconds // length:,}" if many else f"{milliseconds / length:.3g}"
            return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
    return "less than an hour" if milliseconds else "no time"
