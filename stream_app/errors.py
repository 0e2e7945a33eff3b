"""What can go wrong in the stream, under one root.

StreamError
├── RejectedError            a record that is not counted, and why (stream_app.rejection)
├── BrokerUnavailableError   no broker answered in time: wait and try again
│   ├── BrokerDeniedError    a broker denied the request: waiting does not help
│   ├── TopicDeletedError    a topic was deleted between two requests about it
│   └── TopicsMissingError   topics of events do not exist
├── PermanentFaultError      Redis or Kafka gives this answer until somebody acts
├── StaleAssignmentError     the batch belongs to an earlier assignment of its partition
├── OffsetGapError           a batch does not continue what was processed before it
├── RecordsLostError         Kafka lost acknowledged records that were already counted
├── RecordsUnavailableError  records that must exist cannot be read any more
├── GroupMembershipError     this process can no longer take part in the consumer group
├── DecompressionError       a record batch could not be decompressed
│   ├── BatchTooLargeError   it decompresses to more than is allowed
│   └── CorruptBatchError    its bytes are not what its codec or its header says
└── RebuildError             a rebuild cannot go on
    ├── RebuildRunningError  another rebuild holds the lock
    ├── LockLostError        the lock expired, so another rebuild may have begun
    ├── RetentionGapError    Kafka no longer holds everything that was published
    └── TopicRecreatedError  a topic was deleted or created again meanwhile
"""

from collections.abc import Sequence

from rollups.gaps import Gap


class StreamError(Exception):
    """The root of all errors of this package."""


class BrokerUnavailableError(StreamError):
    """No broker answered in time."""


class BrokerDeniedError(BrokerUnavailableError):
    """A broker denied this client something that it needs; waiting does not help."""


class TopicDeletedError(BrokerUnavailableError):
    """A topic was deleted between two requests about it; the next ones will leave it out."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"{topic} was deleted while its offsets were being read; try again")
        self.topic = topic


class TopicsMissingError(BrokerUnavailableError):
    """Topics of events do not exist: their lag is unknown."""

    def __init__(self, topics: Sequence[str]) -> None:
        names = ", ".join(topics)
        one = len(topics) == 1
        super().__init__(
            f"the {'topic' if one else 'topics'} {names} {'does' if one else 'do'} not exist. "
            f"Create {'it' if one else 'them'}; a worker that starts does so as well"
        )
        self.topics = tuple(topics)


class PermanentFaultError(StreamError):
    """Redis or Kafka gives this answer to every request; the message says what to do."""


class StaleAssignmentError(StreamError):
    """The batch belongs to an earlier assignment; whoever has its partition reads it again."""


class OffsetGapError(StreamError):
    """A batch does not continue what was processed before it."""

    def __init__(self, tp: tuple[str, int], processed: int | None, begins: int) -> None:
        topic, partition = tp
        super().__init__(
            f"{topic}/{partition}: processed up to offset {processed}, but the next batch begins "
            f"at {begins}; ending, to read again from there"
        )


class RecordsLostError(StreamError):
    """A partition ends before the offset up to which its records were counted."""

    def __init__(self, tp: tuple[str, int], counted: int, ends: int) -> None:
        topic, partition = tp
        super().__init__(
            f"{topic}/{partition} ends at offset {ends}, but was counted up to {counted}: Kafka "
            "lost acknowledged records and will assign their offsets again. New events would be "
            "skipped as duplicates; rebuild the rollups"
        )


class RecordsUnavailableError(StreamError):
    """Kafka returned no more records although there are more, or deleted the next ones."""


class GroupMembershipError(StreamError):
    """Faust or aiokafka can no longer take part in the consumer group; only a new process can."""


class DecompressionError(StreamError):
    """A record batch could not be decompressed."""


class BatchTooLargeError(DecompressionError):
    """It decompresses to more than is allowed."""


class CorruptBatchError(DecompressionError):
    """Its bytes are not what its codec or its header says."""


class RebuildError(StreamError):
    """A rebuild cannot go on."""


class RebuildRunningError(RebuildError):
    """Another rebuild holds the lock."""


class LockLostError(RebuildError):
    """The lock of this rebuild expired, so another one may have begun."""


class RetentionGapError(RebuildError):
    """Kafka no longer holds everything that was ever published."""

    def __init__(self, lost: Sequence[Gap]) -> None:
        super().__init__(", ".join(gap.place for gap in lost))
        self.lost = list(lost)


class TopicRecreatedError(RebuildError):
    """A topic was deleted or created again while the rollups were rebuilt."""
