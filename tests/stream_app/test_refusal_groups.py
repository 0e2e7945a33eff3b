"""Refused records by cause, and whose they are."""

from datetime import UTC, datetime

import pytest

from stream_app.dead_letter_reader import RejectedRecord, Rejection
from stream_app.dead_letters import Headers, Place
from stream_app.event_names import names_of
from stream_app.refusal_groups import advice_on, cause_of, grouped
from stream_app.rejection import ADVICE, Reason
from tests.support.event_lines import flow

BATCH = b"application/cloudevents-batch+json"
STRUCTURED = b"application/cloudevents+json"


@pytest.mark.parametrize(
    ("sentence", "cause"),
    [
        ("data.flow is missing", "data.flow is missing"),
        ("data.application is not valid: invalid enum value 'fax'",
         "data.application is not valid: invalid enum value …"),
        ("type is “usage.flow.rum”, which is no type", "type is …, which is no type"),
        ("the event has 70000 bytes; 65536 are the most it may have",
         "the event has … bytes; 65536 are the most it may have"),
        ("time lies 7201 seconds after the record's own timestamp; 300 are allowed",
         "time lies … seconds after the record's own timestamp; 300 are allowed"),
        ("id contains the character U+0007", "id contains the character …"),
        ("a batch of 42,822 bytes (lz4), offsets 7 to 9, is corrupt",
         "a batch of … bytes (lz4), …, is corrupt"),
        ("subject: an account id has 1 to 128 of the characters A-Z, not “a b”",
         "subject: an account id has 1 to 128 of the characters A-Z, not …"),
    ],
)  # fmt: skip
def test_a_cause_is_a_sentence_without_what_differs(sentence: str, cause: str) -> None:
    """What a rule allows stays, what one event has goes; a cause is its own cause."""
    assert cause_of(sentence) == cause
    assert cause_of(cause) == cause


def test_groups_begin_with_the_largest_and_show_the_newest() -> None:
    """Of records of one cause; accounts that are known are named."""
    records = [
        rejected(1, Reason.INVALID_DATA, "value 'a'", "acme"),
        rejected(2, Reason.MALFORMED, "it is not UTF-8", None),
        rejected(4, Reason.INVALID_DATA, "value 'b'", "rival"),
        rejected(3, Reason.INVALID_DATA, "value 'c'", "acme"),
    ]
    first, second = grouped(records)
    assert (first.reason, first.cause, first.records) == ("invalid-data", "value …", 3)
    assert (first.sample, first.first_at, first.last_at) == (records[2], at(1), at(4))
    assert first.accounts == {"acme", "rival"}
    assert (second.records, second.accounts) == (1, frozenset())


def rejected(second: int, reason: str, sentence: str, account: str | None) -> RejectedRecord:
    """Return a record that was rejected at a second."""
    rejection = Rejection(at(second), Place("usage.flows", 0, second), reason, sentence, 0)
    return RejectedRecord(None, None, [], account, str(second), [rejection])


def at(second: int) -> datetime:
    """Return an instant."""
    return datetime.fromtimestamp(second, UTC)


def test_every_reason_has_advice_without_markup() -> None:
    """What terminals and pages show; a reason that nobody knows has some, too."""
    assert set(ADVICE) == set(Reason)
    texts = [text for reason in Reason for text in advice_on(reason)]
    assert not any(mark in text for text in texts for mark in "`[]#")
    assert advice_on("invalid-attribute").to_do == (
        "The sentence names it; see Attributes and Time in docs/events.md."
    )
    assert advice_on("of-tomorrow").to_do


@pytest.mark.parametrize(
    ("headers", "value", "reason", "account", "owner"),
    [
        ([], flow(1, subject="acme"), Reason.SEALED, "acme", "acme"),
        ([("ce_subject", b"acme")], b"{}", Reason.INVALID_DATA, "acme", "acme"),
        ([("ce_subject", b"rival"), ("ce_subject", b"acme")], b"{}", Reason.FUTURE,
         "rival", "acme"),
        # A header that the event does not read, since it is structured.
        ([("content-type", STRUCTURED), ("ce_subject", b"acme")], flow(1, subject="rival"),
         Reason.INVALID_DATA, "acme", "rival"),
        # A value that the event does not read, since it is binary.
        ([("ce_type", b"x")], flow(1, subject="acme"), Reason.UNKNOWN_TYPE, "acme", None),
        ([("content-type", BATCH), ("ce_subject", b"acme")], b"[]", Reason.UNKNOWN_TYPE,
         "acme", None),
        ([("ce_subject", b"acme")], b"\xff", Reason.MALFORMED, "acme", None),
        ([("ce_subject", b"acme")], b"{}", Reason.TOO_LARGE, "acme", None),
        ([], b'{"subject":"a b"}', Reason.INVALID_ATTRIBUTE, "a b", None),
        ([], b'{"subject":["acme"]}', Reason.INVALID_ATTRIBUTE, None, None),
        ([], b"\xff", Reason.INVALID_DATA, None, None),
    ],
)  # fmt: skip
def test_a_record_is_the_account_s_that_the_worker_read(
    headers: Headers, value: bytes, reason: Reason, account: str | None, owner: str | None
) -> None:
    """What could not be decoded belongs to nobody, whatever its headers say."""
    found, names = names_of(headers, value, reason)
    assert (found, names.owner) == (account, owner)


def test_names_of_an_event_are_short() -> None:
    """A list keeps many of them."""
    _, names = names_of([], b'{"id":"%b","source":7}' % (b"x" * 5000), Reason.SEALED)
    assert names.id == "x" * 256
    assert names.source is None
