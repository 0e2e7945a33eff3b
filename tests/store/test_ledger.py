"""Topics read into Redis: in order, once, and as the topic says, whoever reads it and how often."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from interaction_usage.dashboard import tokens
from interaction_usage.store import account_history, account_settings, keys
from interaction_usage.store.account_history import Author
from interaction_usage.store.account_table import ACCOUNTS, ChangeRecord, change_record
from interaction_usage.store.backup import records, restore
from interaction_usage.store.errors import LedgerUnavailableError
from interaction_usage.store.gaps import GAPS, accept, gap_bytes, read_gaps, record
from interaction_usage.store.ledger import Table
from interaction_usage.store.token_table import TOKENS
from rollups.gaps import Acceptance, Gap
from rollups.watermark import OffsetRange
from stream_app.topics import LEDGER
from tests.support.memory_ledger import MemoryLedger

GAP = Gap("usage.flows", 3, "abcd", 10, 20, None, 100, "worker")
NOW = 1_700_000_000


def everything(redis: Any) -> dict[str, Any]:
    """Return what people decided, as Redis has it."""
    accounts = sorted(name.decode() for name in redis.smembers(keys.SETTINGS_ACCOUNTS))
    return {
        "settings": [account_settings.get(redis, name) for name in accounts],
        "history": [account_history.read(redis, name, 1_000) for name in accounts],
        "tokens": tokens.every(redis),
        "gaps": read_gaps(redis),
    }


def decide(ledger: MemoryLedger, rng: random.Random) -> None:
    """Change settings of two accounts, make and revoke tokens, find and accept a gap."""
    for number in range(20):
        name, by = rng.choice(["acme", "rival"]), Author(f"author {number}", "ab", bool(number % 2))
        account_settings.put(ledger, name, name=f"Name {rng.randrange(5)}", author=by)
        account_settings.put(ledger, name, sms=rng.random() < 0.5, author=by)
    for _ in range(3):
        tokens.create(ledger, "acme", NOW)
    tokens.revoke(ledger, tokens.every(ledger.redis)[0].id, NOW)
    [gap] = record(ledger, [GAP])
    accept(ledger, [gap], Acceptance("a test", "ann", NOW))


def test_an_emptied_redis_gets_everything_back(redis: Any, ledger: MemoryLedger) -> None:
    """Value for value, the ids of changes included, and nothing else."""
    decide(ledger, random.Random(1))
    before = everything(redis)
    assert len(before["tokens"]) == 2
    redis.flushall()
    for table in LEDGER:
        ledger.sync(table)
    assert everything(redis) == before


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_who_reads_and_how_often(
    redis: Any, ledger: MemoryLedger, seed: int
) -> None:
    """Several readers, each in order, in any chunks, one behind the other."""
    rng = random.Random(seed)
    decide(ledger, rng)
    before = everything(redis)
    redis.flushall()
    for table in LEDGER:
        place, topic = f"{table.topic}/0@x", ledger.topics[table.topic]
        table.begin(redis, place)
        readers = [0, 0, 0]
        while min(readers) < len(topic):
            reader = rng.randrange(3)
            begin, end = readers[reader], min(readers[reader] + rng.randrange(1, 9), len(topic))
            table.apply(redis, place, topic[begin:end], OffsetRange(begin, end))
            readers[reader] = end
        for end in range(len(topic)):  # somebody who slept
            table.apply(redis, place, topic[:end], OffsetRange(0, end))
    assert everything(redis) == before


@pytest.mark.parametrize("table", LEDGER, ids=lambda table: str(table.topic))
def test_what_follows_a_hole_is_not_applied(redis: Any, ledger: MemoryLedger, table: Table) -> None:
    """[position read]  Redis restarts and has lost its last writes  [records applied]."""
    decide(ledger, random.Random(4))
    topic, before = ledger.topics[table.topic], everything(redis)
    redis.flushall()
    place = f"{table.topic}/0@{ledger.topic_id}"
    ahead = OffsetRange(max(len(topic) - 1, 1), len(topic) + 1)
    with pytest.raises(LedgerUnavailableError, match=f"lost what it had of {table.topic}"):
        table.apply(redis, place, topic[-1:], ahead)
    table.begin(redis, place)
    nothing = everything(redis)
    with pytest.raises(LedgerUnavailableError, match=f"lost what it had of {table.topic}"):
        table.apply(redis, place, topic[-1:], ahead)
    assert everything(redis) == nothing
    assert table.positions(redis) == {place: 0}
    for each in LEDGER:
        ledger.sync(each)
    assert everything(redis) == before


def test_a_crash_before_redis_has_it_heals(redis: Any, ledger: MemoryLedger) -> None:
    """[published]  crash  [the next one applies it first]."""
    account_settings.put(ledger, "acme", name="Acme")
    change = ChangeRecord(NOW * 1000, "jane", "", operator=True, values={"timezone": "Asia/Tokyo"})
    ledger.append(ACCOUNTS, *change_record("acme", change))
    account_settings.put(ledger, "acme", name="Acme Ltd")
    kept = account_settings.get(redis, "acme")
    assert (kept.name, kept.timezone) == ("Acme Ltd", "Asia/Tokyo")
    assert [each.field for each in account_history.read(redis, "acme", 9)] == [
        "name", "timezone", "name",
    ]  # fmt: skip


def test_two_dashboards_at_once_lose_no_change(redis: Any, ledger: MemoryLedger) -> None:
    """Each sets another field; both stand in the end, in Redis and in the topic."""

    def put(number: int) -> None:
        account_settings.put(ledger, "acme", **{"name": f"N{number}"} if number % 2 else
                             {"timezone": ("Asia/Tokyo", "UTC")[number // 2 % 2]})  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(60)))
    before = everything(redis)
    redis.flushall()
    ledger.sync(ACCOUNTS)
    assert everything(redis) == before


def test_what_is_so_already_is_not_published(ledger: MemoryLedger) -> None:
    """A nightly job that sets the same again does not grow the topic."""
    for _ in range(3):
        account_settings.put(ledger, "acme", name="Acme", sms=False)
        account_settings.put(ledger, "quiet")
    assert len(ledger.topics[ACCOUNTS.topic]) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: account_settings.put(ledger, "acme", name="Other"),
        lambda ledger: tokens.create(ledger, "acme", NOW),
        lambda ledger: tokens.revoke(ledger, tokens.every(ledger.redis)[0].id, NOW),
        lambda ledger: record(ledger, [GAP]),
    ],
)
def test_without_kafka_nothing_changes(
    redis: Any, ledger: MemoryLedger, change: Callable[[MemoryLedger], Any]
) -> None:
    """It is refused, and Redis is as it was."""
    account_settings.put(ledger, "acme", name="Acme")
    tokens.create(ledger, "acme", NOW)
    before = everything(redis)
    ledger.refusing = True
    with pytest.raises(LedgerUnavailableError):
        change(ledger)
    assert everything(redis) == before


def of_before(redis: Any) -> dict[str, Any]:
    """Give Redis settings, history and tokens as a version without topics left them."""
    old = MemoryLedger(redis)
    account_settings.put(old, "acme", name="Acme", timezone="Europe/Paris")
    account_settings.put(old, "acme", name="Acme Ltd", author=Author("jane", "ab", False))
    account_settings.put(old, "plain")
    tokens.create(old, None, NOW)
    for name in ("acme", "plain"):
        redis.hdel(keys.settings(name), "at")
    for name in redis.scan_iter("*usage:ledger*"):
        redis.delete(name)
    redis.delete(keys.TOKENS_READ)
    redis.delete(keys.GAPS_READ)
    return everything(redis)


def test_an_upgrade_publishes_what_redis_alone_has(redis: Any) -> None:
    """Once, by whoever comes first; after that Redis may be lost."""
    before, ledger = of_before(redis), MemoryLedger(redis)
    for _ in range(2):
        for table in LEDGER:
            ledger.sync(table)
        assert everything(redis) == before
    assert [len(ledger.topics[table.topic]) for table in LEDGER] == [2, 1, 0, 0, 0]
    redis.flushall()
    for table in LEDGER:
        ledger.sync(table)
    assert everything(redis) == before


def test_what_was_published_twice_counts_once(redis: Any) -> None:
    """[import][change][import, by one who began to adopt before the change]: the change stays."""
    of_before(redis)
    ledger = MemoryLedger(redis)
    [again] = list(ACCOUNTS.unpublished(redis, {"plain"}))
    account_settings.put(ledger, "acme", name="Newer")
    ledger.append(ACCOUNTS, *again)
    ledger.sync(ACCOUNTS)
    before = everything(redis)
    assert account_settings.get(redis, "acme").name == "Newer"
    redis.flushall()
    ledger.sync(ACCOUNTS)
    assert everything(redis)["history"] == before["history"]


def test_an_account_that_an_older_version_set_meanwhile_is_not_lost(
    redis: Any, ledger: MemoryLedger
) -> None:
    """A dashboard that was not upgraded writes to Redis alone; the next change takes it along."""
    account_settings.put(ledger, "other")
    redis.hset(keys.settings("acme"), mapping={"set": "1", "name": "Acme"})
    account_settings.put(ledger, "acme", timezone="Asia/Tokyo")
    redis.flushall()
    ledger.sync(ACCOUNTS)
    kept = account_settings.get(redis, "acme")
    assert (kept.name, kept.timezone) == ("Acme", "Asia/Tokyo")


def test_a_topic_that_was_created_again_gets_everything(redis: Any, ledger: MemoryLedger) -> None:
    """It has another id: nothing of it is in Redis, and all that is there is published to it."""
    decide(ledger, random.Random(3))
    before = everything(redis)
    created_again = MemoryLedger(redis)
    for table in LEDGER:
        created_again.sync(table)
    redis.flushall()
    for table in LEDGER:
        created_again.sync(table)
    assert everything(redis) == before


@pytest.mark.parametrize("worker_first", [True, False])
def test_after_a_restore_the_topic_has_the_last_word(
    redis: Any, ledger: MemoryLedger, worker_first: bool
) -> None:
    """And what it lacks it gets from the backup: settings as well as tokens."""
    redis.set(keys.FIRST.limits, orjson.dumps({keys.LAYOUT_FIELD: keys.LAYOUT}))
    redis.set(keys.FIRST.secret, bytes(16))
    account_settings.put(ledger, "acme", name="Old")
    account_settings.put(MemoryLedger(redis), "lacking", name="Only in the backup")
    gone = tokens.create(ledger, None, NOW)
    backup = list(records(redis))
    account_settings.put(ledger, "acme", name="New")
    tokens.revoke(ledger, tokens.digest_of(gone)[:10], NOW)
    record(ledger, [GAP])
    redis.flushall()
    if worker_first:
        for table in LEDGER:
            ledger.sync(table)
    restore(redis, backup)
    for table in LEDGER:
        ledger.sync(table)
    assert account_settings.get(redis, "acme").name == "New"
    assert tokens.every(redis) == []
    assert read_gaps(redis) == [GAP]
    if not worker_first:
        assert account_settings.get(redis, "lacking").name == "Only in the backup"


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        (ACCOUNTS, "acme/1", b"x"),
        (ACCOUNTS, "a b/1", b'{"type":"ChangeRecord"}'),
        (ACCOUNTS, "acme/1", b'{"type":"change","at":-1,"by":"","token":"","operator":true,'
                             b'"values":{}}'),
        (ACCOUNTS, "acme/1", b'{"type":"change","at":1,"by":"","token":"","operator":true,'
                             b'"values":{"at":"x"}}'),
        (ACCOUNTS, "acme/1", b'{"type":"import","values":{},"history":'
                             b'[["0-0",["","","","","",""]]]}'),
        (ACCOUNTS, "acme/1", b'{"type":"import","values":{},"history":[["1-0",["",""]]]}'),
        (TOKENS, "short", b'{"account":null,"created":1}'),
        (TOKENS, "0" * 64, b"{}"),
        (TOKENS, "0" * 64, b""),
        (GAPS, "other", gap_bytes(GAP)),
        (GAPS, GAP.id, b"{}"),
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_passed_over(
    redis: Any, ledger: MemoryLedger, caplog: Any, table: Table, key: str, value: bytes
) -> None:
    """It is logged with the offset; whatever comes behind it counts."""
    ledger.append(table, key, value)
    decide(ledger, random.Random(7))
    assert f"{table.topic}, offset 0 is skipped" in caplog.text
    assert len(tokens.every(redis)) == 2
    assert len(read_gaps(redis)) == 1
    assert len(account_history.read(redis, "acme", 100)) > 1


def test_a_gap_that_is_known_is_recorded_once(redis: Any, ledger: MemoryLedger) -> None:
    """Also after Redis was emptied, and an accepted one too; what is new of it is another."""
    assert record(ledger, [GAP]) == [GAP]
    accept(ledger, [GAP], Acceptance("a test", "ann", NOW))
    redis.flushall()
    larger = GAP._replace(end=30, until=200)
    assert record(ledger, [GAP._replace(until=200), larger]) == [larger._replace(first=20)]
    assert [gap.accepted is None for gap in read_gaps(redis)] == [False, True]
