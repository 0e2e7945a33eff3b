"""Issued reports in Redis: what the topic says, in the order of its records and in no other."""

import random
from typing import Any

import pytest

from interaction_usage.store import account_settings, backup, keys
from interaction_usage.store.issued_table import (
    REPORTS,
    Entry,
    StoredReport,
    accounts_with_reports,
    entries,
    find,
    parse_number,
    proposal_record,
    report_number,
    stored,
)
from rollups.watermark import OffsetRange
from tests.support.memory_ledger import MemoryLedger


def proposal(account: str, ordinal: int, text: str, revises: int | None = None) -> StoredReport:
    """Return a proposal that differs from others with this number."""
    entry = Entry(
        account, ordinal, "2025-10-01", "2025-10-31", "UTC", 0, 1, 5, "ann", revises, text, {"a": 1}
    )
    return StoredReport(entry, {"number": entry.number}, text.encode(), b"files")


def everything(redis: Any) -> dict[str, list[StoredReport | None]]:
    """Return all issued reports, as Redis has them."""
    accounts = accounts_with_reports(redis)
    return {name: [stored(redis, each) for each in entries(redis, name)] for name in accounts}


def test_the_first_proposal_of_a_number_is_the_report(redis: Any, ledger: MemoryLedger) -> None:
    """Thirty proposals of two accounts, read once, twice, from anywhere, into an empty Redis."""
    rng = random.Random(3)
    expected: dict[str, dict[int, StoredReport]] = {"acme": {}, "acme-000001": {}}
    for number in range(30):
        account = rng.choice([*expected])
        ordinal = rng.randrange(1, len(expected[account]) + 2)
        made = proposal(account, ordinal, f"proposal {number}")
        expected[account].setdefault(ordinal, made)
        ledger.publish(REPORTS, [proposal_record(made)])
    reports = {name: list(found.values()) for name, found in expected.items()}
    assert everything(redis) == reports
    place, topic = ledger.sync(REPORTS), ledger.topics[REPORTS.topic]
    for _ in range(20):
        begin = rng.randrange(len(topic))
        some = topic[begin : begin + rng.randrange(9)]
        REPORTS.apply(redis, place, some, OffsetRange(begin, len(topic)))
    assert everything(redis) == reports
    redis.flushall()
    ledger.sync(REPORTS)
    assert everything(redis) == reports


def test_a_period_has_the_newest_of_the_reports(redis: Any, ledger: MemoryLedger) -> None:
    """A revision takes the place of what it revises."""
    records = [proposal("acme", 1, "a"), proposal("acme", 2, "b", revises=1)]
    ledger.publish(REPORTS, [proposal_record(each) for each in records])
    field = keys.report_period("2025-10-01", "2025-10-31", "UTC")
    newest = redis.hget(keys.report_entries("acme"), field)
    assert b'"ordinal":2' in newest
    found = find(redis, "acme", 1)
    assert found == records[0].entry
    assert find(redis, "acme", 3) is None


def test_what_the_topic_lacks_is_published_from_redis(redis: Any, ledger: MemoryLedger) -> None:
    """A mirror that is behind, under another id: bytes stay, and the topic has them again."""
    records = [proposal_record(proposal("acme", number, f"{number}")) for number in (1, 2, 3)]
    ledger.publish(REPORTS, records)
    before = everything(redis)
    mirror = MemoryLedger(redis)
    for key, value in records[:2]:
        mirror.append(REPORTS, key, value)
    mirror.sync(REPORTS)
    assert everything(redis) == before
    redis.flushall()
    mirror.sync(REPORTS)
    assert everything(redis) == before


def test_a_backup_has_the_issued_reports(redis: Any, ledger: MemoryLedger) -> None:
    """Restored into an empty Redis, and published to a topic that has none of them."""
    account_settings.put(ledger, "acme", name="Acme")
    redis.set(keys.FIRST.limits, b'{"layout": %d}' % keys.LAYOUT)
    redis.set(keys.FIRST.secret, b"s" * 16)
    records = [proposal_record(proposal("acme", number, f"{number}")) for number in (1, 2)]
    ledger.publish(REPORTS, records)
    before, kept = everything(redis), list(backup.records(redis))
    redis.flushall()
    backup.restore(redis, kept)
    assert everything(redis) == before
    fresh = MemoryLedger(redis)
    fresh.sync(REPORTS)
    assert [each.value for each in fresh.topics[REPORTS.topic]] == [value for _, value in records]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("acme-000001/a", b"{}"),
        ("acme-000002/a", proposal_record(proposal("acme", 1, "a"))[1]),
        ("acme-000001/b", proposal_record(proposal("acme", 1, "a"))[1]),
        ("acme/a", proposal_record(proposal("acme", 1, "a"))[1]),
        ("..-000001/a", proposal_record(proposal("..", 1, "a"))[1]),
    ],
)
def test_a_record_that_is_none_is_skipped(
    redis: Any, ledger: MemoryLedger, key: str, value: bytes
) -> None:
    """Whoever may write to the topic; the records behind it count."""
    ledger.append(REPORTS, key, value)
    ledger.publish(REPORTS, [proposal_record(proposal("acme", 1, "the first"))])
    [report] = everything(redis)["acme"]
    assert report is not None
    assert report.json == b"the first"


@pytest.mark.parametrize(
    ("account", "ordinal", "number"),
    [
        ("acme", 1, "acme-000001"),
        ("acme-000001", 2, "acme-000001-000002"),
        ("a", 1_234_567, "a-1234567"),
    ],
)
def test_a_number_names_the_account(account: str, ordinal: int, number: str) -> None:
    """Also where the account's own id looks like a number."""
    assert report_number(account, ordinal) == number
    assert parse_number(number) == (account, ordinal)


@pytest.mark.parametrize("text", ["", "acme", "acme-1", "acme-000000", "acme-0000001", "-000001"])
def test_other_texts_are_no_numbers(text: str) -> None:
    """What nobody was ever given."""
    with pytest.raises(ValueError, match="is not the number of a report"):
        parse_number(text)
