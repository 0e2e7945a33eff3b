"""What questions read of the archive and of Kafka's tail: no more than needed, and nothing less."""

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from interaction_usage.archive.reading import ArchivedEvents
from interaction_usage.archive.records import EVENTS, events_batch
from interaction_usage.evidence.errors import EvidenceTimeoutError
from interaction_usage.evidence.preparation import SESSIONS
from interaction_usage.explanations.in_background import InBackground
from interaction_usage.explanations.kafka_events import followed_by, may_name
from tests.archive.test_records import Record
from tests.support.event_lines import event, flow


def started(number: int, account: str) -> bytes:
    """Return the start of a session."""
    data = {"session": f"s-{number}", "application": "agent"}
    return event(f"{number}/start", "session.started", data, subject=account)


def rows(account: str, first: int) -> pa.Table:
    """Return five starts of sessions and five flow runs."""
    numbers = range(first, first + 5)
    lines = {
        "usage.sessions": [started(number, account) for number in numbers],
        "usage.flows": [flow(number, subject=account) for number in numbers],
    }
    batches = [
        events_batch(topic, "id", [Record(line, offset=first) for line in each])
        for topic, each in lines.items()
    ]
    return pa.Table.from_batches(batches)


def test_of_the_archive_only_what_a_question_needs_is_read(tmp_path: Path) -> None:
    """These accounts, types and columns; the tail follows, and columns not needed are null."""
    archive = Archive.create(Location(str(tmp_path / "archive")))
    archive.events.append(rows("acme", 0), {"usage.flows/3@id": 10}, {})
    archive.events.append(rows("other", 10), {"usage.flows/3@id": 20}, {"usage.flows/3@id": 10})
    opened = ArchivedEvents.open(str(tmp_path / "archive"))
    found = opened.read(["acme"], *SESSIONS, lambda: False)
    assert found.column_names == list(SESSIONS.columns)
    assert sorted(found["session"].to_pylist()) == [f"s-{number}" for number in range(5)]
    whole = followed_by(found, rows("acme", 20))
    assert whole.schema == EVENTS
    names = [*(f"s-{number}" for number in range(5)), *(f"s-{number}" for number in range(20, 25))]
    assert whole["session"].drop_null().to_pylist() == names
    assert whole["flow"].null_count == whole.num_rows == 15
    assert opened.read(["acme"], *SESSIONS, lambda: True).num_rows <= 5


@pytest.mark.parametrize(
    ("value", "headers", "may"),
    [
        (flow("1", subject="acme"), [], True),
        (flow("1", subject="other"), [], False),
        (flow("1", subject="acme").replace(b"acme", b"\\u0061cme"), [], True),
        (b'{"flow":"x","application":"agent"}', [("ce_subject", b"acme")], True),
        (b"nonsense", [("content-type", b"application/json")], False),
        (None, [], True),
    ],
)
def test_no_record_of_an_account_is_passed_over(
    value: bytes | None, headers: list[tuple[str, bytes]], *, may: bool
) -> None:
    """However its name is written; of most others that is known without decoding them."""
    record = Record(value, headers=headers)
    [account] = events_batch("usage.flows", "id", [record])["account"].to_pylist()
    assert may_name(record, [b"acme"]) == may
    assert may or account != "acme"


def test_what_takes_too_long_in_the_background_is_given_up() -> None:
    """The block ends, and with it the work; what the work raises is raised where it is needed."""
    ended = threading.Event()

    def work(is_over: Callable[[], bool]) -> None:
        while not is_over():
            ended.wait(0.01)
        ended.set()

    with (
        pytest.raises(EvidenceTimeoutError, match=r"longer than 0\.05 s"),
        InBackground(work, 0.05) as reading,
    ):
        reading.result()
    assert ended.is_set()
    with pytest.raises(ZeroDivisionError), InBackground(lambda _: 1 // 0, None) as failing:
        failing.result()
