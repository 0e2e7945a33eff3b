"""Dead letters that Kafka does not accept: shortened, and not retried for ever."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.structs import ConsumerRecord
from faust.exceptions import ProducerSendError

from stream_app.dead_letters import DeadLetter, Place, dead_letter, read_dead_letter
from stream_app.decode_batch import PendingDeadLetter
from stream_app.rejection import Reason, RejectedError
from stream_app.telemetry import Telemetry
from stream_app.worker_context import WorkerContext
from stream_app.write_gate import WriteGate

REJECTED = RejectedError(Reason.TOO_LARGE, "why")


class Client:
    """aiokafka's producer beneath Faust's, and what there is of Kafka.

    It makes batches of all that is sent before it answers, and takes none above `most` bytes.
    """

    def __init__(self, most: int, error: type[KafkaError] = MessageSizeTooLargeError) -> None:
        self.most, self.error, self.away = most, error, 0
        self.kept: list[DeadLetter] = []
        self.lingering: list[tuple[DeadLetter, asyncio.Future[None]]] = []

    def add(self, letter: DeadLetter) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.lingering:
            asyncio.get_running_loop().call_soon(self.answer)
        self.lingering.append((letter, future))
        return future

    def answer(self) -> None:
        batch, self.lingering = self.lingering, []
        error: KafkaError | None = None
        if self.away:
            self.away -= 1
            error = KafkaConnectionError()
        elif sum(size(letter) for letter, _ in batch) > self.most:
            error = self.error()
        for letter, future in batch:
            if error:
                future.set_exception(error)
            else:
                self.kept.append(letter)
                future.set_result(None)

    def create_batch(self) -> "Batch":
        return Batch()

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0, 1}

    async def send_batch(self, batch: "Batch", _topic: str, *, partition: int) -> Any:
        assert partition in {0, 1}
        assert not self.lingering
        return self.add(batch.letter)


class Batch:
    """A batch of one dead letter."""

    letter: DeadLetter

    def append(self, *, timestamp: None, key: Any, value: Any, headers: Any) -> None:
        self.letter = DeadLetter(key, value, headers)

    def close(self) -> None:
        """Take nothing more."""

    def size(self) -> int:
        return size(self.letter)


class Producer:
    """Faust's producer, whose client looks at sizes itself where `most` says so."""

    def __init__(self, client: Client, most: int = 10**9) -> None:
        self._client, self._most = client, most

    def _ensure_producer(self) -> Client:
        return self._client

    async def send(self, _topic: str, key: Any, value: Any, _: None, __: None, headers: Any) -> Any:
        assert not (key is None and value is None), "as aiokafka does"
        letter = DeadLetter(key, value, headers)
        if size(letter) > self._most:
            error = MessageSizeTooLargeError()
            raise ProducerSendError(f"Error while sending: {error!r}") from error
        return self._client.add(letter)


def size(letter: DeadLetter) -> int:
    """Return the bytes of key, value and headers."""
    own = sum(len(name) + len(content or b"") for name, content in letter.headers)
    return len(letter.key or b"") + len(letter.value or b"") + own


def record(offset: int, value: bytes | None, **own: Any) -> ConsumerRecord:
    """Return a record of partition 0 with a key and a header of its own, or with others."""
    key, headers = own.get("key", b"acme"), own.get("headers", [("trace", b"t")])
    return ConsumerRecord("usage.flows", 0, offset, 0, 0, key, value, None, 4, 0, headers)


def rejected(producer: Producer, *records: ConsumerRecord) -> Telemetry:
    """Have *records* rejected; return the worker's telemetry then."""
    gate = WriteGate(SimpleNamespace(consumer_generation_id=1, rebalancing_count=1))
    telemetry, nothing = Telemetry(), cast(Any, None)
    context = WorkerContext(gate, nothing, lambda: producer, telemetry, nothing)
    pending = [
        PendingDeadLetter(record, REJECTED.reason, dead_letter(record, REJECTED))
        for record in records
    ]
    in_time(context.publish(pending, gate.assignment))
    return telemetry


def in_time(act: Coroutine[Any, Any, None]) -> None:
    """Run *act*, which must come to its end by itself."""
    asyncio.run(asyncio.wait_for(act, 3.0))


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, RecordListTooLargeError])
@pytest.mark.parametrize("who", ["client", "broker"])
def test_a_dead_letter_too_large_for_kafka_is_kept_without_the_value(
    who: str, error: type[KafkaError]
) -> None:
    """The rest of it, and all beside it, are whole; and it names the bytes left out."""
    client = Client(2_000, error)
    producer = Producer(client, 2_000 if who == "client" else 10**9)
    records = [record(0, b"small"), record(1, b"x" * 40_000), record(2, b"small too")]
    telemetry = rejected(producer, *records)
    kept = {
        headers.place.offset: (letter, headers)
        for letter in client.kept
        if (headers := read(letter))
    }
    assert len(kept) == len(client.kept) == 3
    for offset in (0, 2):
        assert kept[offset][0] == dead_letter(records[offset], REJECTED)
    letter, headers = kept[1]
    assert (letter.key, letter.value, headers.own) == (b"acme", b"", [("trace", b"t")])
    assert headers.place == Place("usage.flows", 0, 1)
    assert headers.left_out is not None
    assert headers.left_out.sizes == {"value": 40_000}
    assert telemetry.refused == {"too-large": 3}
    assert not telemetry.waiting_for


def read(letter: DeadLetter) -> Any:
    """Return what its headers tell."""
    return read_dead_letter(letter.headers)


@pytest.mark.parametrize(
    ("value", "left_out"),
    [(None, {"key": 5_000, "headers": 8}), (b"v", {"value": 1, "key": 5_000, "headers": 8})],
)
def test_key_and_headers_are_left_out_where_that_is_not_enough(
    value: bytes | None, left_out: dict[str, int]
) -> None:
    """A record may be large without a value."""
    client = Client(2_000)
    rejected(Producer(client), record(7, value, key=b"k" * 5_000, headers=[("abc", b"01234")]))
    [letter] = client.kept
    assert (letter.key, letter.value, len(letter.headers)) == (None, b"", 6)
    assert read(letter).left_out.sizes == left_out
    assert read(letter).place.offset == 7


def test_small_dead_letters_that_are_too_large_together_stay_whole() -> None:
    """A topic's limit is for batches, and the producer makes those as it likes."""
    client = Client(1_000)
    records = [record(offset, b"x" * 500) for offset in range(10)]
    rejected(Producer(client), *records)
    assert client.kept == [dead_letter(record, REJECTED) for record in records]


def test_other_errors_are_still_tried_again() -> None:
    """A broker that is away is no reason to leave anything out, also in the middle of it."""
    client = Client(2_000)
    client.away = 2
    rejected(Producer(client), record(0, b"small"))
    assert client.kept == [dead_letter(record(0, b"small"), REJECTED)]
    client.away = 2
    rejected(Producer(client, 2_000), record(1, b"x" * 3_000))
    assert read(client.kept[-1]).left_out.sizes == {"value": 3_000}


def test_a_topic_that_takes_no_dead_letter_at_all_is_waited_for() -> None:
    """Nothing is dropped: the position stays before it until the topic takes more."""
    client = Client(10)
    with pytest.raises(TimeoutError):
        rejected(Producer(client), record(0, b"small"))
    assert client.kept == []


def test_a_record_without_key_and_value_is_a_dead_letter_like_any() -> None:
    """aiokafka's `send` takes no such record, though Kafka does."""
    client = Client(2_000)
    nothing = record(0, None, key=None)
    rejected(Producer(client), nothing)
    assert client.kept == [dead_letter(nothing, REJECTED)]
