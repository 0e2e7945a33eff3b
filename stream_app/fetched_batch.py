"""What the transport hands to an agent: a fetched batch, and the assignment it was fetched for."""

from typing import NamedTuple

from faust.types import TP

from stream_app.fetched_record import FetchedRecord


class Assignment(NamedTuple):
    """What a batch was fetched for: one assignment of the group, read from its start offsets on.

    Kafka's generation alone does not tell assignments apart: the group of another cluster at the
    same address counts from 1 again.
    """

    group_generation: int  #: Kafka's number
    seek: int  #: how many seeks this process had begun


class FetchedBatch(NamedTuple):
    """Records of one partition, as fetched; a Faust message has all that were fetched."""

    tp: TP
    records: list[FetchedRecord]
    begins: int  #: where the batch before it ended
    ends: int  #: the offset after its last record
    assignment: Assignment  #: for which it was fetched
