"""What the state of an archive means, or that there is none."""

from pathlib import Path

import pytest

from interaction_usage import settings
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.location import Location
from interaction_usage.doctor import archive
from interaction_usage.doctor.archive import State
from interaction_usage.doctor.findings import Level, is_healthy
from interaction_usage.servers.mock_broker import mock_broker
from stream_app.broker import ensure_topics
from tests.archive.test_tables import FLOWS, rows
from tests.doctor.test_judging import worst

GOOD = State("/archive", 1_000, 20, [], 0, 31.0, True)


@pytest.mark.parametrize(
    ("state", "level", "sentence"),
    [
        (GOOD, Level.OK, "20 records are not archived yet; the last commit was 31 s ago"),
        (GOOD._replace(behind=0, idle_s=90_000), Level.OK, "the last commit was 25 h ago"),
        (GOOD._replace(idle_s=900), Level.WARNING, "the last commit: 15 min ago"),
        (GOOD._replace(idle_s=None), Level.WARNING, "the last commit: nothing was ever written"),
        (
            GOOD._replace(endangered=["usage.flows/0", "usage.flows/1"]), Level.WRONG,
            "Kafka has deleted records of usage.flows/0, usage.flows/1 that are not archived",
        ),
        (GOOD._replace(gaps=7), Level.WARNING, "It lacks 7 records"),
        (GOOD._replace(is_writable=False), Level.WARNING, "It cannot be written from here"),
        (GOOD._replace(is_writable=None), Level.OK, "/archive, 1,000 records"),
    ],
)  # fmt: skip
def test_an_archive(state: State, level: Level, sentence: str) -> None:
    """Only what Kafka has deleted first is wrong; the rest can be caught up with."""
    found = list(archive.judge(state))
    assert worst(found) == level
    assert sentence in " ".join(each.sentence for each in found)
    assert is_healthy(found) == (level is not Level.WRONG)
    assert all(each.advice for each in found if each.level is not Level.OK)


def test_no_archive_matters_where_kafka_deletes() -> None:
    """The topics are named, a few of them."""
    assert archive.judge_without([]).level is Level.OK
    found = archive.judge_without(["a", "b", "c", "d", "e"])
    assert (found.level, "deletes events of a, b, c and 2 more:" in found.sentence) == (
        Level.WARNING, True,
    )  # fmt: skip


def test_an_archive_is_asked(tmp_path: Path) -> None:
    """A real one beside a broker: not there, there, not to be read."""
    with mock_broker() as broker:
        ensure_topics(broker.bootstrap, ["usage.flows"], 4, 1)
        config = settings.read(
            {"USAGE_KAFKA": broker.bootstrap, "USAGE_ARCHIVE": str(tmp_path / "archive")}
        )
        [found] = archive.examine(config, [], 0)
        assert "There is no archive at" in found.sentence
        made = Archive.create(Location(config.archive))
        made.events.append(rows(0, 5), {FLOWS: 5}, {})
        found = list(archive.examine(config, [], 2_000_000_000))
        assert [each.subject for each in found] == ["versions", "place", "lag"]
        assert "5 records of events" in found[1].sentence
        (tmp_path / "archive" / "events" / "_delta_log" / f"{1:020}.json").write_text("{")
        [found] = archive.examine(config, [], 0)
        assert (found.level, "cannot be read" in found.sentence) == (Level.WRONG, True)
