"""When a worker fetches, and the coding of a fetch, which must be aiokafka's own to the byte."""

import asyncio
import inspect
import io
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.protocol import fetch

from stream_app import paced_fetch
from stream_app.bounded_fetch import install
from stream_app.paced_fetch import IDLE_MS, LINGER_MS, MIN_BYTES, FetchRequest, PacedFetcher

TOPICS = [
    ("usage.flows", [(0, 17, 1_048_576), (11, 2**40, 1_048_576)]),
    ("usage.clicks", [(3, 0, 1_048_576)]),
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
        with pytest.raises((ValueError, paced_fetch.struct.error)):
            decode(io.BytesIO(raw[:end]))


# ------------------------------------------------------------------------------- the pace


def paced(monkeypatch: pytest.MonkeyPatch, min_bytes: int) -> tuple[Any, list[bool]]:
    """Return a fetcher of two nodes that sends nothing, and what its next answers bring."""
    made = PacedFetcher.__new__(PacedFetcher)
    made._fetch_min_bytes, made._quiet = min_bytes, set()
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
    asyncio.run(made._proc_fetch_request(None, 1, None))
    assert waits(made) == [(1, IDLE_MS), (MIN_BYTES, LINGER_MS)]
    brings += [True]
    asyncio.run(made._proc_fetch_request(None, 1, None))
    assert waits(made) == [(MIN_BYTES, LINGER_MS)] * 2


def test_a_consumer_that_is_not_to_linger_fetches_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those that read a topic to its end and stop."""
    made, brings = paced(monkeypatch, 1)
    brings += [False]
    asyncio.run(made._proc_fetch_request(None, 1, None))
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
