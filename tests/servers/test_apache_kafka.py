"""A real Apache Kafka: comes up, keeps its data through a kill, and says what it lacks."""

import os
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from interaction_usage.servers.apache_kafka import ApacheKafka, prepared_folder
from interaction_usage.servers.child import ServerDiedError, ServerError, ServerMissingError
from interaction_usage.servers.kafka_files import (
    JARS_VARIABLE,
    kafka_jars,
    kafka_version,
    missing,
)

TOPIC = "usage.sessions"


@pytest.fixture(scope="module")
def _broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Run one broker for this module, apart from the session's: these tests kill it."""
    with ApacheKafka(tmp_path_factory.mktemp("kafka")) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, replication_factor=1)])[TOPIC].result(10)
        yield broker


@pytest.fixture
def broker(need_kafka: None, request: pytest.FixtureRequest) -> ApacheKafka:
    """Return the module's broker, running also when the test before left it dead."""
    running: ApacheKafka = request.getfixturevalue("_broker")
    if not running.alive:
        running.start()
    return running


def _publish(broker: ApacheKafka, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "log_level": 0})
    producer.produce(TOPIC, value, partition=0)
    assert producer.flush(20) == 0


def _read(broker: ApacheKafka, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    records = consumer.consume(count, timeout=20)
    consumer.close()
    return [record.value() for record in records]


def _commit(broker: ApacheKafka, offset: int | None = None) -> int:
    """Commits `offset` for the group, if given, and returns what the broker has committed."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "log_level": 0})
    if offset is not None:
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, offset)], asynchronous=False)
    (committed,) = consumer.committed([TopicPartition(TOPIC, 0)], timeout=20)
    consumer.close()
    return int(committed.offset)


def test_it_answers_as_soon_as_it_is_started(broker: ApacheKafka):
    """Its metadata shows one broker, at its own address, and topics of 4 partitions."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    metadata = admin.list_topics(timeout=5)
    assert [(b.host, b.port) for b in metadata.brokers.values()] == [("127.0.0.1", broker.port)]
    assert len(metadata.topics[TOPIC].partitions) == 4


def test_no_topic_comes_into_being_by_itself(broker: ApacheKafka):
    """Asking for a topic that nobody created does not create it."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    admin.list_topics("usage.mistyped", timeout=5)
    assert "usage.mistyped" not in admin.list_topics(timeout=5).topics


def test_acknowledged_records_and_offsets_survive_a_kill(broker: ApacheKafka):
    """After kill -9 and a start the records and the committed offset are there."""
    _publish(broker, b"before the kill")
    assert _commit(broker, 1) == 1
    broker.kill()
    broker.start()
    assert _read(broker, 1) == [b"before the kill"]
    assert _commit(broker) == 1


def test_the_data_is_found_on_other_ports(broker: ApacheKafka):
    """A second instance on the folder, on ports of its own, has the topic of the first."""
    broker.stop()
    with ApacheKafka(broker.folder) as moved:
        admin = AdminClient({"bootstrap.servers": moved.bootstrap, "log_level": 0})
        assert moved.port != broker.port
        assert TOPIC in admin.list_topics(timeout=5).topics


def test_a_broker_that_does_not_come_up_says_why(broker: ApacheKafka, tmp_path: Path):
    """A port that is taken is named as the reason, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        second = ApacheKafka(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ServerDiedError, match="Address already in use"):
            second.start()
    assert not second.alive


def test_a_broker_that_was_killed_is_noticed(broker: ApacheKafka):
    """`check` says that it was killed, and by which signal."""
    broker.check()
    broker.kill()
    with pytest.raises(ServerDiedError, match="Apache Kafka was killed by SIGKILL"):
        broker.check()


def test_a_new_broker_is_another_cluster(broker: ApacheKafka, tmp_path: Path):
    """The storage it begins with is a copy, but for the ids of the cluster and the folder."""
    with ApacheKafka(tmp_path / "other") as other:
        admin = AdminClient({"bootstrap.servers": other.bootstrap, "log_level": 0})
        assert TOPIC not in admin.list_topics(timeout=5).topics
        texts = [(of / "data/meta.properties").read_text() for of in (broker.folder, other.folder)]
        ids = [{line for line in text.splitlines() if ".id=" in line} for text in texts]
    assert ids[0] & ids[1] == {"node.id=1"}
    assert len(ids[0] | ids[1]) == 5


def test_an_archive_that_does_not_fit_is_left_aside(
    need_kafka: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Another Java's archive of classes: the broker starts, and its log has no word of it."""
    monkeypatch.setenv(JARS_VARIABLE, str(kafka_jars()))
    prepared = prepared_folder(kafka_jars())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(prepared, tmp_path / "usage" / prepared.name)
    (tmp_path / "usage" / prepared.name / "classes.jsa").write_bytes(b"of another Java")
    with ApacheKafka(tmp_path / "kafka") as broker:
        assert "shared" not in (broker.folder / "kafka.log").read_text().lower()


def test_a_cache_that_cannot_be_written_is_named(
    need_kafka: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The error says where it failed, why, and how to choose another place."""
    monkeypatch.setenv(JARS_VARIABLE, str(kafka_jars()))
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ServerError, match=r"Not a directory.*XDG_CACHE_HOME can name another"):
        ApacheKafka(tmp_path / "kafka").start()
    assert not (tmp_path / "kafka").exists()


def test_without_java_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An empty PATH is reported in one sentence, before anything is written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    broker = ApacheKafka(tmp_path / "kafka")
    with pytest.raises(ServerMissingError, match="Java 17 or newer is not on the PATH"):
        broker.start()
    assert not broker.folder.exists()


def test_without_maven_and_jars_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Java alone is not enough: the sentence names Maven and the jars."""
    _only_java(monkeypatch, tmp_path, "17.0.15")
    monkeypatch.delenv(JARS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert missing() == "Maven is not on the PATH and no Kafka jars are cached."


def test_an_old_java_is_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Java 11 is on the PATH, and 17 is asked for."""
    _only_java(monkeypatch, tmp_path, "11.0.2")
    assert missing() == "Java 17 or newer is not on the PATH."


def test_a_folder_of_jars_is_taken_instead_of_maven(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """USAGE_KAFKA_JARS is used as it is once it holds Kafka, and refused before."""
    _only_java(monkeypatch, tmp_path, "21")
    monkeypatch.setenv(JARS_VARIABLE, str(tmp_path))
    assert missing() == f"USAGE_KAFKA_JARS is {tmp_path}, a folder without Kafka's jars."
    (tmp_path / f"kafka_2.13-{kafka_version()}.jar").touch()
    assert missing() is None
    assert kafka_jars() == tmp_path


def test_two_that_ask_at_once_fetch_the_jars_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """One of them has Maven copy the jars into the cache, the other waits and takes them."""
    calls = tmp_path / "calls"
    _maven(monkeypatch, tmp_path, f'echo called >>{calls}; sleep 0.2; mkdir -p "$folder"')
    said: list[str] = []
    with ThreadPoolExecutor(2) as both:
        folders = set(both.map(lambda _: kafka_jars(said.append), range(2)))
    assert folders == {tmp_path / "cache" / "usage" / f"kafka-{kafka_version()}"}
    assert calls.read_text() == "called\n"
    assert len(said) == 1


def test_a_download_that_fails_leaves_nothing_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Maven's reason is in the error, and the next attempt begins again."""
    _maven(monkeypatch, tmp_path, 'mkdir -p "$folder"; echo "[ERROR] Unknown host"; exit 1')
    with pytest.raises(ServerError, match=r"Maven could not fetch Apache Kafka: .*Unknown host"):
        kafka_jars()
    assert [path.suffix for path in (tmp_path / "cache" / "usage").iterdir()] == [".lock"]


def _maven(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Makes `script` the `mvn` on the PATH, with $folder the one asked for, and the cache empty."""
    maven = folder / "mvn"
    maven.write_text(f'#!/bin/sh\nfor last; do :; done\nfolder="${{last#*=}}"\n{script}\n')
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.delenv(JARS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


def _only_java(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    """Makes a `java` of that version the only program on the PATH."""
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
