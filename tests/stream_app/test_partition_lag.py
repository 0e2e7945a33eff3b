"""How far a partition is behind, in offsets and in seconds: look by look, under a clock by hand."""

from rollups.watermark import Position
from stream_app.broker import Span
from stream_app.partition_lag import PartitionLag, PartitionLags

A = "usage.flows/0@id"


def lag(lags: PartitionLags, now: int, counted: int, end: int, stable: int | None = None) -> tuple:
    """Return the lag at a look that sees A counted up to *counted*, ending at *end*."""
    span = Span(0, end if stable is None else stable, end)
    return lags.observe(now, {A: Position(counted)}, {A: span})[A]


def test_what_is_counted_is_not_behind() -> None:
    """However long nothing comes."""
    lags = PartitionLags()
    assert lag(lags, 100, 5, 5) == PartitionLag(0, 0, 0)
    assert lag(lags, 900, 5, 5) == PartitionLag(0, 0, 0)


def test_seconds_grow_until_the_end_that_was_seen_is_reached() -> None:
    """look  100: 5 of 9    110: 7 of 20    120: 9 of 30 (the end of 100)    130: all."""
    lags = PartitionLags()
    assert lag(lags, 100, 5, 9) == PartitionLag(4, 0, 0)
    assert lag(lags, 110, 7, 20) == PartitionLag(13, 0, 10)
    assert lag(lags, 120, 9, 30) == PartitionLag(21, 0, 20)
    assert lag(lags, 125, 10, 30).seconds == 25
    assert lag(lags, 130, 30, 30) == PartitionLag(0, 0, 0)


def test_another_worker_goes_on_with_what_is_known() -> None:
    """Everything was counted up to the second 40, when the one before it looked last."""
    assert lag(PartitionLags(since=40), 100, 5, 9).seconds == 60


def test_a_new_partition_was_not_behind_before_it_was_there() -> None:
    """Its records came after the last look."""
    lags = PartitionLags(since=40)
    lag(lags, 100, 5, 9)
    assert lags.observe(101, {}, {"usage.flows/1@id": Span(0, 3, 3)}) == {
        "usage.flows/1@id": PartitionLag(3, 0, 0)
    }


def test_what_is_behind_an_open_transaction_is_both() -> None:
    """7 to 12 cannot be read; 5 and 6 could be."""
    assert lag(PartitionLags(), 100, 5, 12, stable=7) == PartitionLag(7, 5, 0)


def test_deleted_records_do_not_wait() -> None:
    """A position before the first offset that Kafka has."""
    seen = PartitionLags().observe(100, {A: Position(2)}, {A: Span(6, 9, 9)})
    assert seen[A].records == 3
