"""Record batches made to do harm: bombs, lying offsets, streams with something behind their end."""

import json
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.event_lines import flow
from tests.support.raw_batches import (
    CODECS,
    GZIP,
    LZ4,
    ZSTD,
    batch,
    bomb,
    compressed,
    publish,
    record,
    records,
)
from tests.support.system import USAGE

#: Bytes that a bomb unpacks to: what fits into the 1 MiB that a broker takes, by the codec.
BOMBS = {"gzip": 900_000_000, "snappy": 15_000_000, "lz4": 200_000_000, "zstd": 1_400_000_000}
#: A bound that snappy, which packs 20 to 1 at best, can exceed as well.
BOUND = 8 * 1024 * 1024
DAY = "2026-10-01"


class Flows:
    """A system with one account whose flow runs are counted."""

    def __init__(self, system: Any) -> None:
        self.system = system
        system.variables["USAGE_PARTITIONS"] = "1"
        self.worker = system.start_worker()
        self.sent = 0
        self.send()

    def bound(self, size: int) -> None:
        """Have batches unpack to no more than *size* bytes."""
        self.worker.stop()
        self.system.variables["USAGE_MAX_BATCH_BYTES"] = str(size)
        self.worker = self.system.start_worker()

    def send(self) -> None:
        """Publish one honest event more."""
        self.sent += 1
        self.system.usage("send", "-", stdin=flow(f"honest-{self.sent}"))

    def publish(self, raw: bytes) -> int:
        """Publish a batch as it is; return its first offset."""
        error, offset = publish(self.system.kafka.bootstrap, "usage.flows", raw)
        assert error == 0
        return offset

    def catch_up(self, seconds: int = 20) -> float:
        """Wait until everything is counted or refused; return how long that took."""
        begun = time.monotonic()
        self.system.catch_up(seconds)
        return time.monotonic() - begun

    def counted(self) -> int:
        """Return how many flow runs are counted."""
        total: int = self.system.report("acme", DAY, DAY)["flow_runs"]["total"]
        return total

    def refused(self) -> list[tuple[str, str]]:
        """Return where and why something was refused, in the order of places."""
        listed = self.system.dead_letters()["newest"]
        return sorted((letter["origin"], letter["reason"]) for letter in listed)

    def peak_memory(self) -> int:
        """Return the MiB that the worker took at most."""
        status = Path(f"/proc/{self.worker.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@pytest.fixture
def flows(system: Any) -> Flows:
    """Return a running system."""
    return Flows(system)


def flow_record(number: object, offset: int) -> bytes:
    """Return a record with an honest event, at *offset* within its batch."""
    return record(flow(number), offset)


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_and_the_stream_goes_on(flows: Flows, codec: str) -> None:
    """One dead letter for the whole batch; what is behind it counts, and memory stays small."""
    if codec == "snappy":
        flows.bound(BOUND)
    flows.catch_up()
    before = flows.peak_memory()
    at = flows.publish(batch(bomb(CODECS[codec], BOMBS[codec]), 1, CODECS[codec]))
    flows.send()
    assert flows.catch_up() < 15
    assert flows.counted() == 2
    assert flows.refused() == [(f"usage.flows/0/{at}", "too-large")]
    assert flows.peak_memory() < before + 250
    (listed,) = flows.system.dead_letters()["newest"]
    assert f"({codec}), offsets {at} to {at}, decompresses to more than" in listed["sentence"]
    assert "this is a whole batch" in listed["left_out"]
    assert "cannot be replayed" in listed["left_out"]


def test_many_bombs_do_no_more_than_one(flows: Flows) -> None:
    """Each of them is below the bound, or above it; only so much is unpacked at a time."""
    flows.catch_up()
    before = flows.peak_memory()
    padded = [flow(number, padding="x" * 60_000) for number in range(1000)]
    below = batch(compressed(records(padded), ZSTD), 1000, ZSTD)
    above = batch(bomb(ZSTD, 100_000_000), 1, ZSTD)
    for _ in range(20):
        flows.publish(below)
        flows.publish(above)
    flows.send()
    flows.catch_up(60)
    assert flows.counted() == 1002
    assert [reason for _, reason in flows.refused()] == ["too-large"] * 20
    assert flows.peak_memory() < before + 700


@pytest.mark.parametrize("offsets", [(0, 0, 0), (0, 1_000_000), (0, -5), (1, 0), (3,)], ids=str)
def test_offsets_that_the_broker_did_not_give_move_nothing(
    flows: Flows, offsets: tuple[int, ...]
) -> None:
    """Apache Kafka does not check them; honest events behind them would be taken for repeats."""
    payload = b"".join(flow_record(f"lie-{number}", at) for number, at in enumerate(offsets))
    at = flows.publish(batch(payload, len(offsets)))
    flows.catch_up()
    for _ in range(3):
        flows.send()
    flows.catch_up()
    assert flows.counted() == 4
    assert flows.refused() == [(f"usage.flows/0/{at}", "malformed")]


def test_what_stands_behind_the_end_of_a_stream_stops_nothing(flows: Flows) -> None:
    """The broker reads up to the end and no further, so it takes such batches."""
    three = b"".join(flow_record(f"in-{number}", number) for number in range(3))
    gzip, lz4 = compressed(three, GZIP), compressed(three, LZ4)
    hostile = [(gzip + b"junkjunk", GZIP), (lz4 + b"junkjunk", LZ4), (lz4 + lz4, LZ4)]
    hostile.append((lz4 + bomb(LZ4, 100_000_000), LZ4))
    places = [flows.publish(batch(packed, 3, codec)) for packed, codec in hostile]
    flows.send()
    flows.catch_up()
    refused = dict(flows.refused())
    assert set(refused) <= {f"usage.flows/0/{at}" for at in places}
    # Either the batch is counted (each holds the same three events) or it is refused.
    assert flows.counted() == 2 + (3 if len(refused) < len(places) else 0)


def test_a_rebuild_reads_within_the_same_bounds(flows: Flows) -> None:
    """The same is refused at the same places, so that nothing differs and no dead letter is new."""
    flows.publish(batch(bomb(ZSTD, BOMBS["zstd"]), 1, ZSTD))
    flows.publish(batch(flow_record("a", 0) + flow_record("b", 1_000_000), 2))
    flows.send()
    flows.catch_up()
    before = flows.refused()
    assert [reason for _, reason in before] == ["too-large", "malformed"]
    flows.system.usage("rebuild", "--verify")
    flows.system.usage("rebuild")
    flows.catch_up()
    assert flows.counted() == 2
    assert flows.refused() == before


def test_a_bomb_among_the_dead_letters_hides_none_of_them(flows: Flows) -> None:
    """Whoever may write there; the command needs no more memory than for honest ones."""
    flows.system.publish([("usage.flows", b"acme", b"no event", None)])
    flows.catch_up()
    for number in range(3):
        raw = batch(bomb(ZSTD, BOMBS["zstd"]), 1, ZSTD)
        error, _ = publish(flows.system.kafka.bootstrap, "usage.dead-letters", raw)
        assert error == 0, number
    flows.system.publish([("usage.flows", b"acme", b"none, either", None)])
    flows.catch_up()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

    command = [*USAGE, "dead-letters", "list", "--json"]
    done = subprocess.run(
        command, env=flows.system.environment, capture_output=True, preexec_fn=limit, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["counts"] == {"malformed": 2}


def test_a_dead_letter_takes_no_more_room_than_what_was_sent(flows: Flows) -> None:
    """Each is a record that somebody sent compressed, and is kept compressed.

    30 MB of white space come in 30 KB; uncompressed they would fill the disk a thousandfold.
    """
    size = 1_000_000
    blanks = records([b" " * size] * 30)
    flows.publish(batch(compressed(blanks, ZSTD), 30, ZSTD))
    flows.send()
    flows.catch_up()
    assert [reason for _, reason in flows.refused()] == ["too-large"] * 30
    folder = flows.system.kafka.folder / "data"
    # Folders of deleted topics, which tests before this one used, have longer names.
    logs = list(folder.glob("usage.dead-letters-[0-9]/*.log"))
    assert logs
    assert sum(log.stat().st_size for log in logs) < size
