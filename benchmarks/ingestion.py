"""Ingestion: a worker and its peers on one broker, one Redis and the same events.

    python -m benchmarks.ingestion [--short] [--rounds N] [--only NAME,...]

Every run works off a backlog that is there before it starts, and is timed from outside: from the
first events that are done to the last, where *done* is what makes them last for that peer: written
to Redis, or committed to Kafka together with the counters. Starting up does not count. Slow peers
get fewer events, so that each runs some seconds. Before a time counts, the totals per account, UTC
day and metric must be those of the published events.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks import ours
from benchmarks.load import mixed
from benchmarks.peers.counted import HEAD, TAKEN
from benchmarks.peers.java import NotBuilt
from benchmarks.peers.java import command as java_command
from benchmarks.progress import say
from benchmarks.stage import (
    PARTITIONS,
    Failed,
    Stage,
    Timing,
    peak_memory,
    publish,
    renew_topics,
    running,
    stage,
    timed,
    until_joined,
)
from benchmarks.table import Row, markdown, times
from benchmarks.tally import Tally, differences, tally
from interaction_usage.servers.child import last_words

Command = Callable[[], list[str]]
#: Of a stage and a consumer group: how many events are done.
Taken = Callable[[Stage, str], Callable[[], int]]
#: Of a stage and a consumer group: what was counted, or None where a peer keeps no counters.
Totals = Callable[[Stage, str], Tally | None]

EXACT = "exactly once, duplicates too"
WITHIN_KAFKA = "exactly once within Kafka"
AT_LEAST = "at least once"
NONE = "counts nothing"


class Peer(NamedTuple):
    """A program that takes the events of the topics."""

    name: str
    label: str
    guarantee: str
    size: int  #: index into the sizes of the backlog
    command: Command
    taken: Taken
    totals: Totals
    needs: str = ""  #: the package it needs beside the project's own
    environment: dict[str, str] = {}  # noqa: RUF012


# ------------------------------------------------------------------- how far, and what came of it


def _in_redis(at: Stage, group: str) -> Callable[[], int]:
    return lambda: int(at.redis.get(TAKEN) or 0)


def _redis_calls(at: Stage, group: str) -> Callable[[], int]:
    """Count the writes of a peer that makes one per event."""

    def calls() -> int:
        stats: Any = at.redis.info("commandstats")
        return int(stats.get("cmdstat_hincrby", {}).get("calls", 0))

    return calls


def _committed(at: Stage, group: str) -> Callable[[], int]:
    """Count what the consumer group has committed."""
    admin = AdminClient({"bootstrap.servers": at.kafka, "log_level": 0})
    asked = [
        TopicPartition(topic, number) for topic in ours.EVENT_TOPICS for number in range(PARTITIONS)
    ]

    def offsets() -> int:
        request = [ConsumerGroupTopicPartitions(group, asked)]
        try:
            [answer] = admin.list_consumer_group_offsets(request, request_timeout=5).values()
            return sum(max(place.offset, 0) for place in answer.result().topic_partitions)
        except Exception:  # the group does not exist yet, or the broker is busy
            return 0

    return offsets


def _counters(at: Stage, group: str) -> Tally:
    """Return the counters that a peer left in Redis."""
    found: Tally = Counter()
    for key in at.redis.scan_iter(f"{HEAD}*", count=10_000):
        account = key.decode().removeprefix(HEAD)
        fields: Any = at.redis.hgetall(key)
        for field, amount in fields.items():
            day, _, metric = field.decode().partition(" ")
            found[account, day, metric] = int(amount)
    return found


def _nothing(at: Stage, group: str) -> None:
    """A peer that keeps nothing has nothing to compare but how many events it took."""


def _changelog(at: Stage, suffix: str) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the committed records of the topics whose names end so, in the order of partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": at.kafka,
            "group.id": "benchmark-changelog",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    found = consumer.list_topics(timeout=10).topics
    places = [
        TopicPartition(name, number, 0)
        for name, topic in found.items()
        if name.endswith(suffix)
        for number in topic.partitions
    ]
    consumer.assign(places)
    open_ends = len(places)
    while open_ends:
        for message in consumer.consume(10_000, timeout=0.5):
            if message.error():
                open_ends -= 1
            else:
                yield message.key(), message.value()
    consumer.close()


def _kafka_streams_store(at: Stage, group: str) -> Tally:
    """Return the last value of each counter in the changelog of Kafka Streams."""
    found: Tally = Counter()
    for key, value in _changelog(at, f"{group}-counts-changelog"):
        account, day, metric = key.decode().split(" ", 2)
        found[account, day, metric] = int.from_bytes(value or b"\0", "big", signed=True)
    return found


def _quix_store(at: Stage, group: str) -> Tally:
    """Return the last value of each counter in the changelogs of Quix, one for each topic."""
    found: Tally = Counter()
    for topic in ours.EVENT_TOPICS:
        for key, value in _changelog(at, f"{group}--{topic}--default"):
            account, _, field = key.partition(b"|")
            day, _, metric = str(orjson.loads(field)).partition(" ")
            found[account.decode(), day, metric] = int(orjson.loads(value or b"0"))
    return found


def _module(name: str, *arguments: str) -> Command:
    return lambda: [sys.executable, "-m", f"benchmarks.peers.{name}", *arguments]


_FAUST = ("worker", "-l", "error")
OURS = Peer(
    "usage", "**usage worker**, everything on", EXACT, 3, lambda: ours.WORKER,
    lambda at, group: lambda: ours.taken(at.redis), lambda at, group: ours.tally(at.redis),
)  # fmt: skip
PEERS = (
    Peer(
        "plain-faust", "plain Faust, a Redis write per event", AT_LEAST, 0,
        _module("plain_faust", *_FAUST), _redis_calls, _counters,
    ),
    Peer(
        "faust-take", "Faust with take(1000), a pipeline per batch", AT_LEAST, 1,
        _module("faust_take", *_FAUST), _in_redis, _counters,
    ),
    Peer(
        "quix", "Quix Streams, a sink to Redis", AT_LEAST, 2,
        _module("quix"), _in_redis, _counters, "quixstreams",
    ),
    Peer(
        "quix-exactly-once", "Quix Streams, state and transactions", WITHIN_KAFKA, 2,
        _module("quix_exactly_once"), _committed, _quix_store, "quixstreams",
    ),
    Peer(
        "bytewax", "Bytewax, an output to Redis", AT_LEAST, 2,
        _module("bytewax_flow"), _in_redis, _counters, "bytewax",
    ),
    OURS,
    Peer(
        "confluent-redis", "by hand: confluent-kafka, a pipeline per batch", AT_LEAST, 3,
        _module("confluent_redis"), _in_redis, _counters,
    ),
    Peer(
        "kafka-streams", "Kafka Streams, at_least_once", AT_LEAST, 2,
        java_command, _committed, _kafka_streams_store,
        environment={"PEER_GUARANTEE": "at_least_once"},
    ),
    Peer(
        "kafka-streams-eos", "Kafka Streams, exactly_once_v2", WITHIN_KAFKA, 2,
        java_command, _committed, _kafka_streams_store,
        environment={"PEER_GUARANTEE": "exactly_once_v2"},
    ),
    Peer(
        "decode-only", "by hand: confluent-kafka, only decodes", NONE, 3,
        _module("decode_only", "ordinary"), _in_redis, _nothing,
    ),
    Peer(
        "decode-only-tuned", "by hand: only decodes, no pauses in fetching", NONE, 3,
        _module("decode_only"), _in_redis, _nothing,
    ),
)  # fmt: skip

#: Events of the backlog for the slowest peers, ..., the fastest.
SIZES = (50_000, 150_000, 800_000, 2_500_000)
SHORT_SIZES = (25_000, 75_000, 400_000, 1_000_000)


# -------------------------------------------------------------------------------- running them


def measure_peer(at: Stage, peer: Peer, group: str, expected: Tally, total: int) -> Timing:
    """Return how fast *peer* takes the whole backlog. Raises Failed, also where totals differ."""
    at.redis.flushall()
    at.redis.config_resetstat()
    (at.folder / group).mkdir()
    log = at.folder / f"{group}.log"
    with running(peer.command(), peer_environment(at, peer, group), log) as process:
        processes = {"broker": [at.kafka_pid], "Redis": [at.redis_pid], "it": [process.pid]}
        try:
            timing = timed(peer.taken(at, group), total, processes)
        except Failed as error:
            raise Failed(f"{error}; it said: {last_words(log)}") from None
        timing = timing._replace(memory=peak_memory(process.pid))
        time.sleep(0.5)  # what is counted twice would come now
    if wrong := wrong_totals(at, peer, group, expected, total):
        raise Failed(wrong)
    return timing


def peer_environment(at: Stage, peer: Peer, group: str) -> dict[str, str]:
    """Return what *peer* must know to work on a stage in its consumer group."""
    return {
        "PEER_KAFKA": at.kafka,
        "PEER_REDIS": at.url,
        "PEER_GROUP": group,
        "PEER_FOLDER": str(at.folder / group),
        "PEER_TOPICS": ",".join(ours.EVENT_TOPICS),
        **ours.environment(at.kafka, at.url),
        **peer.environment,
    }


def wrong_totals(at: Stage, peer: Peer, group: str, expected: Tally, total: int) -> str:
    """Return what is wrong with what *peer* counted; empty where nothing is."""
    found = peer.totals(at, group)
    if found is None:
        taken = peer.taken(at, group)()
        return "" if taken == total else f"it took {taken} events of {total}"
    if peer is OURS:
        expected = _without_stops(expected)
    wrong = differences(expected, found)
    return f"its totals are wrong: {'; '.join(wrong)}" if wrong else ""


class Result(NamedTuple):
    """What became of a peer: its median run, or why there is none."""

    peer: Peer
    timing: Timing | None
    why: str = ""


def against_peers(
    at: Stage, sizes: Sequence[int], repeats: int, only: Sequence[str] = ()
) -> list[Result]:
    """Run the worker and all peers, the slow ones on the beginning of the same backlog."""
    wanted = [peer for peer in PEERS if not only or peer.name in only]
    expected: Tally = Counter()
    total = 0
    results = []
    for index, size in enumerate(sizes):
        own_peers = [peer for peer in wanted if peer.size == index]
        if not own_peers:
            continue
        records = mixed(size - total, seed=index)
        expected.update(tally(records))
        publish(at.kafka, records)
        total = size
        del records
        results += _rounds(at, own_peers, repeats, expected, total)
    return results


def _rounds(
    at: Stage, peers: Sequence[Peer], repeats: int, expected: Tally, total: int
) -> list[Result]:
    """Run each of *peers* once a micro-batch; return their medians."""
    timings: dict[str, list[Timing]] = {peer.name: [] for peer in peers}
    why: dict[str, str] = {}
    for number in range(repeats):
        for peer in peers:
            if peer.name in why:
                continue
            if peer.needs and find_spec(peer.needs) is None:
                why[peer.name] = f"not run: the package {peer.needs} is not installed"
                continue
            try:
                timing = measure_peer(at, peer, f"{peer.name}-{number}", expected, total)
            except (Failed, NotBuilt) as error:
                why[peer.name] = f"no time counts: {error}"
                say(f"{peer.name}: {why[peer.name]}")
            else:
                timings[peer.name].append(timing)
                say(f"{peer.name}: {timing.rate:,.0f} events/s ({timing.seconds:.1f} s)")
    return [
        Result(peer, None, why[peer.name])
        if peer.name in why
        else Result(peer, _median(timings[peer.name]))
        for peer in peers
    ]


def _median(timings: Sequence[Timing]) -> Timing:
    middle = statistics.median_low(timing.rate for timing in timings)
    return next(timing for timing in timings if timing.rate == middle)


# ---------------------------------------------------------------- more workers, and one hot account


def worker_rate(at: Stage, workers: int, events: int, accounts: int, seed: int) -> Timing:
    """Return the rate of several workers on a backlog that appears at once when all are ready.

    It is published in one transaction while they run and wait; they read committed records only.
    """
    at.redis.flushall()
    renew_topics(at.kafka)
    environment = ours.environment(at.kafka, at.url)
    log = at.folder / f"workers-{workers}-{accounts}.log"
    records = mixed(events, seed, accounts)
    with ExitStack() as stack:
        pids = [
            stack.enter_context(running(ours.WORKER, environment, log)).pid for _ in range(workers)
        ]
        until_joined(at.kafka, workers)
        publish(at.kafka, records, at_once=True)
        end = _until_committed(at, events)
        processes = {"broker": [at.kafka_pid], "Redis": [at.redis_pid], "workers": pids}
        timing = timed(lambda: ours.taken(at.redis), end, processes)
    if wrong := differences(_without_stops(tally(records)), ours.tally(at.redis)):
        raise Failed(f"the totals are wrong: {'; '.join(wrong)}")
    return timing


def _until_committed(at: Stage, events: int) -> int:
    """Wait until a transaction of so many events is marked everywhere; return the ends' sum."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ends = ours.ends_of_topics(at.kafka)
        if sum(ends) - sum(map(bool, ends)) == events:  # a marker in each partition
            return sum(ends)
    raise Failed("the transaction of the backlog did not end in 30 s")


def _without_stops(expected: Tally) -> Tally:
    """Leave out how many sessions stopped, of which the rollups keep no count by day."""
    return Counter({place: n for place, n in expected.items() if place[2] != "sessions.stopped"})


# ------------------------------------------------------------------------------------ the rows


def rows(results: Sequence[Result]) -> list[Row]:
    """Return the table of the worker and its peers; ratios are the worker's rate to theirs."""
    own = next((r.timing for r in results if r.peer is OURS), None)
    table = []
    for result in sorted(results, key=lambda r: (r.peer is not OURS, -(r.timing or _NO).rate)):
        timing = result.timing
        if timing is None:
            table.append(Row("ingestion", result.peer.label, "", "", result.why))
            continue
        ratio = times(own.rate / timing.rate) if own else ""
        measured = f"{timing.rate:,.0f} events/s"
        note = f"{result.peer.guarantee}; {timing.summary()}"
        table.append(Row("ingestion", result.peer.label, ratio, measured, note))
    return table


_NO = Timing(0, 1, {})


def scale_rows(timings: dict[int, Timing]) -> list[Row]:
    """Return the table of several workers; ratios are to one of them."""
    return [
        Row(
            "workers", f"{count} worker{'s' * (count > 1)}", times(timing.rate / timings[1].rate),
            f"{timing.rate:,.0f} events/s", timing.summary(),
        )
        for count, timing in timings.items()
    ]  # fmt: skip


def hot_row(hot: Timing, spread: Timing) -> Row:
    """Return the row of one hot account against the mixed load."""
    return Row(
        "hot account", "all events in one account, to the mixed load",
        times(hot.rate / spread.rate), f"{hot.rate:,.0f} events/s",
        hot.summary(),
    )  # fmt: skip


def run(*, short: bool, repeats: int | None = None, only: Sequence[str] = ()) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    repeats = repeats or (1 if short else 3)
    with stage() as at:
        renew_topics(at.kafka)
        table = rows(against_peers(at, SHORT_SIZES if short else SIZES, repeats, only))
        if only and "scale" not in only:
            return table
        events = 800_000 if short else 1_600_000  # so that to join takes a small part of the time
        scale = {}
        for number, workers in enumerate((1, 2, 4)):
            say(f"workers: {workers} of them, {events:,} events")
            scale[workers] = worker_rate(at, workers, events, 2000, seed=100 + number)
            say(f"{workers} workers: {scale[workers].rate:,.0f} events/s")
        hot = worker_rate(at, 1, events // 3, 1, seed=200)
        say(f"hot account: {hot.rate:,.0f} events/s")
        return [*table, *scale_rows(scale), hot_row(hot, scale[1])]


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer events, one micro-batch")
    parser.add_argument(
        "--rounds",
        dest="repeats",
        metavar="N",
        type=int,
        help="runs of each, of which the median counts",
    )
    parser.add_argument("--only", default="", help="names of peers, or scale, by commas")
    arguments = parser.parse_args()
    only = tuple(filter(None, arguments.only.split(",")))
    print(markdown(run(short=arguments.short, repeats=arguments.repeats, only=only)))


if __name__ == "__main__":
    main()
