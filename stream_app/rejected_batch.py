"""A record batch that is rejected as a whole, because its records cannot be read out of it."""

from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from stream_app.rejection import RejectedError


@dataclass
class RejectedBatch(ConsumerRecord):  # type: ignore[misc]
    """Stands in the stream for all records of a batch, at the offset of the last one.

    It has neither key nor value nor headers: what the producer sent is in Kafka alone.
    """

    rejection: RejectedError
    base_offset: int  #: of the first record
    batch_bytes: int  #: its size in Kafka
    fingerprint: str  #: SHA-256 of those bytes, without what the broker writes into them
