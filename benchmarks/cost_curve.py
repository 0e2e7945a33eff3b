"""The cost curve: what an event costs at every rate, for the worker and for its peers.

    python -m benchmarks.cost_curve [--short] [--only NAME,...]

A producer in a process of its own sends the mixed load, evenly spaced, to Apache Kafka: nothing,
100, 500, 1,000 and 2,000 events a second, and at last as many as there are at once (*bulk*). Some
thousand events are done before, for accounts are new on their first day alone. At each rate first
the processor time of the peer and of Redis is taken over some seconds in which nobody asks for
anything, at 100 events/s over twice as many. It is read from the kernel's clock of each process, so
other load on the machine hardly disturbs it. Then follows freshness: the time from the moment at
which the k-th event was sent to the moment at which k events were done. *Done* is what it is in
`benchmarks.ingestion`, and so are the peers, and the totals that each must come to.
"""

import argparse
import multiprocessing
import os
import signal
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from confluent_kafka import Producer

from benchmarks.ingestion import OURS, PEERS, Peer, peer_environment, wrong_totals
from benchmarks.load import mixed
from benchmarks.peers.java import NotBuilt
from benchmarks.progress import say
from benchmarks.stage import Failed, Stage, peak_memory, renew_topics, running, stage
from benchmarks.table import Row, markdown, times
from benchmarks.tally import Tally, tally
from interaction_usage.servers.child import last_words

#: Events per second; 0 is idle.
RATES = (0, 100, 500, 1_000, 2_000)
#: What an event may cost at a rate, in its own bulk cost.
_GOALS = {100: 100.0, 500: 40.0, 2_000: 25.0}
#: Shares of a core that are wanted of the worker.
_SHARES = {0: 0.02, 100: 0.03, 500: 0.06, 2_000: 0.15}
#: Events of the bulk, for the slowest peers, ..., the fastest.
_BULK = (10_000, 60_000, 200_000, 200_000)

#: Events that are sent before anything is measured.
_FIRST = 10_000
#: Up to this rate the processor time is taken over twice as long: timers of seconds are much of it.
_SELDOM = 100
#: Seconds before a rate is measured, and of the patience with a peer.
_SETTLE, _PATIENCE = 2.0, 90.0
#: Seconds between two looks at how much is done.
_LOOK = 0.01
#: Peers that are variants of others, or between them, are left out of the short form.
_LONG_ONLY = (
    "faust-take", "quix", "quix-exactly-once", "bytewax", "kafka-streams", "decode-only",
    "decode-only-tuned",
)  # fmt: skip
#: These sleep on purpose, or count nothing at all.
_NEVER = ("decode-only",)


class Span(NamedTuple):
    """Seconds: over which processor time is taken, and then freshness."""

    cpu: float
    freshness: float

    def at(self, rate: int) -> "Span":
        """Return the span at *rate*."""
        return Span(2 * self.cpu, self.freshness) if 0 < rate <= _SELDOM else self


LONG, SHORT = Span(10.0, 8.0), Span(2.5, 2.5)


class Cost(NamedTuple):
    """What a peer cost at a rate."""

    rate: int
    share: float  #: of a core, the peer
    redis: float  #: of a core, Redis
    broker: float  #: of a core, Kafka
    p50: float = 0.0  #: seconds
    p99: float = 0.0


class Bulk(NamedTuple):
    """What an event costs where there are many, in seconds of processor time."""

    events: int
    rate: float
    peer: float
    redis: float


class Curve(NamedTuple):
    """All that was measured of a peer, or why there is nothing."""

    peer: Peer
    costs: Sequence[Cost] = ()
    bulk: Bulk | None = None
    memory: float = 0.0  #: MiB
    why: str = ""


# ------------------------------------------------------------------------------------ the load


def _produce(kafka: str, count: int, line: Connection) -> None:
    """Send the load as the other end of *line* asks for it: a rate and seconds, or 0 and events.

    Answers with the monotonic second at which each was sent, and to None with all their totals.
    """
    records = mixed(count, seed=11)
    producer = Producer({"bootstrap.servers": kafka, "queue.buffering.max.messages": 1_000_000})
    producer.list_topics(timeout=10)
    at = 0
    line.send("ready")
    while (wanted := line.recv()) is not None:
        rate, amount = wanted
        number = round(rate * amount) if rate else amount
        sent: list[float] = []
        began = time.monotonic()
        for index, (topic, key, value) in enumerate(records[at : at + number]):
            while rate and (wait := began + index / rate - time.monotonic()) > 0:
                producer.poll(min(wait, 0.01))
            sent.append(time.monotonic())
            producer.produce(topic, value, key)
            if not index % 100:
                producer.poll(0)
        producer.flush(30)
        at += number
        line.send(sent)
    line.send(tally(records[:at]))


class _Load:
    """The producing process; used as a context."""

    def __init__(self, kafka: str, count: int) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._line, there = spawning.Pipe()
        self._process = spawning.Process(target=_produce, args=(kafka, count, there))

    def __enter__(self) -> "_Load":
        self._process.start()
        self._line.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def begin(self, rate: int, amount: float) -> None:
        """Have it send for seconds, or, without a rate, so many events."""
        self._line.send((rate, amount))

    def end(self) -> Any:
        """Return what it answers as soon as it has sent everything."""
        return self._line.recv()

    def totals(self) -> Tally:
        """Return the totals of all that was sent; it ends."""
        self._line.send(None)
        found: Tally = self._line.recv()
        return found


# ---------------------------------------------------------------------------------- one peer


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far, as its clock in the kernel has it."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), scheduler's clock
    except OSError:
        raise Failed("it ended by itself") from None


def _spent(pids: Sequence[int], seconds: float) -> tuple[float, float, float]:
    """Return the share of a core that each of three processes takes over so many seconds."""
    before, began = list(map(_processor_seconds, pids)), time.monotonic()
    time.sleep(seconds)
    after, took = list(map(_processor_seconds, pids)), time.monotonic() - began
    first, second, third = (
        (late - early) / took for early, late in zip(before, after, strict=True)
    )
    return first, second, third


def _until(taken: Callable[[], int], wanted: int, looks: list[tuple[int, float]]) -> None:
    """Look until so many events are done, or nothing moves for long; put each look into *looks*."""
    last, moved = -1, time.monotonic()
    while (done := taken()) < wanted:
        now = time.monotonic()
        looks.append((done, now))
        if done != last:
            last, moved = done, now
        if now > moved + _PATIENCE:
            raise Failed(f"only {done:,} of {wanted:,} events were done for {_PATIENCE:.0f} s")
        time.sleep(_LOOK)
    looks.append((done, time.monotonic()))


def freshness(
    sent: Sequence[float], first: int, looks: Sequence[tuple[int, float]], since: float
) -> list[float]:
    """Return how long after it was sent each event was done, of those sent *since* a second.

    *sent* are the seconds of the events *first*, *first* + 1, ..., and *looks* how many were done
    at which second, in order.
    """
    late = []
    for number, second in enumerate(sent, first + 1):
        if second >= since:
            done = bisect_left(looks, number, key=lambda look: look[0])
            late.append(looks[done][1] - second)
    return late


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class _Measuring:
    """A peer that runs, and the load for it."""

    def __init__(self, at: Stage, pid: int, taken: Callable[[], int], load: _Load) -> None:
        self._pids = (pid, at.redis_pid, at.kafka_pid)
        self._taken, self._load = taken, load
        self.sent = 0

    def settle(self) -> None:
        """Send something until all of it is done."""
        self._load.begin(0, _FIRST)
        self.sent += len(self._load.end())
        _until(self._taken, self.sent, [])

    def at(self, rate: int, span: Span) -> Cost:
        """Return what *rate* costs."""
        if not rate:
            time.sleep(_SETTLE)
            return Cost(0, *_spent(self._pids, span.cpu))
        self._load.begin(rate, _SETTLE + span.cpu + span.freshness)
        time.sleep(_SETTLE)
        shares = _spent(self._pids, span.cpu)
        first, since, looks = self.sent, time.monotonic(), list[tuple[int, float]]()
        self.sent += round(rate * (_SETTLE + span.cpu + span.freshness))
        _until(self._taken, self.sent, looks)
        late = freshness(self._load.end(), first, looks, since)
        return Cost(rate, *shares, p50=_percentile(late, 0.5), p99=_percentile(late, 0.99))

    def bulk(self, events: int) -> Bulk:
        """Return what an event costs where many wait: they are sent while the peer is stopped."""
        os.kill(self._pids[0], signal.SIGSTOP)
        try:
            self._load.begin(0, events)
            self._load.end()
            before, began = list(map(_processor_seconds, self._pids)), time.monotonic()
        finally:
            os.kill(self._pids[0], signal.SIGCONT)
        self.sent += events
        _until(self._taken, self.sent, [])
        took = time.monotonic() - began
        used = [
            (_processor_seconds(pid) - early) / events
            for pid, early in zip(self._pids, before, strict=True)
        ]
        return Bulk(events, events / took, used[0], used[1])


def measure(at: Stage, peer: Peer, span: Span) -> Curve:
    """Return the curve of *peer*; of one that fails, or whose totals are wrong, why."""
    if peer.needs and find_spec(peer.needs) is None:
        return Curve(peer, why=f"not run: the package {peer.needs} is not installed")
    group, log = f"{peer.name}-curve", at.folder / f"{peer.name}.log"
    at.redis.flushall()
    at.redis.config_resetstat()
    renew_topics(at.kafka)
    (at.folder / group).mkdir()
    bulk = _BULK[peer.size]
    seconds = {rate: _SETTLE + sum(span.at(rate)) for rate in RATES}
    count = _FIRST + sum(round(rate * seconds[rate]) for rate in RATES) + bulk
    taken = peer.taken(at, group)
    try:
        with (
            _Load(at.kafka, count) as load,
            running(peer.command(), peer_environment(at, peer, group), log) as process,
        ):
            measuring = _Measuring(at, process.pid, taken, load)
            measuring.settle()
            costs = [measuring.at(rate, span.at(rate)) for rate in RATES]
            of_bulk = measuring.bulk(bulk)
            memory = peak_memory(process.pid)
            time.sleep(0.5)  # what is counted twice would come now
            if wrong := wrong_totals(at, peer, group, load.totals(), measuring.sent):
                raise Failed(wrong)
    except (Failed, NotBuilt) as error:
        said = ""
        with suppress(OSError):
            said = f"; it said: {last_words(log)}"
        return Curve(peer, why=f"nothing counts: {error}{said}")
    return Curve(peer, costs, of_bulk, memory)


# ---------------------------------------------------------------------------------- the rows


def rows(curves: Sequence[Curve]) -> list[Row]:
    """Return the table: at each rate the worker and its peers; ratios are theirs to the worker's.

    The ratio of the worker itself is to what its event costs in bulk.
    """
    own = next((curve for curve in curves if curve.peer is OURS and curve.bulk), None)
    table = []
    for index in range(len(RATES)):
        for curve in curves:
            if curve.costs:
                table.append(_row(curve, curve.costs[index], own and own.costs[index]))
    table += [_bulk_row(curve, own) for curve in curves if curve.bulk]
    table += [
        Row("cost curve", curve.peer.label, "", "", curve.why) for curve in curves if curve.why
    ]
    return table


def _row(curve: Curve, cost: Cost, own: Cost | None) -> Row:
    rate, bulk = cost.rate, curve.bulk
    assert bulk
    what = f"{f'{rate:,} events/s' if rate else 'idle'}: {curve.peer.label}"
    note = f"Redis {cost.redis:.3f}, broker {cost.broker:.3f} of a core"
    if rate:
        each = cost.share / rate
        ms = f"fresh after p50 {cost.p50 * 1000:,.0f}, p99 {cost.p99 * 1000:,.0f} ms"
        note = f"{each * 1e6:,.0f} µs an event, {each / bulk.peer:,.0f} times bulk; {note}; {ms}"
    if curve.peer is OURS:
        goals = [f"{_SHARES[rate]} of a core"] if rate in _SHARES else []
        goals += [f"{_GOALS[rate]:.0f} times bulk"] if rate in _GOALS else []
        goals += ["p50 100, p99 250 ms"] if rate == 1_000 else []
        note += f" (goal: {', '.join(goals)})"
    ratio = times(cost.share / own.share) if own and own.share and cost is not own else ""
    return Row("cost curve", what, ratio, f"{cost.share:.3f} of a core", note)


def _bulk_row(curve: Curve, own: Curve | None) -> Row:
    bulk = curve.bulk
    assert bulk
    ratio = times(bulk.peer / own.bulk.peer) if own and own.bulk and curve is not own else ""
    note = (
        f"{bulk.rate:,.0f} events/s, {bulk.events:,} of them; Redis {bulk.redis * 1e6:.1f} µs;"
        f" {curve.memory:,.0f} MiB"
    )
    what = f"bulk: {curve.peer.label}"
    return Row("cost curve", what, ratio, f"{bulk.peer * 1e6:.1f} µs an event", note)


def run(*, short: bool, only: Sequence[str] = ()) -> list[Row]:
    """Run everything of this benchmark and return its rows."""
    left_out = _NEVER if only or not short else (*_NEVER, *_LONG_ONLY)
    wanted = [p for p in PEERS if (p.name in only if only else p.name not in left_out)]
    wanted.sort(key=lambda peer: peer is not OURS)
    curves = []
    with stage() as at:
        for peer in wanted:
            say(f"cost curve, {peer.name}: at {len(RATES)} rates and in bulk")
            curves.append(measure(at, peer, SHORT if short else LONG))
            shares = ", ".join(f"{c.rate}/s {c.share:.3f}" for c in curves[-1].costs)
            say(f"cost curve, {peer.name}: {shares or curves[-1].why}")
    return rows(curves)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="shorter looks, fewer peers")
    parser.add_argument(
        "--only", default="", help="names of peers (`usage` is the worker), by commas"
    )
    arguments = parser.parse_args()
    only = tuple(filter(None, arguments.only.split(",")))
    print(markdown(run(short=arguments.short, only=only)))


if __name__ == "__main__":
    main()
