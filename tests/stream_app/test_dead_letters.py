"""Dead letters: the record as it was, five headers more, and the history by markers."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any, NamedTuple

import pytest
from aiokafka.structs import ConsumerRecord

from stream_app.dead_letter_reader import RejectedRecord, assemble
from stream_app.dead_letters import (
    Marker,
    Place,
    dead_letter,
    marker_headers,
    read_dead_letter,
    read_marker,
    shortened,
)
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError

ORIGIN = Place("usage.flows", 3, 1204)
AGAIN = Place("usage.flows", 1, 77)
ONCE_MORE = Place("usage.flows", 1, 90)
WORKERS = ["usage-reason", "usage-sentence", "usage-topic", "usage-partition", "usage-offset"]


def record(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, Any]], place: Place = ORIGIN
) -> ConsumerRecord:
    """Return a record as the consumer hands it over."""
    return ConsumerRecord(
        topic=place.topic, partition=place.partition, offset=place.offset, timestamp=0,
        timestamp_type=0, key=key, value=value, checksum=None, serialized_key_size=0,
        serialized_value_size=0, headers=headers,
    )  # fmt: skip


class Message(NamedTuple):
    """A record of `usage.dead-letters` as its reader gets it."""

    answer: Any
    second: int
    where: int = 0

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        return self.answer.headers

    @property
    def key(self) -> bytes | None:
        return self.answer.key

    @property
    def value(self) -> bytes | None:
        return self.answer.value

    @property
    def timestamp(self) -> int:
        return self.second * 1000

    @property
    def partition(self) -> int:
        return self.where


def refused(place: Place, second: int, value: bytes = b"v", where: int = 0) -> Message:
    """Return the dead letter of a record with *value*, refused at *place*."""
    letter = dead_letter(
        record(b"k", value, [], place), RejectedError(Reason.FUTURE, f"at {second}")
    )
    return Message(letter, second, where)


def short(message: Message, least: bool = False) -> Message:
    """Return the same dead letter without its value, or with as little as possible."""
    return message._replace(answer=shortened(message.answer)[-1 if least else 0])


def replayed(place: Place, again: Place, second: int, where: int = 0) -> Message:
    """Return the marker that says so."""
    headers = marker_headers(Marker(place, again))
    return Message(record(None, None, headers), second, where)


def only(*messages: Message) -> RejectedRecord:
    """Return the one record that *messages* tell of."""
    (found,) = assemble(messages)
    return found


# ------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("key", [None, b"", b"acme", b"\xff\x00"])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff\x00" * 1000])
@pytest.mark.parametrize(
    "headers", [[], [("ce_id", b"1"), ("ce_id", b"\xff"), ("empty", None), ("usage-reason", b"x")]]
)
def test_the_record_is_kept_as_it_was(key, value, headers):
    """Key, value and headers are untouched, also those that repeat, are null or look like ours."""
    letter = dead_letter(record(key, value, headers), RejectedError(Reason.FUTURE, "why"))
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers[:-5] == headers
    answer = read_dead_letter(letter.headers)
    assert answer == ("future", "why", ORIGIN, headers, None)


def test_five_headers_say_why_and_from_where():
    """The last five headers are the reason, the sentence and where the record was published."""
    letter = dead_letter(
        record(b"k", b"v", []), RejectedError(Reason.INVALID_DATA, "data.flow “é” …")
    )
    assert letter.headers == [
        ("usage-reason", b"invalid-data"),
        ("usage-sentence", "data.flow “é” …".encode()),
        ("usage-topic", b"usage.flows"),
        ("usage-partition", b"3"),
        ("usage-offset", b"1204"),
    ]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_goes_into_a_header(reason):
    """A reason's code is lower-case words joined by dashes."""
    (name, code), *_ = dead_letter(record(None, None, []), RejectedError(reason, "why")).headers
    assert (name, code) == ("usage-reason", reason.value.encode())
    assert code.replace(b"-", b"").isalpha()
    assert code.islower()


def test_a_producer_cannot_write_our_headers():
    """A record that looks like a dead letter or a marker is read by the worker's headers."""
    forged = dead_letter(record(b"k", b"v", []), RejectedError(Reason.MALFORMED, "forged")).headers
    short = shortened(
        dead_letter(record(b"k", b"v", []), RejectedError(Reason.MALFORMED, "forged"))
    )
    for own in (forged, short[0].headers, marker_headers(Marker(ORIGIN, AGAIN))):
        letter = dead_letter(record(b"k", None, own, AGAIN), RejectedError(Reason.FUTURE, "true"))
        assert read_marker(letter.headers) is None
        assert read_dead_letter(letter.headers) == ("future", "true", AGAIN, own, None)


@pytest.mark.parametrize(
    "values",
    [
        (b"future", b"why", b"usage.flows", b"3", b"x"),
        (b"future", b"why", b"usage.flows", b"-1", b"0"),
        (b"future", b"why", b"somewhere", b"3", b"1"),
        (b"future", b"why", b"usage.flows", None, b"1"),
    ],
)
def test_what_the_worker_did_not_write_is_no_dead_letter(values):
    """It is passed over, so that nothing is ever sent to a place that is none."""
    headers = list(zip(WORKERS, values, strict=True))
    assert read_dead_letter(headers) is None
    assert assemble([Message(record(b"k", b"v", headers), 1)]) == []


@pytest.mark.parametrize(
    "text",
    [None, b"", b"\xff", b"sha256 0", b"value 1", b"value x, sha256 0", b"rest 1, sha256 0"],
)
def test_a_dead_letter_that_does_not_say_what_it_leaves_out_is_none(text):
    """The worker did not write it."""
    headers = [*dead_letter(record(b"k", b"v", []), RejectedError(Reason.FUTURE, "why")).headers]
    assert read_dead_letter([*headers, ("usage-left-out", text)]) is None


@pytest.mark.parametrize("text", [b"", b"usage.flows/3", b"usage.flows/3/+4", b"x/0/0", b"\xff"])
def test_a_marker_that_names_no_place_is_none(text):
    """It is passed over, too."""
    assert (
        read_marker([("usage-replayed", b"usage.flows/3/4"), ("usage-replayed-as", text)]) is None
    )


# ---------------------------------------------------------------------------- what is read


def test_a_record_is_open_while_every_copy_of_it_was_refused():
    """Replayed it is not open; refused again it is; and so on."""
    answer = [
        refused(ORIGIN, 1),
        replayed(ORIGIN, AGAIN, 2),
        refused(AGAIN, 3),
        replayed(AGAIN, ONCE_MORE, 4),
    ]
    assert [only(*answer[:count]).open for count in (1, 2, 3, 4)] == [True, False, True, False]


def test_one_counted_copy_is_enough():
    """Sent twice, a record of which one copy was refused is not open."""
    twice = [replayed(ORIGIN, AGAIN, 2), replayed(ORIGIN, ONCE_MORE, 3)]
    assert not only(refused(ORIGIN, 1), *twice, refused(AGAIN, 4)).open
    assert only(refused(ORIGIN, 1), *twice, refused(AGAIN, 4), refused(ONCE_MORE, 5)).open


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_the_history_is_reported_in_order_however_partitions_are_read(order):
    """The marker is behind its own dead letter; those of the copies are anywhere."""
    partitions = [
        [refused(ORIGIN, 1, where=0), replayed(ORIGIN, AGAIN, 3, where=0)],
        [refused(AGAIN, 2, where=1), replayed(AGAIN, ONCE_MORE, 4, where=1)],
        [refused(ONCE_MORE, 5, where=2)],
    ]
    found = only(*(message for at in order for message in partitions[at]))
    assert (found.origin, found.newest.sentence, found.open) == (ORIGIN, "at 5", True)
    places = [answer.place for answer in found.history()]
    assert places == [ORIGIN, AGAIN, AGAIN, ONCE_MORE, ONCE_MORE]


def test_a_refusal_that_is_reported_again_changes_nothing():
    """A crash or a rebuild refuses the same record again, also after it was replayed."""
    found = only(refused(ORIGIN, 1), replayed(ORIGIN, AGAIN, 2), refused(ORIGIN, 3))
    assert not found.open
    assert len(found.rejections) == 1


def test_another_record_at_the_same_place_is_another_record():
    """A topic that was created again uses its offsets again; nothing is hidden by that."""
    old, new = assemble(
        [refused(ORIGIN, 1, b"old"), replayed(ORIGIN, AGAIN, 2), refused(ORIGIN, 3, b"new")]
    )
    assert (old.value, old.open) == (b"old", False)
    assert (new.value, new.open) == (b"new", True)
    assert new.newest.at - old.newest.at == timedelta(seconds=2)


def test_places_that_lead_round_in_a_circle_hide_nothing():
    """Absurd, but the command ends and both are open."""
    answer = [refused(ORIGIN, 1), refused(AGAIN, 1)]
    answer += [replayed(ORIGIN, AGAIN, 2), replayed(AGAIN, ORIGIN, 3)]
    assert all(found.open for found in assemble(answer))


def test_a_marker_without_the_dead_letter_says_nothing():
    """Kafka deleted the dead letter; the copy's own rejection is then the first one."""
    found = only(replayed(ORIGIN, AGAIN, 2), refused(AGAIN, 3))
    assert (found.origin, found.open) == (AGAIN, True)


@pytest.mark.parametrize("least", [False, True])
def test_a_shortened_dead_letter_names_what_is_missing(least):
    """Its record is named by where it came from, as any; what there is of it is shown."""
    found = only(short(refused(ORIGIN, 1, b"x" * 4000), least))
    assert (found.origin, found.newest.reason, found.open) == (ORIGIN, "future", True)
    assert (found.key, found.headers) == (None if least else b"k", [])
    missing = {"value": 4000, "key": 1} if least else {"value": 4000}
    assert found.left_out is not None
    assert found.left_out.sizes == missing


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_a_record_is_one_whether_the_dead_letters_are_shortened_or_not(order):
    """The topic's limit was changed between two refusals: the bytes are those of the whole one."""
    partitions = [
        [short(refused(ORIGIN, 1, where=0), least=True)],
        [refused(ORIGIN, 2, where=1), replayed(ORIGIN, AGAIN, 3, where=1)],
        [short(refused(AGAIN, 4, where=2))],
    ]
    found = only(*(message for at in order for message in partitions[at]))
    assert (found.origin, found.open) == (ORIGIN, True)
    assert [answer.place for answer in found.history()] == [ORIGIN, AGAIN, AGAIN]
    assert (found.key, found.value, found.left_out) == (b"k", b"v", None)


def test_another_record_without_the_value_is_another_record():
    """Though it is as long, and was at the same place of a topic created again."""
    messages = [refused(ORIGIN, 1, b"old"), short(refused(ORIGIN, 2, b"new"))]
    old, new = assemble(messages)
    assert (old.value, old.left_out) == (b"old", None)
    assert new.left_out is not None


@pytest.mark.parametrize(
    ("headers", "value", "account"),
    [
        ([], b'{"subject": "acme"}', "acme"),
        ([("ce_subject", b"acme")], b'{"subject": "data, not attribute"}', "acme"),
        ([("ce_subject", b"\xff")], b"", "\N{REPLACEMENT CHARACTER}"),
        ([], b'{"subject": 7}', None),
        ([], b'["subject"]', None),
        ([], b"not json", None),
        ([], None, None),
    ],
)
def test_the_account_is_read_where_it_can_be(headers, value, account):
    """From the header in binary mode, otherwise from the value, if that is JSON."""
    letter = dead_letter(record(None, value, headers), RejectedError(Reason.FUTURE, "why"))
    assert only(Message(letter, 1)).account == account


def test_a_list_keeps_no_bytes():
    """What producers sent may be large; what a list says of it is not."""
    (found,) = assemble([refused(ORIGIN, 1, b"x" * 4000)], with_bytes=False)
    assert (found.key, found.value, found.headers) == (None, None, [])
    assert found == replace(only(refused(ORIGIN, 1, b"x" * 4000)), key=None, value=None)


@pytest.mark.parametrize("second", [-1, -(2**50), 2**50])
def test_a_timestamp_that_no_calendar_has_is_no_obstacle(second):
    """Whoever may write there can make one up."""
    assert only(refused(ORIGIN, second)).origin == ORIGIN


def test_a_batch_that_could_not_be_read_is_one_dead_letter():
    """Named by its first record, with its size and fingerprint, and nothing of its bytes."""
    why = RejectedError(Reason.TOO_LARGE, "too much")
    batch = RejectedBatch(
        "usage.flows", 3, 1290, 0, 0, None, None, None, -1, -1, (),
        rejection=why, base_offset=1204, batch_bytes=43_210, fingerprint="5f3a",
    )  # fmt: skip
    letter = dead_letter(batch, why)
    assert (letter.key, letter.value, len(letter.headers)) == (None, b"", 6)
    assert letter.headers[-1] == ("usage-left-out", b"batch 43210, sha256 5f3a")
    assert shortened(letter) == []
    found = only(Message(letter, 1))
    assert (found.origin, found.newest.reason, found.open) == (ORIGIN, "too-large", True)
    assert found.left_out is not None
    assert found.left_out.sizes == {"batch": 43_210}
