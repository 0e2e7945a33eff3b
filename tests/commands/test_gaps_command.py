"""`usage gaps`: list and accept."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from redis.client import Redis

from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.store import gaps
from rollups.gaps import Gap
from tests.commands.conftest import NOWHERE
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]

FOUND = [Gap("usage.flows", n, "", 10, 20 + n, n or None, 1_790_000_000 + n, "worker")
         for n in range(3)]  # fmt: skip


@pytest.fixture
def broker() -> Iterator[str]:
    """Yield the address of a broker of the test's own: what was accepted is in it for ever."""
    with mock_broker() as running:
        yield running.bootstrap


@pytest.fixture(autouse=True)
def known(redis_url: str) -> None:
    """Have three gaps known, none of them accepted."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        gaps.record(MemoryLedger(redis), FOUND)


def test_gaps_are_listed(usage: Usage) -> None:
    """Where, when at the earliest and at the latest, by what; without Kafka."""
    lines = usage("gaps", "list", kafka=NOWHERE).stdout.splitlines()
    assert lines[0].split("\t") == [
        FOUND[0].id, "usage.flows/0, offsets 10 to 19", "unknown", "2026-09-21T14:13:20Z", "worker",
        "open",
    ]  # fmt: skip
    shown = json.loads(usage("gaps", "list", "--json", kafka=NOWHERE).stdout)
    assert shown[1] == {
        "id": FOUND[1].id, "topic": "usage.flows", "partition": 1, "topic_id": "", "first": 10,
        "end": 21, "since": "1970-01-01T00:00:01Z", "until": "2026-09-21T14:13:21Z",
        "found_by": "worker", "accepted": None,
    }  # fmt: skip


def test_an_accepted_gap_stays_listed_with_who_and_why(usage: Usage) -> None:
    """The others are open; accepting it again changes nothing; then all the rest."""
    one = FOUND[1].id
    done = usage("gaps", "accept", one, one, "--reason", " sent again ", "--by", "ann")
    assert done.stdout == f"Accepted: {one}, usage.flows/1, offsets 10 to 20\n"
    again = usage("gaps", "accept", one, "--reason", "other")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "was accepted before, by ann" in again.stderr
    shown = json.loads(usage("gaps", "list", "--json").stdout)
    assert [each["accepted"] is None for each in shown] == [True, False, True]
    assert shown[1]["accepted"]["by"] == "ann"
    assert shown[1]["accepted"]["reason"] == "sent again"
    assert "accepted by ann" in usage("gaps", "list").stdout
    assert usage("gaps", "accept", "--all", "--reason", "rest").stdout.count("Accepted") == 2
    assert "no gap" in usage("gaps", "accept", "--all", "--reason", "rest").stderr


def test_an_unknown_id_is_named_with_a_near_one(usage: Usage) -> None:
    """And nothing is accepted, the known ones among them neither."""
    one = FOUND[0].id
    mistyped = one[:-1] + ("0" if one[-1] != "0" else "1")
    done = usage("gaps", "accept", FOUND[1].id, mistyped, "--reason", "r")
    assert done.exit_code == 1
    assert f"There is no gap {mistyped!r}; did you mean {one}" in done.stderr
    assert "usage gaps list" in usage("gaps", "accept", "zzz", "--reason", "r").stderr
    assert not any(each["accepted"] for each in json.loads(usage("gaps", "list", "--json").stdout))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reason", "r"),
        ("x", "--all", "--reason", "r"),
        ("x",),
        ("x", "--reason", "  "),
        ("x", "--reason", "a\nb"),
        ("x", "--reason", "a" * 201),
        ("x", "--reason", "r", "--by", ""),
    ],
)
def test_wrong_usage(usage: Usage, arguments: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert usage("gaps", "accept", *arguments, kafka=NOWHERE).exit_code == 2


@pytest.mark.usefixtures("quickly")
def test_without_kafka_nothing_is_accepted(usage: Usage) -> None:
    """One sentence, exit code 1."""
    done = usage("gaps", "accept", "--all", "--reason", "r", kafka=NOWHERE)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("nothing was changed.\n")


def test_no_gaps(usage: Usage, redis_url: str) -> None:
    """A sentence on the standard error; an empty array for programs."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    assert "There is no gap" in usage("gaps", "list").stderr
    assert json.loads(usage("gaps", "list", "--json").stdout) == []
