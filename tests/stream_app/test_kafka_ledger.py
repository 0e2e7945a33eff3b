"""The ledger on a broker: acknowledged before Redis has it, refused without Kafka, adopted once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from interaction_usage import settings
from interaction_usage.servers.mock_broker import mock_broker
from interaction_usage.servers.redis_server import redis_server
from interaction_usage.store import account_settings, keys
from interaction_usage.store.account_table import ACCOUNTS
from interaction_usage.store.errors import ChangePendingError, LedgerUnavailableError
from stream_app import ledger_reader
from stream_app.broker import Span, spans
from stream_app.ledger import KafkaLedger, _check
from stream_app.ledger_reader import LedgerReader
from tests.support.memory_ledger import MemoryLedger


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """Yield the URL of a Redis of this module's own."""
    with redis_server() as running:
        yield running.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    """Yield a client of an empty Redis."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def config(redis_url: str) -> Iterator[settings.Settings]:
    """Yield the settings of a deployment with a broker of the test's own."""
    with mock_broker() as broker:
        yield settings.read({"USAGE_KAFKA": broker.bootstrap, "USAGE_REDIS": redis_url})


def published(config: settings.Settings) -> int:
    """Return how many records the topic of accounts has."""
    return sum(span.end for span in spans(config.kafka, [ACCOUNTS.topic]).values())


def test_what_is_confirmed_is_in_kafka(config: settings.Settings, redis: Any) -> None:
    """An emptied Redis has it again after a look."""
    ledger = KafkaLedger(config, redis)
    account_settings.put(ledger, "acme", name="Acme")
    account_settings.put(ledger, "acme", sms=False)
    assert published(config) == 2
    redis.flushall()
    KafkaLedger(config, redis).sync(ACCOUNTS)
    assert account_settings.get(redis, "acme")[:4] == ("Acme", "UTC", True, False)


def test_without_kafka_a_change_is_refused_soon(redis: Any, redis_url: str) -> None:
    """Nothing of it is in Redis."""
    nowhere = settings.read({"USAGE_KAFKA": "127.0.0.1:1", "USAGE_REDIS": redis_url})
    began = time.monotonic()
    with pytest.raises(LedgerUnavailableError, match=r"Kafka at 127\.0\.0\.1:1: "):
        account_settings.put(KafkaLedger(nowhere, redis, patience=0.5), "acme")
    assert time.monotonic() - began < 5
    assert not redis.exists(keys.settings("acme"))


def test_what_kafka_has_and_redis_does_not_takes_effect_later(
    config: settings.Settings, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not confirmed, and not called refused either."""
    ledger = KafkaLedger(config, redis)
    account_settings.put(ledger, "acme")

    def away(*_: Any) -> None:
        raise RedisConnectionError("Connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(type(ACCOUNTS), "apply", away)
        with pytest.raises(ChangePendingError, match="Kafka has the change"):
            account_settings.put(ledger, "acme", name="Acme")
    assert account_settings.get(redis, "acme").name == "acme"
    ledger.sync(ACCOUNTS)
    assert account_settings.get(redis, "acme").name == "Acme"


def test_what_kafka_does_not_acknowledge_in_time_is_not_called_refused(
    config: settings.Settings, redis: Any, redis_url: str
) -> None:
    """It may be in the topic."""
    ledger = KafkaLedger(config, redis)
    ledger.sync(ACCOUNTS)
    nowhere = settings.read({"USAGE_KAFKA": "127.0.0.1:1", "USAGE_REDIS": redis_url})
    away = KafkaLedger(nowhere, redis, patience=0.3)
    with pytest.raises(ChangePendingError, match=r"did not acknowledge it within 0\.3 s"):
        away.publish(ACCOUNTS, [("acme/1", b"{}")])
    assert not redis.exists(keys.settings("acme"))


def test_who_begins_together_adopts_once(config: settings.Settings, redis: Any) -> None:
    """A worker, a dashboard and a command after an upgrade; and a command changes something."""
    old = MemoryLedger(redis)
    for number in range(20):
        account_settings.put(old, f"a{number}", name=f"Name {number}")
    redis.delete(keys.ledger(""))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: KafkaLedger(config, redis).sync(ACCOUNTS), range(3)))
    assert published(config) == 20
    account_settings.put(KafkaLedger(config, redis), "a0", name="Newer")
    redis.flushall()
    KafkaLedger(config, redis).sync(ACCOUNTS)
    names = [account_settings.get(redis, f"a{number}").name for number in range(20)]
    assert names == ["Newer", *(f"Name {number}" for number in range(1, 20))]
    assert not redis.exists(keys.LEDGER_ADOPTING)


def test_who_lost_redis_while_adopting_does_not_wait_for_itself(
    config: settings.Settings, tmp_path: Path
) -> None:
    """Redis comes back with the lock, which lasts a minute for everybody else."""
    with redis_server(tmp_path) as server, Redis.from_url(server.url) as redis:
        ledger = KafkaLedger(config, redis)
        with pytest.raises(RedisConnectionError), ledger._adopting():
            server.kill()
        server.start()
        assert redis.exists(keys.LEDGER_ADOPTING)
        with pytest.raises(LedgerUnavailableError, match="another process is still publishing"):
            KafkaLedger(config, redis, patience=0.2).sync(ACCOUNTS)
        ledger.sync(ACCOUNTS)
        assert not redis.exists(keys.LEDGER_ADOPTING)


def test_a_topic_that_ends_before_what_was_read_is_not_read_on() -> None:
    """Its offsets would be given again, and records with them skipped."""
    with pytest.raises(LedgerUnavailableError, match=r"ends at offset 5, but was read up to 9"):
        _check(("usage.accounts", 0), 9, Span(0, 5, 5))


def test_what_was_deleted_unread_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The topic is not compacted, as it should be."""
    _check(("usage.accounts", 0), 3, Span(3, 5, 5))
    assert not caplog.text
    _check(("usage.accounts", 0), 2, Span(4, 5, 5))
    assert "the offsets 2 to 3 were deleted before they were read" in caplog.text


def test_one_worker_reads_and_another_takes_over(
    config: settings.Settings, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[a reads, b does not] ... [a is gone: b reads]."""
    account_settings.put(KafkaLedger(config, redis), "acme", name="Acme")
    readers = {name: LedgerReader(config, [ACCOUNTS]) for name in "ab"}

    def looks(name: str) -> bool:
        redis.delete(keys.settings("acme"), keys.ledger(""))
        monkeypatch.setattr(ledger_reader, "worker_name", lambda: name)
        readers[name]._look()
        return account_settings.get(redis, "acme").name == "Acme"

    assert [looks("a"), looks("b"), looks("a")] == [True, False, True]
    assert 0 < redis.ttl(keys.LEDGER_READER) <= 10
    redis.delete(keys.LEDGER_READER)
    assert [looks("b"), looks("a")] == [True, False]


def test_a_reader_without_kafka_says_so_once(
    redis: Any, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When it lasts; it looks again, and a worker counts meanwhile."""
    nowhere = settings.read({"USAGE_KAFKA": "127.0.0.1:1", "USAGE_REDIS": redis_url})
    reader = LedgerReader(nowhere, [ACCOUNTS])
    reader._opened()._timeout = 0.1
    for _ in range(5):
        reader._look()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "127.0.0.1:1" in caplog.text
