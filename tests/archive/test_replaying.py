"""Archived records come back as Kafka had them, in the order of their offsets."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from interaction_usage.archive.archive import Archive, ArchivedGap
from interaction_usage.archive.location import Location
from interaction_usage.archive.reading import ArchivedEvents
from interaction_usage.archive.records import dead_letters_batch, events_batch
from interaction_usage.archive.replaying import ArchivedRecords, reading_order
from interaction_usage.archive.tables import DataFile
from rollups.watermark import OffsetRange, Position
from stream_app.broker import Span
from stream_app.dead_letters import dead_letter
from stream_app.rebuild.earlier import Earlier
from stream_app.rejection import Reason, RejectedError
from stream_app.sealed_rejections import before
from tests.archive.test_records import Record
from tests.support.event_lines import flow

A, B, C = (DataFile(f"{n:013}-x.parquet", 1, 1) for n in range(3))
FLOWS, SMS = "usage.flows/3@id", "usage.sms/0@id"


@pytest.mark.parametrize(
    ("files", "order"),
    [
        ({}, []),
        # A [0---5)   B [5---9)
        ({B: {FLOWS: OffsetRange(0, 5)}, A: {FLOWS: OffsetRange(5, 9)}}, [[B], [A]]),
        # each topic-partition has a say
        (
            {A: {FLOWS: OffsetRange(5, 9)}, B: {SMS: OffsetRange(0, 2)},
             C: {FLOWS: OffsetRange(0, 5), SMS: OffsetRange(2, 3)}},
            [[B], [C], [A]],
        ),
        # A [0-------6)   B [4---9)
        ({A: {FLOWS: OffsetRange(0, 6)}, B: {FLOWS: OffsetRange(4, 9)}}, [[A, B]]),
        # one wants to be before the other, and after it
        (
            {A: {FLOWS: OffsetRange(0, 5), SMS: OffsetRange(5, 9)},
             B: {FLOWS: OffsetRange(5, 9), SMS: OffsetRange(0, 5)}},
            [[A, B]],
        ),
    ],
)  # fmt: skip
def test_files_are_read_as_their_offsets_follow_each_other(
    files: Mapping[DataFile, Mapping[str, OffsetRange]], order: list[list[DataFile]]
) -> None:
    """Those that overlap, together."""
    assert reading_order(files) == order


@pytest.fixture
def archived(tmp_path: Path) -> Archive:
    """Return an archive of three commits of two accounts, and the first two joined."""
    found = Archive.create(Location(str(tmp_path)))
    before = 0
    for end in (5, 10, 15):
        records = [
            Record(
                flow(n, subject=f"account-{n % 2}"), offset=n, timestamp=n - 1,
                headers=[("h", b"\x00"), ("h", None)], key=None if n % 3 else b"k",
            )
            for n in range(before, end)
        ]  # fmt: skip
        rows = pa.Table.from_batches([events_batch("usage.flows", "id", records)])
        found.events.append(rows, {FLOWS: end}, {FLOWS: before})
        before = end
    first, second, _ = found.events.files()
    found.events.replace([first, second], found.events.read_files([first, second]))
    return found


def test_records_come_back_as_they_were(archived: Archive) -> None:
    """Bytes, headers and timestamps, also none; by offset, although files are sorted otherwise."""
    records = [
        record
        for name, chunk in ArchivedRecords(archived).read({FLOWS: OffsetRange(3, 12)})
        for record in chunk
        if name == FLOWS
    ]
    assert [record.offset for record in records] == list(range(3, 12))
    for record in records:
        assert record.value == flow(record.offset, subject=f"account-{record.offset % 2}")
        assert record.timestamp == record.offset - 1
        assert record.headers == (("h", b"\x00"), ("h", None))
        assert record.key == (None if record.offset % 3 else b"k")
    assert [
        *ArchivedRecords(archived).read({FLOWS: OffsetRange(15, 20), SMS: OffsetRange(0, 9)})
    ] == []


def test_a_record_without_a_timestamp_has_none_again(archived: Archive) -> None:
    """It is written as -1."""
    [(_, [first])] = ArchivedRecords(archived).read({FLOWS: OffsetRange(0, 1)})
    assert first.timestamp == -1


@pytest.mark.parametrize(
    ("begin", "position", "missing", "lost", "start"),
    [
        # Kafka has everything, so nothing is read from the archive.
        (0, 8, [], [], 0),
        # archive [0--------8)   Kafka [5----
        (5, 8, [], [], 8),
        # archive [0---5)   Kafka      [8----
        (8, 5, [], [(5, 8)], 8),
        # archive [0-2)  [4---8)   Kafka [6----
        (6, 8, [OffsetRange(2, 4)], [(2, 4)], 8),
        # no archive
        (6, 0, [], [(0, 6)], 6),
    ],
)
def test_what_is_lost_is_neither_in_kafka_nor_in_the_archive(
    begin: int, position: int, missing: list[OffsetRange], lost: list[tuple[int, int]], start: int
) -> None:
    """And where Kafka is read from."""

    class Records:
        def positions(self) -> dict[str, int]:
            return {FLOWS: position} if position else {}

        def missing(self) -> dict[str, list[OffsetRange]]:
            return {FLOWS: missing}

    spans = {("usage.flows", 3): Span(begin, 20, 20)}
    earlier = Earlier(Records(), {"usage.flows": "id"}, spans)  # type: ignore[arg-type]
    assert [(gap.first, gap.end) for gap in earlier.lost({})] == lost
    assert earlier.start(FLOWS) == start


def test_a_former_topic_is_lost_behind_what_is_archived(archived: Archive) -> None:
    """It was deleted; Redis says how far it was counted, and the archive how far it is there."""
    archived.record_gap(ArchivedGap("usage.flows", "id", 3, 1, 2), 0)
    earlier = Earlier(ArchivedRecords(archived), {"usage.flows": "another"}, {})
    assert earlier.former == {FLOWS: 15}
    gaps = earlier.lost({FLOWS: Position(18)})
    assert [(gap.topic_id, gap.first, gap.end) for gap in gaps] == [("id", 1, 2), ("id", 15, 18)]
    assert [earlier.has(gap) for gap in gaps] == [False, False]
    assert earlier.has(gaps[0]._replace(first=2, end=9))


def test_what_was_rejected_later_may_be_left_out(archived: Archive) -> None:
    """By the place of the dead letter, which has the topic's id."""
    letters = [
        dead_letter(Record(flow(n), offset=n), RejectedError(Reason.SEALED, "it is sealed"))
        for n in range(4)
    ]
    records = [
        Record(each.value, topic="usage.dead-letters", offset=n, headers=each.headers)
        for n, each in enumerate(letters)
    ]
    rows = pa.Table.from_batches([dead_letters_batch("id", records)])
    name = "usage.dead-letters/3@id"
    archived.dead_letters.append(rows, {name: 4}, {name: 0})
    events = ArchivedEvents(archived)
    assert [each.offset for each in events.sealed_messages()] == [0, 1, 2, 3]
    assert [each.offset for each in events.sealed_messages(before({name: 2}))] == [0, 1]
