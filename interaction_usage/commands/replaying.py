"""Sending refused records again, for `usage dead-letters replay` and for the dashboard."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from interaction_usage import settings

if TYPE_CHECKING:
    from stream_app.dead_letter_reader import RejectedRecord
    from stream_app.dead_letters import Place

_UNMARKED = "sent, but not marked as replayed"


def send_again(
    config: settings.Settings, chosen: Sequence["RejectedRecord"], patience: float
) -> tuple[list["RejectedRecord"], list[str]]:
    """Publish the *chosen* records and a marker for each; return what was sent, and what was not.

    1. Kafka acknowledges the record. (Ended before: it is open as it was.)
    2. Kafka acknowledges its marker. (Ended before: it is still open and may be sent once more,
       which counts nothing twice. Refused again, the copy is listed as a record of its own.)

    Raises CommandError and BrokerUnavailableError, before anything was sent.
    """
    from interaction_usage.commands.publishing import ReportingPublisher, check_broker
    from stream_app.dead_letter_reader import filled
    from stream_app.dead_letters import Marker, Place, marker_headers
    from stream_app.topics import DEAD_LETTERS

    check_broker(config)
    publisher = ReportingPublisher(config.kafka, patience)
    sent: list[RejectedRecord] = []  # without their bytes
    unmarked: deque[tuple[RejectedRecord, Place]] = deque()
    problems: list[str] = []

    def publish(record: "RejectedRecord") -> None:
        topic = record.origin.topic
        known = replace(record, key=None, value=None, headers=[])

        def on_delivery(problem: str | None, partition: int, offset: int) -> None:
            if problem is not None:
                problems.append(f"{record.origin}: not sent: {problem}")
                return
            sent.append(known)
            if offset >= 0:
                unmarked.append((known, Place(topic, partition, offset)))
            else:  # it was acknowledged at the second try as one that Kafka had already
                problems.append(f"{record.origin}: {_UNMARKED}: Kafka did not return its offset")

        publisher.publish(topic, record.key, record.value, record.headers, on_delivery=on_delivery)

    def mark() -> None:
        while unmarked:
            record, again = unmarked.popleft()

            def on_delivery(problem: str | None, *_: int, origin: "Place" = record.origin) -> None:
                if problem is not None:
                    problems.append(f"{origin}: {_UNMARKED}: {problem}")

            headers = marker_headers(Marker(record.newest.place, again))
            where = record.newest.partition
            publisher.publish(
                DEAD_LETTERS, None, None, headers, on_delivery=on_delivery, partition=where
            )

    whole: dict[Place, RejectedRecord] = {}
    for record in chosen:
        if left_out := left_out_of(record):
            problems.append(f"{record.origin}: not sent: {left_out}")
        else:
            whole[record.newest.place] = record
    for record in filled(config.kafka, list(whole.values())):
        del whole[record.newest.place]
        publish(record)
        mark()
    publisher.wait(mark)
    for record in whole.values():
        problems.append(f"{record.origin}: not sent: its dead letter was deleted in the meantime")
    return sent, problems


def left_out_of(record: "RejectedRecord") -> str | None:
    """Return a sentence about the part of *record* that was not kept; None if all of it was."""
    if not record.left_out:
        return None
    place = record.newest.place
    if batch := record.left_out.sizes.get("batch"):
        return (
            f"this is a whole batch of {batch:,} bytes, which was too large to keep and cannot be "
            f"replayed; Kafka has it at {place.topic}/{place.partition}, offset {place.offset}, "
            "until it is deleted there"
        )
    parts = [f"its {name}, {size:,} bytes" for name, size in record.left_out.sizes.items()]
    one = parts == parts[:1] and "headers" not in record.left_out.sizes
    were, they_are = ("was", "it is") if one else ("were", "they are")
    return (
        f"{', and '.join(parts)}, {were} too large to keep; {they_are} at "
        f"{place.topic}/{place.partition} offset {place.offset} until Kafka deletes it"
    )
