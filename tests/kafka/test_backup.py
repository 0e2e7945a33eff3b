"""`usage backup` and `usage restore` where Kafka no longer has what Redis lost."""

import gzip
import stat
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.support.event_lines import event
from tests.support.system import System

FLOW = {"flow": "f", "application": "agent"}


def lines(first: int, end: int) -> bytes:
    """Return so many flow runs."""
    return b"\n".join(event(number, "flow.run", FLOW) for number in range(first, end))


def delete_everything(system: System) -> None:
    """Have Kafka delete what its topics hold now, as retention does."""
    admin = AdminClient({"bootstrap.servers": system.kafka.bootstrap})
    everything = [TopicPartition("usage.flows", number, -1) for number in range(4)]
    for done in admin.delete_records(everything).values():
        done.result(20)


def test_a_lost_redis_gets_back_what_kafka_no_longer_has(system: System, tmp_path: Path) -> None:
    """The backup brings what is older, Kafka what is newer, and nothing counts twice."""
    file = tmp_path / "usage.backup"
    system.start_worker()
    system.usage("send", "-", stdin=lines(0, 300))
    system.usage("account", "set", "acme", "--name", "Acme Ltd", "--timezone", "Europe/Paris")
    system.catch_up()
    made = system.usage("backup", str(file))
    assert b"1 account, " in made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    delete_everything(system)
    system.usage("send", "-", stdin=lines(200, 500))
    system.catch_up()

    with system.client() as redis:
        redis.flushall()
    system.usage("send", "-", stdin=lines(400, 501))
    done = system.usage("restore", str(file), code=None)
    if done.returncode:  # the worker was quicker, and counted what Kafka has
        assert b"--replace" in done.stderr
        done = system.usage("restore", str(file), "--replace")
    assert b"Restored 1 account, " in done.stderr
    system.catch_up()
    report = system.report("acme", "2026-10-01", "2026-10-31")
    assert report["flow_runs"]["total"] == 501
    assert (report["name"], report["timezone"]) == ("Acme Ltd", "UTC")
    assert b"Europe/Paris" in system.usage("account", "show", "acme").stdout


def test_what_is_no_whole_backup_is_refused(system: System, tmp_path: Path) -> None:
    """In a sentence, with the rollups as they were; and a backup is not written over unasked."""
    file, other = tmp_path / "usage.backup", tmp_path / "other"
    assert b"there are no rollups" in system.usage("backup", str(file), code=1).stderr
    assert list(tmp_path.glob("*backup*")) == []
    system.start_worker()
    system.usage("send", "-", stdin=lines(0, 10))
    system.catch_up()
    system.usage("backup", str(file))
    assert b"--force" in system.usage("backup", str(file), code=1).stderr
    system.usage("backup", str(file), "--force")
    whole = file.read_bytes()
    plain = gzip.decompress(whole)
    place = plain.index(b"run:total") if b"run:total" in plain else len(plain) - 40
    flipped = gzip.compress(plain[:place] + bytes([plain[place] ^ 1]) + plain[place + 1 :], 3)
    for damaged in (
        whole[:-20], b"", b"not a backup", whole[:40] + b"\0\0\0" + whole[43:],
        whole[:-1], whole + b"x", whole + whole,
        flipped[:-8] + whole[-8:],  # a value is another, and only the checksum tells
    ):  # fmt: skip
        other.write_bytes(damaged)
        done = system.usage("restore", str(other), "--replace", code=1)
        assert done.stderr.startswith(b"Error: Nothing was restored: ")
        assert done.stderr.count(b"\n") == 1
    assert system.report("acme", "2026-10-01", "2026-10-31")["flow_runs"]["total"] == 10
