"""What must be so when everything is over: each number, each dead letter, each gap.

What Kafka deleted may be missing until it is published again, but only what lies in a gap. What
comes for a sealed day is refused, so then the topics and the dead letters say what was counted.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from interaction_usage.store import keys
from interaction_usage.store.gaps import GAPS, read_gaps
from interaction_usage.store.reads import Rollups
from rollups.catalog import SESSION_METRICS
from rollups.completeness import Status
from rollups.gaps import Gap
from rollups.range_snapshot import RangeSnapshot
from rollups.slots import SLOT_SECONDS
from stream_app.broker import admin_client, spans_of, topic_ids
from stream_app.dead_letter_reader import RejectedRecord, read_rejected_records
from stream_app.ledger_producer import PARTITION
from stream_app.topics import EVENT_TOPICS, TOPIC_OF
from tests.faults.auditor import Auditor
from tests.faults.publisher import Place, broken_record
from tests.faults.run import Run
from tests.support import reference_model
from tests.support.reference import report_of, rollups_of

RANGES = (
    ("UTC", "2026-10-01", "2026-10-02"),
    ("Asia/Kathmandu", "2026-09-30", "2026-10-03"),
)
AS_OF = "2026-11-01T00:00:00Z"
#: The slots of the days around the two of the events, into which sessions reach.
FIRST_SLOT, END_SLOT = (
    int(datetime(2026, month, day, tzinfo=UTC).timestamp()) // SLOT_SECONDS
    for month, day in ((9, 29), (10, 6))
)
SEALED = "sealed"
#: Seconds for which what a killed worker locked may keep commands from publishing, and some.
_LOCK_S = 90


class Outcome:
    """Holds what a run left against what was published."""

    def __init__(self, run: Run, auditor: Auditor, lines: list[bytes], broken: int) -> None:
        self._run, self._system, self._auditor = run, run.system, auditor
        self._lines = lines
        self._broken = {broken_record(number) for number in range(broken)}
        self._refused = read_rejected_records(self._system.kafka.bootstrap)

    def check(self) -> None:
        """Fail unless all is exact."""
        gaps = self._gaps()
        self._check_refused(gaps)
        self._check_lost(gaps)
        if gaps:
            self._run.note(f"gaps: {[gap.place for gap in gaps]}")
            self._check_gaps(gaps)
            self._repair()
        self._check_numbers(self._counted() + self._committed_after_all())
        self._auditor.check({record.value or b"" for record in self._of_sealed_days})
        self._system.usage("lag", "--until-zero", "0")
        self._check_evidence(gaps)

    # ------------------------------------------------------------------------- gaps

    def _gaps(self) -> list[Gap]:
        self._wait_for_gaps()
        self._system.usage("gaps", "list")
        with self._system.client() as client:
            return read_gaps(client)

    def _wait_for_gaps(self) -> None:
        """Wait until Redis has everything in the topic of gaps.

        It may have lost that; a worker reads it again, once nobody holds the right to who was
        killed.
        """
        admin, deadline = admin_client(self._system.kafka.bootstrap), time.monotonic() + _LOCK_S
        while True:
            ids = topic_ids(admin, [GAPS.topic])
            if GAPS.topic not in ids:
                return
            place = keys.fence(GAPS.topic, PARTITION, ids[GAPS.topic])
            end = spans_of(admin, [GAPS.topic])[GAPS.topic, PARTITION].end
            with self._system.client() as client:
                if GAPS.positions(client).get(place, 0) >= end:
                    return
            assert time.monotonic() < deadline, f"{place} is not read up to {end}"
            time.sleep(0.5)

    def _check_lost(self, gaps: list[Gap]) -> None:
        """Hold that what is lost for certain lies in gaps, unless its whole topic is gone.

        A broker that is killed within a minute of a deletion comes back with what it had deleted.
        """
        ids = self._topic_ids()
        spans = spans_of(admin_client(self._system.kafka.bootstrap), EVENT_TOPICS)
        for lost in self._run.lost:
            if ids.get(lost.topic) == lost.topic_id and not self._run.was_replaced:
                end = min(lost.end, spans[lost.topic, lost.partition].begin)
                places = [Place(*lost[:2], offset) for offset in range(lost.first, end)]
                known = [gap for gap in gaps if gap.topic_id == lost.topic_id]
                assert all(_is_in(place, known) for place in places), f"{lost} is in no gap"

    def _topic_ids(self) -> dict[str, str]:
        return topic_ids(admin_client(self._system.kafka.bootstrap), EVENT_TOPICS)

    def _check_gaps(self, gaps: list[Gap]) -> None:
        """Hold that every report is incomplete, and that nothing is missing beside the gaps."""
        ids = self._topic_ids()
        present = [gap for gap in gaps if ids.get(gap.topic) == gap.topic_id]
        counted = _runs_by_account(
            line
            for line, places in list(self._run.publisher.places.items())
            if not all(_is_in(place, present) for place in places)
        )
        for account, least in counted.items():
            report = self._auditor.report(account)
            assert report.completeness.status is Status.INCOMPLETE, report.completeness
            runs = report.counts.flow_runs_total
            assert runs >= least, f"{account}: {runs} flow runs, and {least} lie in no gap"

    def _repair(self) -> None:
        """Publish again what may be lost, as its producer would, and accept the gaps."""
        again = [
            (TOPIC_OF[json.loads(line)["type"]], None, line, None)
            for line in self._lines
            if TOPIC_OF[json.loads(line)["type"]] in self._run.publisher.deleted
        ]
        self._run.note(f"{len(again):,} events are sent again, and the gaps accepted")
        self._system.publish(again)
        self._accept_gaps("sent again")
        self._auditor.forget_gaps()
        self._system.catch_up()

    def _accept_gaps(self, reason: str) -> None:
        """Accept all; again while the lock of a worker that was killed is there, as it says."""
        deadline = time.monotonic() + _LOCK_S
        while True:
            done = self._system.usage("gaps", "accept", "--all", "--reason", reason, code=None)
            said = done.stderr.decode()
            if "try again in a minute" not in said or time.monotonic() > deadline:
                assert done.returncode == 0, said
                return
            time.sleep(1)

    def _check_evidence(self, gaps: list[Gap]) -> None:
        """Hold that every number follows from the events, where Kafka still has all of them."""
        if gaps or self._run.lost or self._run.was_replaced or self._run.publisher.deleted:
            return
        for zone, first, last in RANGES:
            asked = ("--from", first, "--to", last, "--tz", zone, "--as-of", AS_OF)
            self._system.usage("verify", *asked)
        self._run.note("every number was verified from the events")

    # ------------------------------------------------------------------------- refused

    @property
    def _of_sealed_days(self) -> list[RejectedRecord]:
        return [record for record in self._refused if record.newest.reason == SEALED]

    def _check_refused(self, gaps: list[Gap]) -> None:
        """Hold that exactly what is broken was refused, unless Kafka deleted it unread."""
        reasons = {"malformed", "invalid-data"} | ({SEALED} if self._run.seals else set())
        assert {record.newest.reason for record in self._refused} <= reasons
        others = {record.value for record in self._refused if record.newest.reason != SEALED}
        assert others <= self._broken
        ids = self._topic_ids()
        present = [gap for gap in gaps if ids.get(gap.topic) == gap.topic_id]
        for broken in self._broken - others:
            places = self._run.publisher.places[broken]
            assert all(_is_in(place, present) for place in places), f"{broken!r} is at {places}"
        places = {record.origin for record in self._refused}
        # Nothing tells the places of a new topic or cluster from those of the old one.
        if len(places) == len(self._refused) and not self._run.was_replaced:
            self._auditor.check_refused(
                Counter(record.account for record in self._refused if record.account)
            )

    def _counted(self) -> list[bytes]:
        """Return what was counted: everything, or else everything but what was refused."""
        if not self._run.seals:
            return self._lines
        refused = {
            ((place.topic, place.partition, place.offset), record.value)
            for record in self._of_sealed_days
            for place in record.places
        }
        published = self._published()
        assert {value for _, value in published}.issuperset(self._lines)
        counted = {value for place, value in published if (place, value) not in refused}
        self._run.note(f"{len(refused):,} records were refused, {len(counted):,} are not")
        return [line for line in self._lines if line in counted]

    def _committed_after_all(self) -> list[bytes]:
        """Return the events of transactions that were aborted, and that Kafka gives to readers.

        An Apache Kafka that loses the marker of an aborted transaction in a partition takes what it
        has there for a part of the same producer's next one. Another client says whether it did.
        """
        found = [value for _, value in self._published() if b'"id": "aborted ' in value]
        if found:
            self._run.note(f"Kafka has {len(found)} events as committed that were aborted")
        return found

    def _published(self) -> set[tuple[Place, bytes]]:
        """Return all records of the topics of events, without those that were aborted."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._system.kafka.bootstrap, "group.id": "outcome",
                "enable.partition.eof": True, "enable.auto.commit": False,
            }
        )  # fmt: skip
        found: set[tuple[Place, bytes]] = set()
        try:
            topics = consumer.list_topics(timeout=20).topics
            places = [
                (topic, number) for topic in EVENT_TOPICS for number in topics[topic].partitions
            ]
            consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
            left = set(places)
            while left:
                message: Any = consumer.poll(20)
                assert message is not None, f"{left} came to no end"
                if message.error():
                    left.discard((message.topic(), message.partition()))
                else:
                    place = Place(message.topic(), message.partition(), message.offset())
                    found.add((place, message.value()))
        finally:
            consumer.close()
        return found

    # ------------------------------------------------------------------------- numbers

    def _check_numbers(self, counted: list[bytes]) -> None:
        """Hold reports, and every value behind them, against what was counted."""
        expected = rollups_of(counted)
        with self._system.client() as client:
            live = Rollups.live(client)
            assert live.accounts() == sorted(expected)
            for account, rollups in expected.items():
                found = live.read(account, FIRST_SLOT, END_SLOT, by_slot=True, flows=True)
                reference = reference_model.read(rollups, FIRST_SLOT, END_SLOT)
                differing = _differing(self._values(found), self._values(reference))
                assert not differing, f"{account}, (found, reference): {differing}"
        for account, rollups in expected.items():
            for tz, *days in RANGES:
                report = self._system.report_here(account, *days, tz=tz, as_of=AS_OF)
                wanted = report_of(rollups, account, *days, tz, AS_OF)
                assert self._without_unknown(report, wanted) == wanted, (account, tz)

    def _values(self, reading: RangeSnapshot) -> dict[str, Any]:
        """Return *reading* without metrics that have no amounts, or that an upgrade lacks."""
        members = reading._asdict()
        unknown = SESSION_METRICS if self._run.was_upgraded else ()
        for name in ("by_slot", "totals"):
            members[name] = {
                metric: amount
                for metric, amount in members[name].items()
                if amount and metric not in unknown
            }
        if self._run.was_upgraded:
            del members["has_sessions"]
        return members

    def _without_unknown(
        self, report: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the numbers of *report*; an upgrade leaves sessions unknown that it did not count.

        It may have been issued meanwhile, and has its number then.
        """
        report = {name: value for name, value in report.items() if name != "number"}
        sessions = report["sessions"]
        if self._run.was_upgraded and sessions["agent"]["started"] is None:
            sessions = wanted["sessions"]
        return {**report, "sessions": sessions}


def _differing(found: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs, by its path; of what is there for each slot, only the first ones."""
    differing: dict[str, Any] = {}
    for name in sorted({*found, *reference}):
        here, there = found.get(name), reference.get(name)
        if here == there:
            continue
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            for path, pair in _differing(here, there).items():
                differing[f"{name}.{path}"] = pair
        elif isinstance(here, Sequence) and isinstance(there, Sequence):
            slots = [
                (slot, *pair)
                for slot, pair in enumerate(zip(here, there, strict=False))
                if pair[0] != pair[1]
            ]
            differing[name] = slots[:5] or (len(here), len(there))
        else:
            differing[name] = here, there
    return differing


def _is_in(place: Place, gaps: Iterable[Gap]) -> bool:
    return any(gap[:2] == place[:2] and gap.first <= place.offset < gap.end for gap in gaps)


def _runs_by_account(lines: Iterable[bytes]) -> Counter[str]:
    """Return how many flow runs of each account are among *lines*."""
    events = [json.loads(line) for line in lines if line.startswith(b"{")]
    return Counter(
        each["subject"]
        for each in events
        if each["type"] == "usage.flow.run" and "flow" in each["data"]
    )
