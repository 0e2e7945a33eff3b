"""When a worker fetches, and the coding of a fetch, which must be aiokafka's own to the byte."""

import asyncio
import inspect
import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher, subscription_state
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.protocol import fetch
from aiokafka.structs import TopicPartition

from stream_app import fetch_protocol
from stream_app.bounded_fetch import install
from stream_app.fetch_protocol import FetchRequest
from stream_app.paced_fetch import (
    DEEP_BYTES,
    FEW_BYTES,
    IDLE_MS,
    LINGER_MS,
    MIN_BYTES,
    MUCH_BYTES,
    SPARSE_MS,
    PacedFetcher,
)

MB = 1_048_576
TOPICS = [
    ("usage.flows", [(0, 17, MB), (11, 2**40, MB)]),
    ("usage.clicks", [(3, 0, MB)]),
    ("usage.größe", []),
]


def request(rack: str = "") -> FetchRequest:
    """Return a request for three topics."""
    return FetchRequest(LINGER_MS, MIN_BYTES, 52_428_800, 1, TOPICS, rack)


@pytest.mark.parametrize("rack", ["", "eu-1a"])
@pytest.mark.parametrize("known", fetch.FetchRequest._CLASSES)
def test_a_request_has_the_bytes_that_aiokafka_gives_it(known: Any, rack: str) -> None:
    """In every version, of which one is coded here."""
    if known.API_VERSION < 4:
        return  # knows no committed transactions
    theirs = fetch.FetchRequest(LINGER_MS, MIN_BYTES, 52_428_800, 1, TOPICS, rack)
    assert request(rack).build(known).encode() == theirs.build(known).encode()


ANSWERS = [
    [],
    [("usage.flows", [(0, 0, 9, 9, 0, [], -1, b"records"), (11, 6, -1, -1, -1, None, -1, b"")])],
    [("a", []), ("größe", [(3, 0, 2**40, 2**40 - 1, 5, [(7, 8), (9, 10)], 2, None)])],
]


@pytest.mark.parametrize("topics", ANSWERS)
def test_an_answer_is_read_as_aiokafka_reads_it(topics: Any) -> None:
    """With aborted transactions, a replica to prefer, and partitions with nothing at all."""
    raw = fetch.FetchResponse_v11(5, 0, 0, topics).encode()
    theirs = fetch.FetchResponse_v11.decode(io.BytesIO(raw))
    ours = request().build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode(io.BytesIO(raw))
    assert ours.topics == theirs.topics
    assert ours == theirs
    assert ours.API_VERSION == 11


def test_an_answer_that_ends_too_soon_is_an_error() -> None:
    """And never a batch that is shorter than the broker said."""
    raw = fetch.FetchResponse_v11(0, 0, 0, ANSWERS[1]).encode()
    decode = request().build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode
    for end in range(len(raw)):
        with pytest.raises((ValueError, fetch_protocol.struct.error)):
            decode(io.BytesIO(raw[:end]))


def test_partitions_with_nothing_are_brought_up_to_date_and_left_out() -> None:
    """0 has records, 1 nothing, 2 an error; of 3 nothing as well, but it was sought meanwhile."""
    asked = request()
    asked._topics = [("usage.flows", [(number, 10, MB) for number in range(4)])]
    states = {number: state(10) for number in range(4)}
    states[3].seek(7)
    asked.states = {"usage.flows": states}
    heads = [(number, 0, 20 + number, 15 + number, 0, [], -1) for number in range(4)]
    heads[2] = (2, 6, -1, -1, -1, None, -1)
    raw = fetch.FetchResponse_v11(
        0, 0, 0, [("usage.flows", [(*head, b"" if head[0] else b"records") for head in heads])]
    ).encode()
    found = asked.build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode(io.BytesIO(raw))
    assert found.topics == [("usage.flows", [(*heads[0], b"records"), (*heads[2], b"")])]
    assert asked.topics == [("usage.flows", [(0, 10, MB), (2, 10, MB)])]
    assert asked.found == len(b"records")
    assert (states[1].highwater, states[1].lso) == (21, 16)
    assert states[1].timestamp is not None
    for other in (0, 2, 3):  # the first two are aiokafka's to handle
        assert states[other].highwater is states[other].timestamp is None


def test_a_topic_may_be_named_more_than_once() -> None:
    """As Apache Kafka answers where the topic must not be read: once for each partition."""
    asked = request()
    asked._topics = [("usage.flows", [(0, 10, MB), (1, 20, MB)])]
    asked.states = {"usage.flows": {0: state(10), 1: state(20)}}
    refused = [(number, 29, -1, -1, -1, None, -1, b"") for number in (0, 1)]
    raw = fetch.FetchResponse_v11(0, 0, 0, [("usage.flows", [each]) for each in refused]).encode()
    found = asked.build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode(io.BytesIO(raw))
    assert found.topics == [("usage.flows", [each]) for each in refused]
    assert asked.topics == [("usage.flows", [(0, 10, MB), (1, 20, MB)])]


def test_a_request_may_name_a_topic_more_than_once() -> None:
    """As one that goes by number does: each partition is brought up to date, or stays in it."""
    asked = request()
    asked._topics = [("a", [(0, 10, MB)]), ("b", [(0, 30, MB)]), ("a", [(1, 20, MB)])]
    states = {"a": {0: state(10), 1: state(20)}, "b": {0: state(30)}}
    asked.states = states
    heads = [
        ("a", [(0, 0, 11, 11, 0, [], -1, b"")]),
        ("b", [(0, 0, 31, 31, 0, [], -1, b"records")]),
        ("a", [(1, 0, 21, 21, 0, [], -1, b"")]),
    ]
    raw = fetch.FetchResponse_v11(0, 0, 0, heads).encode()
    found = asked.build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode(io.BytesIO(raw))
    assert found.topics == heads[1:2]
    assert asked.topics == [("b", [(0, 30, MB)])]
    assert [states["a"][number].highwater for number in (0, 1)] == [11, 21]


def test_an_answer_with_nothing_at_all_has_no_topic() -> None:
    """As most are that a worker without events gets."""
    asked = request()
    asked.states = {topic: {each[0]: state(each[1]) for each in of} for topic, of in TOPICS}
    heads = [(0, 0, 17, 17, 0, None, -1, None), (11, 0, 2**40, 2**40, 0, [], -1, b"")]
    raw = fetch.FetchResponse_v11(0, 0, 0, [("usage.flows", heads)]).encode()
    found = asked.build(fetch.FetchRequest_v11).RESPONSE_TYPE.decode(io.BytesIO(raw))
    assert found.topics == asked.topics == []
    assert asked.states["usage.flows"][11].highwater == 2**40


# ------------------------------------------------------------------------------ what is asked


def state(position: int | None) -> TopicPartitionState:
    """Return aiokafka's state of a partition that is read from *position*."""
    with futures():
        made = TopicPartitionState(None)
        if position is not None:
            made.seek(position)
    return made


@contextmanager
def futures() -> Iterator[None]:
    """Have aiokafka create futures without a loop that runs."""
    with pytest.MonkeyPatch.context() as patch:
        never = SimpleNamespace(done=lambda: False, set_result=lambda _: None)
        patch.setattr(subscription_state, "create_future", lambda: never)
        yield


class _Cluster:
    """What Kafka says: who leads which partition."""

    def __init__(self, leaders: dict[TopicPartition, int | None]) -> None:
        self._partitions = leaders

    def leader_for_partition(self, tp: TopicPartition) -> int | None:
        """Return its node."""
        return self._partitions[tp]


PLACES = [TopicPartition(f"usage.{name}", number) for name in "abc" for number in range(4)]


@pytest.fixture
def fetching() -> Any:
    """Return a fetcher that sends nothing, and an assignment; node 1 leads even partitions."""
    made = PacedFetcher.__new__(PacedFetcher)
    made._client = SimpleNamespace(cluster=_Cluster({tp: 1 + tp.partition % 2 for tp in PLACES}))
    made._records, made._in_flight, made._preferred_read_replica = OrderedDict(), set(), {}
    made._plan, made._turn, made._client_rack = None, 0, None
    made._brought = {}
    made._fetch_max_wait_ms, made._fetch_min_bytes = LINGER_MS, MIN_BYTES
    made._fetch_max_bytes, made._max_partition_fetch_bytes = 52_428_800, MB
    made._isolation_level, made._fetcher_timeout = 1, 0.2
    with futures():
        assignment = subscription_state.Assignment(PLACES)
        for at, tp in enumerate(PLACES):
            assignment.state_value(tp).seek(at)
    return made, assignment


def requests(actions: Any) -> dict[int, Any]:
    """Return what is asked of each node, in an order of its own."""
    return {
        node: (
            sorted((topic, sorted(partitions)) for topic, partitions in each.topics),
            each._max_wait_ms, each._min_bytes, each._max_bytes, each._isolation_level,
            each._rack_id,
        )
        for node, each in actions[0]
    }  # fmt: skip


def compare(made: Any, assignment: Any) -> dict[int, Any]:
    """Return what is asked, which is what aiokafka would ask."""
    ours = requests(made._get_actions_per_node(assignment))
    assert ours == requests(fetcher.Fetcher._get_actions_per_node(made, assignment))
    return ours


def test_what_is_asked_is_what_aiokafka_would_ask(fetching: Any) -> None:
    """Of each node by itself, from where each partition is now, whoever leads it now."""
    install()
    made, assignment = fetching
    assert made._plain_actions(assignment) is not None
    assert set(compare(made, assignment)) == {1, 2}
    made._in_flight.add(2)
    assignment.state_value(PLACES[0]).consumed_to(70)
    assert ("usage.a", [(0, 70, MB), (2, 2, MB)]) in compare(made, assignment)[1][0]
    made._in_flight.clear()
    made._client.cluster._partitions = dict.fromkeys(PLACES, 3)
    assert set(compare(made, assignment)) == {3}
    with futures():
        other = subscription_state.Assignment(PLACES[:1])
        other.state_value(PLACES[0]).seek(5)
    assert compare(made, other)[3][0] == [("usage.a", [(0, 5, MB)])]


def waiting(seconds: float) -> Any:
    """Return records that wait to be taken, and for which others may have to wait so long."""
    return SimpleNamespace(calculate_backoff=lambda: seconds)


def test_a_node_of_which_records_wait_is_asked_for_nothing(fetching: Any) -> None:
    """For as long as aiokafka would not ask it; other nodes are asked."""
    install()
    made, assignment = fetching
    theirs = partial(fetcher.Fetcher._get_actions_per_node, made, assignment)
    for tp, seconds in zip(PLACES, (0.1, 0.4, 0.3, 0.2), strict=False):
        made._records[tp] = waiting(seconds)
        ours = made._plain_actions(assignment)
        assert requests(ours) == requests(theirs()) == compare(made, assignment)
        assert ours[1:] == theirs()[1:]
    assert (ours[0], ours[2]) == ([], 0.3)
    made._records = OrderedDict({PLACES[0]: waiting(0.2), TopicPartition("other", 0): waiting(0.2)})
    assert made._plain_actions(assignment) is None  # its assignment is over


@pytest.mark.parametrize(
    "unusual", ["paused", "no position", "no leader", "records waited", "rack"]
)
def test_anything_unusual_is_left_to_aiokafka(fetching: Any, unusual: str) -> None:
    """It waits for a partition to be resumed, looks for a leader, asks for a position."""
    install()
    made, assignment = fetching
    assert made._plain_actions(assignment) is not None
    tp = PLACES[0]
    with futures():
        if unusual == "paused":
            assignment.state_value(tp).pause()
        elif unusual == "no position":
            assignment.state_value(tp).await_reset(-1)
        elif unusual == "no leader":
            made._client.cluster._partitions = {**made._client.cluster._partitions, tp: -1}
        elif unusual == "records waited":
            made._records[tp] = waiting(0)
        else:
            made._client_rack = "eu-1a"
    assert made._plain_actions(assignment) is None
    compare(made, assignment)


def test_no_partition_is_always_asked_for_first(fetching: Any) -> None:
    """A broker fills an answer in the order of the request, and not beyond a size."""
    made, assignment = fetching
    made._client.cluster._partitions = dict.fromkeys(PLACES, 1)
    firsts = set()
    for _ in range(60):
        [(_, request)], *_ = made._plain_actions(assignment)
        topic, partitions = request.topics[0]
        firsts.add((topic, partitions[0][0]))
    assert firsts == set(PLACES)


def test_in_a_backlog_much_is_asked_for_number_by_number(fetching: Any) -> None:
    """Topic by topic, node 1 would answer with what it has of one topic. Each number is first."""
    install()
    made, assignment = fetching
    made._client.cluster._partitions = dict.fromkeys(PLACES, 1)
    usual = compare(made, assignment)[1][0]
    made._brought[1] = MUCH_BYTES
    firsts = []
    for _ in range(8):
        [(_, request)], *_ = made._plain_actions(assignment)
        numbers = [each[0] for _, partitions in request.topics for each in partitions]
        first = numbers[0]
        assert numbers == [n % 4 for n in range(first, first + 4) for _ in "abc"]
        assert {each[2] for _, partitions in request.topics for each in partitions} == {DEEP_BYTES}
        found: dict[str, list[tuple[int, int, int]]] = {}
        for topic, partitions in request.topics:
            found.setdefault(topic, []).extend((*each[:2], MB) for each in partitions)
        assert sorted((topic, sorted(each)) for topic, each in found.items()) == usual
        firsts.append(first)
    assert firsts == [n % 4 for n in range(firsts[0], firsts[0] + 8)]


def test_after_an_answer_with_much_there_is_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one has less; of one node, not of others."""
    made, brings = paced(monkeypatch, MIN_BYTES)
    made._fetch_max_wait_ms, made._fetch_max_bytes, made._isolation_level = LINGER_MS, MB, 1
    made._max_partition_fetch_bytes, made._turn = MB, 0
    states: Any = {"usage.a": {0: SimpleNamespace(_position=7, _paused=False)}}
    for found, most in [(MUCH_BYTES, DEEP_BYTES), (MUCH_BYTES - 1, MB), (None, MB)]:
        asked = request()
        asked.found = found
        brings += [True]
        asyncio.run(made._proc_fetch_request(None, 1, asked))
        assert made._request(1, states).topics == [("usage.a", [(0, 7, most)])]
        assert made._request(2, states).topics == [("usage.a", [(0, 7, MB)])]


def test_records_are_taken_before_the_next_request_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that it asks for all partitions, and is made once."""
    made, brings = paced(monkeypatch, MIN_BYTES)

    async def scene() -> None:
        waiter = asyncio.get_running_loop().create_future()
        made._fetch_waiters.add(waiter)
        await made._proc_fetch_request(None, 1, request())
        assert not waiter.done()
        await made._proc_fetch_request(None, 1, request())
        assert waiter.done()

    brings += [True, False]
    brings.reverse()
    asyncio.run(scene())


# ------------------------------------------------------------------------------- the pace


def paced(monkeypatch: pytest.MonkeyPatch, min_bytes: int) -> tuple[Any, list[bool]]:
    """Return a fetcher of two nodes that sends nothing, and what its next answers bring."""
    made = PacedFetcher.__new__(PacedFetcher)
    made._fetch_min_bytes, made._fetch_waiters = min_bytes, set()
    made._brought, made._records = {}, {}
    monkeypatch.setattr(made, "_plain_actions", lambda _: None, raising=False)
    brings: list[bool] = []

    async def answered(*_: Any) -> bool:
        return brings.pop(0)

    def actions(*_: Any) -> Any:
        return [(node, request()) for node in (1, 2)], {}, 0.2, False, []

    monkeypatch.setattr(fetcher.Fetcher, "_proc_fetch_request", answered)
    monkeypatch.setattr(fetcher.Fetcher, "_get_actions_per_node", actions)
    return made, brings


def waits(made: Any) -> list[tuple[int, int]]:
    """Return for how many bytes each node is asked to wait next, and how long."""
    requests, *_ = made._get_actions_per_node(None)
    return [(each._min_bytes, each._max_wait_ms) for _, each in requests]


def test_after_an_empty_answer_the_broker_waits_longer_and_for_any_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each broker by itself: one may be idle while another has events."""
    made, brings = paced(monkeypatch, MIN_BYTES)
    assert waits(made) == [(MIN_BYTES, LINGER_MS)] * 2
    brings += [False]
    asyncio.run(made._proc_fetch_request(None, 1, request()))
    assert waits(made) == [(1, IDLE_MS), (MIN_BYTES, LINGER_MS)]
    made._records = {PLACES[0]: waiting(0)}  # for too long: others are asked, for not so long
    assert waits(made) == [(MIN_BYTES, SPARSE_MS), (MIN_BYTES, LINGER_MS)]
    made._records = {}
    brings += [True]
    asyncio.run(made._proc_fetch_request(None, 1, request()))
    assert waits(made) == [(MIN_BYTES, LINGER_MS)] * 2


def test_after_an_answer_with_few_bytes_the_broker_waits_a_little_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until one has more; of an answer that aiokafka read nobody knows how many it had."""
    made, brings = paced(monkeypatch, MIN_BYTES)
    for found, wait in [(FEW_BYTES - 1, SPARSE_MS), (FEW_BYTES, LINGER_MS), (None, LINGER_MS)]:
        asked = request()
        asked.found = found
        brings += [True]
        asyncio.run(made._proc_fetch_request(None, 1, asked))
        assert waits(made) == [(MIN_BYTES, wait), (MIN_BYTES, LINGER_MS)]


def test_a_consumer_that_is_not_to_linger_fetches_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those that read a topic to its end and stop."""
    made, brings = paced(monkeypatch, 1)
    brings += [False]
    asyncio.run(made._proc_fetch_request(None, 1, request()))
    assert waits(made) == [(MIN_BYTES, LINGER_MS)] * 2  # as the request came from aiokafka


def test_what_is_relied_on_in_aiokafka_is_there() -> None:
    """These are internals; a pin moves only after this file was read again."""
    install()
    assert fetcher.FetchRequest is FetchRequest
    assert "fetch_min_bytes=self._fetch_min_bytes" in inspect.getsource(AIOKafkaConsumer.start)
    source = inspect.getsource(fetcher.Fetcher)
    assert "self._proc_fetch_request(assignment, node_id, request)" in source
    assert "FetchRequest(" in source
    made = SimpleNamespace(**vars(request()))
    assert (made._min_bytes, made._max_wait_ms) == (MIN_BYTES, LINGER_MS)
    for name in ("_records", "_in_flight", "_fetch_waiters"):
        assert f"self.{name} = " in inspect.getsource(fetcher.Fetcher.__init__)
    source = inspect.getsource(ClusterMetadata.update_metadata)
    assert "self._partitions = _new_partitions" in source  # as a whole, never in place
    answered = inspect.getsource(AIOKafkaConnection._handle_frame)
    assert "resp_type = request.RESPONSE_TYPE" in answered
    assert "resp_type.decode(resp)" in answered
