"""A record batch that is refused as a whole, because its records cannot be read out of it."""

from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from stream_app.rejection import Refused


@dataclass
class RefusedBatch(ConsumerRecord):  # type: ignore[misc]
    """Stands in the stream for all records of a batch, at the offset of the last one.

    It has neither key nor value nor headers: what the producer sent is in Kafka alone.
    """

    refused: Refused
    base_offset: int  #: of the first record
    batch_bytes: int  #: as it lies in Kafka
    fingerprint: str  #: SHA-256 of those bytes, without what the broker writes into them
