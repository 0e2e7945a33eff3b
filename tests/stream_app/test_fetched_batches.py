"""Fetched batches: what honest clients send is read, and nothing else does harm."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cramjam
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import consumer, fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import ConsumerRecord, TopicPartition

from stream_app import bounded_fetch
from stream_app.bounded_fetch import MAX_BATCH_BYTES, install
from stream_app.codec import decode_all
from stream_app.decompression import decompress
from stream_app.errors import BatchTooLargeError, CorruptBatchError
from stream_app.fetched_record import with_places
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError
from tests.support.raw_batches import (
    CODECS,
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    ZSTD,
    batch,
    bomb,
    compressed,
    record,
    records,
)

FLOWS = TopicPartition("usage.flows", 0)
THREE = [b"one", None, b"three"]
MB = 1_000_000
TRANSACTIONAL, CONTROL = 0x10, 0x20


@pytest.fixture(autouse=True)
def _bound() -> Iterator[None]:
    """Have the bound that is the default, whatever a test sets."""
    install(MAX_BATCH_BYTES)
    bounded_fetch._mismatches.clear()
    yield
    install(MAX_BATCH_BYTES)


def fetched(raw: bytes, begin: int = 0, aborted: Any = ()) -> Any:
    """Return what was fetched of a partition, from offset *begin* on."""
    kept = fetcher.MemoryRecords(raw)
    return fetcher.PartitionRecords(FLOWS, kept, aborted, begin, None, None, True, 1)


def read(raw: bytes, begin: int = 0, aborted: Any = ()) -> tuple[list[Any], int]:
    """Return all records in *raw* from *begin* on, and where reading goes on."""
    found = fetched(raw, begin, aborted)
    taken: list[Any] = []
    while not found.is_done:
        taken += found.take(1)
    return taken, found.next_fetch_offset


def values(found: list[Any]) -> list[tuple[int, bytes | None]]:
    """Return offset and value of each record."""
    assert not any(isinstance(one, RejectedBatch) for one in found), found
    return [(one.offset, one.value) for one in found]


def only(found: list[Any]) -> RejectedBatch:
    """Return the one stand-in that *found* is."""
    (one,) = found
    assert isinstance(one, RejectedBatch), one
    return one


def test_aiokafka_reads_with_these() -> None:
    """And neither Faust nor anything here bounds the number of records itself."""
    assert fetcher.FetchResult is bounded_fetch._BoundedFetchResult
    assert consumer.Fetcher is bounded_fetch._BoundedFetcher
    assert AIOKafkaConsumer.getmany.__kwdefaults__["max_records"] is None


# ------------------------------------------------------------------------ honest batches


@pytest.mark.parametrize("codec", [NONE, *CODECS.values()])
def test_every_codec_is_read(codec: int) -> None:
    """With keys, headers, timestamps, and offsets from where the batch stands."""
    second_record = record(b"v", 1, 7, None, [(b"h", b"\xff"), (b"none", None)])
    raw = batch(compressed(record(None) + second_record, codec), 2, codec, base=40, timestamp=1000)
    found, ends = read(raw)
    assert ends == 42
    first, second = with_places(("usage.flows", 0), found)
    assert (first.offset, first.value, first.key, first.headers) == (40, None, b"acme", ())
    assert second == ConsumerRecord(
        "usage.flows", 0, 41, 1007, 0, None, b"v", None, -1, 1, (("h", b"\xff"), ("none", None))
    )


def test_snappy_without_blocks_is_read_and_so_are_streams_one_after_another() -> None:
    """As librdkafka writes it, and as the Java reader would take it."""
    payload = records(THREE)
    bare = bytes(cramjam.snappy.compress_raw(payload))
    twice = compressed(payload[:9], SNAPPY) + compressed(payload[9:], SNAPPY)
    for packed in (bare, twice):
        assert values(read(batch(packed, 3, SNAPPY))[0]) == [*enumerate(THREE)]


def test_members_of_gzip_follow_each_other() -> None:
    """Any number of them are one stream."""
    payload = records(THREE)
    packed = compressed(payload[:9], GZIP) + compressed(payload[9:], GZIP)
    assert values(read(batch(packed, 3, GZIP))[0]) == [*enumerate(THREE)]


@pytest.mark.parametrize("codec", [NONE, ZSTD])
def test_a_large_batch_is_handed_over_in_pieces(codec: int) -> None:
    """[0 ------- 8 MiB)[------- ...): reading may begin again behind any of them."""
    sent = [b"%06d" % number + bytes(60_000) for number in range(500)]
    raw = batch(compressed(records(sent), codec), 500, codec)
    found = fetched(raw)
    places: list[int] = []
    taken: list[Any] = []
    while not found.is_done:
        piece = found.take(1)
        assert sum(len(one.value) for one in piece) <= 9 * 1024 * 1024
        assert found.next_fetch_offset == (piece[-1].offset + 1 if piece else 500)
        assert found.is_within_a_batch == (found.next_fetch_offset < 500)
        taken += piece
        places.append(found.next_fetch_offset)
    assert values(taken) == [*enumerate(sent)]
    assert len(places) >= 4
    assert values(read(raw, places[1])[0]) == [*enumerate(sent)][places[1] :]


def test_many_records_without_anything_are_handed_over_in_pieces() -> None:
    """Each takes 8 bytes in the batch, and much more as an object."""
    raw = batch(compressed(records([None] * 100_000), ZSTD), 100_000, ZSTD)
    found = fetched(raw)
    assert len(found.take(1)) < 40_000
    assert len(read(raw)[0]) == 100_000


def test_what_compaction_left_out_is_missed_by_nobody() -> None:
    """Offsets may have gaps, and a batch may be empty."""
    raw = batch(record(b"a", 2) + record(b"b", 7), 2, last=9, base=100)
    assert values(read(raw)[0]) == [(102, b"a"), (107, b"b")]
    assert read(raw + batch(b"", 0, last=4, base=110))[1] == 115


def test_what_lies_before_the_first_offset_asked_for_is_left_out() -> None:
    """A batch is fetched whole, wherever in it reading begins."""
    assert values(read(batch(records(THREE), 3), 2)[0]) == [(2, b"three")]


@pytest.mark.parametrize("codec", [NONE, *CODECS.values()])
def test_names_of_headers_are_read_leniently(codec: int) -> None:
    """No broker checks that they are UTF-8; the batch behind is read as well."""
    odd = batch(compressed(record(b"v", headers=[(b"\xff", b"x")]), codec), 1, codec)
    found, ends = read(odd + batch(records(THREE), 3, base=1))
    assert [*found[0].headers] == [("\N{REPLACEMENT CHARACTER}", b"x")]
    assert (len(found), ends) == (4, 4)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY])
def test_old_formats_are_read_within_the_same_bounds(magic: int, codec: int) -> None:
    """A broker may still have them on its disk."""

    def built(value: bytes) -> bytes:
        builder = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
        builder.append(0, 1000, b"k", value)
        return bytes(builder.build())

    assert values(read(built(b"v" * 100))[0]) == [(0, b"v" * 100)]
    install(MB)
    found, ends = read(built(bytes(5 * MB)))
    assert ends == 1
    assert isinstance(found[0], RejectedBatch) == (codec != NONE)


# ----------------------------------------------------------------------- hostile batches


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_batch_that_unpacks_to_too_much_is_one_refusal(codec: int) -> None:
    """It says where the batch is, how large, and what the bound is; the next one is read."""
    install(10 * MB)
    raw = batch(bomb(codec, 12 * MB), 1, codec, base=70)
    found, ends = read(raw + batch(records(THREE), 3, base=71))
    refused = only(found[:1])
    name = {number: name for name, number in CODECS.items()}[codec]
    assert (refused.offset, refused.base_offset, refused.batch_bytes) == (70, 70, len(raw))
    assert refused.rejection.reason is Reason.TOO_LARGE
    assert refused.rejection.sentence == (
        f"a batch of {len(raw):,} bytes ({name}), offsets 70 to 70, decompresses to more than "
        "10,000,000 bytes; none of these records is counted"
    )
    assert values(found[1:]) == [(71 + at, value) for at, value in enumerate(THREE)]
    assert ends == 74
    assert decode_all("usage.flows", found)[0] is refused.rejection


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_the_bound_is_exact(codec: int) -> None:
    """A byte more is too much; a bomb in a second stream behind a small one is none."""
    payload = records([bytes(2 * MB)])
    packed = memoryview(compressed(payload, codec))
    assert decompress(codec, packed, len(payload), b"head") == b"head" + payload
    for most in (0, 1, len(payload) // 2, len(payload) - 1):
        with pytest.raises(BatchTooLargeError):
            decompress(codec, packed, most)
    small = compressed(b"small", codec)
    with pytest.raises(BatchTooLargeError):
        decompress(codec, memoryview(small + bytes(packed)), MB)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_stream_that_is_cut_off_is_one_refusal(codec: int) -> None:
    """Wherever that is; nothing of the batch is counted, and the next one is read."""
    packed = compressed(records([b"%d" % number * 50 for number in range(100)]), codec)
    behind = batch(records(THREE), 3, base=100)
    for cut in range(0, len(packed), max(len(packed) // 60, 1)):
        found, ends = read(batch(packed[:cut], 100, codec) + behind)
        refused = only(found[:1])
        assert refused.rejection.reason is Reason.MALFORMED
        assert "offsets 0 to 99, cannot be read" in refused.rejection.sentence
        assert (len(found), ends) == (4, 103)


@pytest.mark.parametrize(
    ("payload", "count", "last"),
    [
        (records(THREE), 5, 4),
        (records(THREE), 2, 1),
        (b"\xff" * 50, 3, 2),
        (b"", 3, 2),
        (record(b"x") * 3, 3, 2),
        (record(b"x") + record(b"x", 1_000_000), 2, 1),
        (record(b"x") + record(b"x", -5), 2, 1),
        (record(b"x", 1) + record(b"x", 0), 2, 1),
        (record(b"x", 2**40), 1, 0),
    ],
)
@pytest.mark.parametrize("codec", [NONE, ZSTD])
def test_lies_about_numbers_and_offsets_are_one_refusal(
    payload: bytes, count: int, last: int, codec: int
) -> None:
    """Reading goes on where the broker says that the next batch begins."""
    raw = batch(compressed(payload, codec), count, codec, last=last, base=10)
    behind = batch(records(THREE), 3, base=11 + last)
    found, ends = read(raw + behind)
    assert only(found[:1]).rejection.reason is Reason.MALFORMED
    assert found[0].offset == 10 + last
    assert (len(found), ends) == (4, 14 + last)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_does_not_exist_is_one_refusal(codec: int) -> None:
    """Whatever a broker of the future takes."""
    assert only(read(batch(records(THREE), 3, codec))[0]).offset == 2


def test_a_batch_that_does_not_match_the_checksum_is_fetched_again_before_it_is_refused() -> None:
    """It may have been damaged on its way; if it lies on the disk like that, it stops nothing."""
    good = batch(records(THREE), 3)
    raw = good + batch(records(THREE), 3, base=3, crc=1) + batch(records(THREE), 3, base=6)
    for _ in range(2):
        found, ends = read(raw)
        assert (len(found), ends) == (3, 3)
    found, ends = read(raw)
    assert "does not match its checksum" in only(found[3:4]).rejection.sentence
    assert found[3].offset == 5
    assert (len(found), ends) == (7, 9)
    assert len(read(raw)[0]) == 3  # another time, it is tried again as well


def test_a_last_offset_that_the_checksum_does_not_bear_out_moves_nothing() -> None:
    """Else one flipped bit could take all that follows with it."""
    raw = batch(records(THREE), 3, last=2_000_000, crc=1) + batch(records(THREE), 3, base=3)
    for begin in range(3):
        while len(found := read(raw, begin)[0]) == 0:
            pass
        assert only(found[:1]).offset == begin


def test_a_bomb_in_an_aborted_transaction_is_not_even_unpacked() -> None:
    """Nor is it refused: it never counted."""
    hostile = batch(b"no zstd at all", 1, ZSTD | TRANSACTIONAL)
    found, ends = read(hostile + batch(records(THREE), 3, base=1), aborted=[(-1, 0)])
    assert (values(found), ends) == ([(1 + at, value) for at, value in enumerate(THREE)], 4)


def test_control_batches_are_passed_over() -> None:
    """They are markers of the broker."""
    marker = batch(record(b"\0" * 6, key=b"\0\0\0\1"), 1, TRANSACTIONAL | CONTROL)
    assert read(marker) == ([], 1)


def test_memory_that_is_not_there_is_no_fault_of_the_batch(monkeypatch: Any) -> None:
    """It is not refused for that; it is fetched again."""

    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(bounded_fetch, "decompress", fails)
    with pytest.raises(MemoryError):
        read(batch(compressed(records(THREE), ZSTD), 3, ZSTD))


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_what_is_no_stream_at_all_is_corrupt(codec: int) -> None:
    """In one word, whatever the library says."""
    for packed in (b"\xff" * 100, b"\x82SNAPPY\0" + bytes(8) + b"\xff\xff\xff\xff"):
        with pytest.raises(CorruptBatchError):
            decompress(codec, memoryview(packed), MB)


def test_a_refusal_says_the_same_each_time() -> None:
    """So a rebuild's dead letter is known as the same one."""
    raw = batch(compressed(records(THREE), LZ4)[:-4], 3, LZ4)
    one, other = (only(read(raw)[0]) for _ in range(2))
    assert (one.fingerprint, str(one.rejection)) == (other.fingerprint, str(other.rejection))
    outcomes = decode_all("usage.flows", read(raw)[0])
    assert [isinstance(one, RejectedError) for one in outcomes] == [True]


# --------------------------------------------------------------------- how much at a time


class _Fetched:
    """Several partitions with fetched records, as a fetcher holds them."""

    def __init__(self, raws: dict[TopicPartition, bytes]) -> None:
        self.fetcher = bounded_fetch._BoundedFetcher.__new__(bounded_fetch._BoundedFetcher)
        self.positions = {tp: SimpleNamespace(paused=False, position=0) for tp in raws}
        self.fetcher._closed = False
        self.fetcher._subscriptions = SimpleNamespace(reassignment_in_progress=False)
        self.fetcher._wait_consume_future = None
        self.fetcher._notify = lambda _: None
        self.fetcher._records = OrderedDict(
            (tp, self._result(tp, fetched(raw))) for tp, raw in raws.items()
        )

    def _result(self, tp: TopicPartition, records: Any) -> Any:
        state = self.positions[tp]
        state.consumed_to = lambda offset: setattr(state, "position", offset)
        assignment = SimpleNamespace(active=True, state_value=self.positions.__getitem__)
        return fetcher.FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)

    def more(self) -> dict[int, int]:
        """Return how many records of each partition are handed over now."""
        found = asyncio.run(self.fetcher.fetched_records((), timeout=0))
        return {tp.partition: len(records) for tp, records in found.items()}


def test_a_partition_full_of_bombs_lets_the_others_have_their_turn() -> None:
    """[bomb][bomb]... beside [honest]: one bomb is unpacked, then the honest one is read."""
    install(20 * MB)
    bombs = b"".join(batch(bomb(ZSTD, 21 * MB), 1, ZSTD, base=at) for at in range(5))
    places = [TopicPartition("usage.flows", number) for number in range(3)]
    honest = batch(records(THREE), 3)
    blocked = _Fetched(dict(zip(places, (bombs, bombs, honest), strict=True)))
    assert [blocked.more() for _ in range(4)] == [{0: 1}, {1: 1}, {2: 3, 0: 1}, {1: 1}]


def test_small_batches_of_all_partitions_are_handed_over_at_once() -> None:
    """And what is large beside them in pieces; a batch is finished before another is begun."""
    places = [TopicPartition("usage.flows", number) for number in range(4)]
    large = batch(compressed(records([bytes(MB)] * 30), ZSTD), 30, ZSTD)
    small = batch(records(THREE), 3)
    behind = batch(records(THREE), 3, base=30)
    blocked = _Fetched(dict(zip(places, (small, large + behind, small, small), strict=True)))
    assert blocked.more() == {0: 3, 1: 8, 2: 3, 3: 3}
    assert [blocked.more() for _ in range(5)] == [{1: 8}, {1: 8}, {1: 6}, {1: 3}, {}]


def test_what_fails_in_the_middle_is_fetched_again_from_the_beginning(monkeypatch: Any) -> None:
    """aiokafka would go on behind the records that were lost with the error."""
    raw = batch(records(THREE), 3) + batch(compressed(records(THREE), ZSTD), 3, ZSTD, base=3)
    blocked = _Fetched({FLOWS: raw})

    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(bounded_fetch, "decompress", fails)
    with pytest.raises(MemoryError):
        blocked.more()
    assert blocked.more() == {}
    assert blocked.positions[FLOWS].position == 0
    assert not blocked.fetcher._records
