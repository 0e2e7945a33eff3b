"""The codec: which records are events, what they say, and the reason and sentence for the rest."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent

from rollups.events import (
    AssistClicked,
    CallMinutes,
    EventVoided,
    FlowRun,
    NumberPurchased,
    NumberReleased,
    OriginalEvent,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.timestamps import parse_rfc3339
from stream_app.codec import EARLIEST, MAX_EVENT_BYTES, decode, envelope
from stream_app.rejection import Reason
from stream_app.topics import CALLS, FLOWS, SESSIONS, TOPIC_OF
from tests.stream_app.usage_events import (
    KINDS,
    NOTHING,
    binary,
    example,
    read,
    refused,
    structured,
    with_data,
)

FLOW, CALL, START = "usage.flow.run", "usage.call.minutes", "usage.session.started"
STRUCTURED = [("content-type", b"application/cloudevents+json")]

SAID = {
    "usage.session.started": SessionStarted("s-4711", "agent"),
    "usage.session.stopped": SessionStopped("s-4711", "agent"),
    "usage.flow.run": FlowRun("reset-password", "web-self-service", "abandoned"),
    "usage.assist.clicked": AssistClicked("chat", "mobile-web", "reset-password"),
    "usage.call.minutes": CallMinutes(12_500, "c-88"),
    "usage.sms.sent": SmsSent(True, "spring"),
    "usage.number.purchased": NumberPurchased("+33123456789"),
    "usage.number.released": NumberReleased("+33123456789"),
    "usage.event.voided": EventVoided(
        OriginalEvent(
            "/apps/desk/eu-1", "01J9ZQ3Z8K", parse_rfc3339("2026-10-05T09:12:00Z"),
            FlowRun("reset-password", "agent"),
        ),
        "sent twice under two ids", "m.weber",
    ),
    "usage.session.corrected": SessionCorrected(
        "s-4711", "agent", parse_rfc3339("2026-10-05T09:00:00Z"),
        parse_rfc3339("2026-10-05T10:45:00.250Z"), "the stop was lost", "m.weber",
    ),
}  # fmt: skip


def void(**changes: Any) -> dict[str, Any]:
    """Return a void with these *changes* of the event that it takes back."""
    original = example("usage.event.voided")["data"]["event"]
    return with_data("usage.event.voided", event=original | changes)


@pytest.mark.parametrize(
    ("event", "reason", "sentence"),
    [
        (
            void(type="usage.session.started", data={"session": "s", "application": "agent"}),
            Reason.INVALID_DATA,
            "data.event.type is usage.session.started, which cannot be voided: a session is "
            "corrected by usage.session.corrected, and a correction is final",
        ),
        (
            void(type="usage.fax.sent"), Reason.INVALID_DATA,
            "data.event.type is “usage.fax.sent”, which is no type of usage event",
        ),
        (void(data={}), Reason.INVALID_DATA, "data.event.data.flow is missing"),
        (
            void(type="usage.call.minutes", data={"minutes": 0}), Reason.INVALID_DATA,
            "data.event.data.minutes must be above 0 and at most 100000000, not “0”",
        ),
        (void(id=""), Reason.INVALID_DATA, "data.event.id is empty"),
        (void(time="1999-12-31T23:59:59Z"), Reason.TOO_OLD, "data.event.time lies before"),
        (
            with_data("usage.session.corrected", stop="2026-10-05T08:59:59.999999Z"),
            Reason.INVALID_DATA,
            "data.stop, “2026-10-05T08:59:59.999999Z”, lies before data.start, "
            "“2026-10-05T09:00:00Z”",
        ),
        (
            with_data("usage.session.corrected", start="yesterday"), Reason.INVALID_DATA,
            "data.start: 'yesterday' is not an RFC 3339 time with an offset",
        ),
    ],
)  # fmt: skip
def test_a_correction_that_cannot_be_is_refused(event, reason, sentence):
    """In a sentence that names the member."""
    why = refused(TOPIC_OF[event["type"]], structured(event))
    assert why.reason == reason
    assert why.sentence.startswith(sentence)


def base64_event(event: dict[str, Any]) -> bytes:
    """Return *event* as a structured record whose data is in `data_base64`."""
    data = structured(event["data"])
    rest = {name: value for name, value in event.items() if name != "data"}
    return structured({**rest, "data_base64": base64.b64encode(data).decode()})


# ------------------------------------------------------------------ what is accepted


@pytest.mark.parametrize("kind", KINDS)
def test_each_type_says_what_the_data_says(kind):
    """Every type becomes its own typed data, with the identity, account and instant it names."""
    event = read(example(kind))
    assert (event.source, event.id, event.account) == ("/apps/desk/eu-1", "01J9ZQ4C7M", "acme")
    assert event.time == int(datetime(2026, 10, 5, 7, 30, tzinfo=UTC).timestamp()) * 10**6 + 250_000
    assert event.data == SAID[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_all_modes_are_the_same_event(kind):
    """Structured, with and without its media type, binary and data_base64 give equal events."""
    event = example(kind, datacontenttype="application/json")
    topic, value = TOPIC_OF[kind], structured(event)
    expected = decode(topic, value)
    assert decode(topic, value, STRUCTURED) == expected
    assert decode(topic, *binary(event)) == expected
    assert decode(topic, base64_event(event)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [sdk.to_structured_event, sdk.to_binary_event])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_official_sdk_is_a_producer(kind, make, as_bytes):
    """What the CloudEvents SDK makes of a dictionary or of bytes is read without an adapter."""
    attributes = {name: value for name, value in example(kind).items() if name != "data"}
    attributes["time"] = datetime(2026, 10, 5, 9, 30, 0, 250_000, timezone(timedelta(hours=2)))
    attributes |= {"partitionkey": "acme", "datacontenttype": "application/json"}
    data = example(kind)["data"]
    message = make(CloudEvent(attributes, structured(data) if as_bytes else data))
    assert message.key == "acme"
    assert decode(TOPIC_OF[kind], message.value, list(message.headers.items())) == read(
        example(kind)
    )


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (FLOW, {"flow": "f", "application": "agent"}, FlowRun("f", "agent", "completed")),
        ("usage.assist.clicked", {"service": "email"}, AssistClicked("email")),
        (CALL, {}, CallMinutes(1000)),
        ("usage.sms.sent", {}, SmsSent(True)),
        ("usage.sms.sent", {"link": False}, SmsSent(False)),
        ("usage.sms.sent", {"link": True, "campaign": "🛟" * 200}, SmsSent(True, "🛟" * 200)),
    ],
)
def test_what_is_left_out_has_the_default(kind, data, said):
    """Optional members may be missing."""
    assert read(example(kind, data=data)).data == said


def test_unknown_members_are_ignored_everywhere():
    """Extension attributes and members of data that nobody knows change nothing."""
    event = with_data(FLOW, colour="red", nested={"a": [1, None]})
    event |= {"traceparent": "00-1", "dataschema": None, "n": 1}
    assert read(event) == read(example(FLOW))


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/cloudevents+json",
        b"application/cloudevents+json; charset=UTF-8",
        b"Application/CloudEvents+JSON;charset=utf-8",
        b"application/cloudevents",
    ],
)
def test_the_media_type_decides_the_mode(media_type):
    """With the CloudEvents media type the value is the event, whatever `ce_` headers say."""
    headers = [("ce_id", b"another"), ("content-type", media_type), ("ce_specversion", b"9")]
    assert decode(FLOWS, structured(example(FLOW)), headers) == read(example(FLOW))


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b"application/JSON",
        b"text/json",
        b"application/vnd.acme.usage.v1+json",
        b" application/json ;charset=utf-8",
        None,
    ],
)
def test_data_is_json_by_any_of_the_media_types(media_type):
    """In binary mode the content-type says what data is; none means JSON."""
    value, headers = binary(example(FLOW))
    assert decode(FLOWS, value, [*headers, ("content-type", media_type)]) == read(example(FLOW))


def test_other_headers_are_nobodys_business():
    """Headers that are no attributes may hold anything, in both modes."""
    others = [("trace", b"\xff\xfe"), ("empty", None), ("big", b"x" * 100_000), ("ce", b"\xff")]
    value, headers = binary(example(FLOW))
    assert decode(FLOWS, structured(example(FLOW)), others) == read(example(FLOW))
    assert decode(FLOWS, value, [*others, *headers]) == read(example(FLOW))


@pytest.mark.parametrize("name", ["ce_data", "ce_data_base64", "ce_datacontenttype", "ce_", "ce_x"])
def test_an_extension_may_be_called_anything(name):
    """A `ce_` header that names no attribute of CloudEvents is an extension, and ignored."""
    value, headers = binary(example(FLOW))
    assert decode(FLOWS, value, [*headers, (name, b"text/plain")]) == read(example(FLOW))


# ------------------------------------------------------------------ what is refused

GOOD = example(FLOW)
VALUE, HEADERS = binary(GOOD)


def _without(name: str) -> list[tuple[str, bytes | None]]:
    return [header for header in HEADERS if header[0] != name]


REFUSED = {
    # ----- malformed
    "nothing at all": (None, (), Reason.MALFORMED, "the record has no value"),
    "an empty value": (b"", (), Reason.MALFORMED, "the record has no value"),
    "no JSON": (b"hello", (), Reason.MALFORMED, "the value is not a JSON event: invalid character"),
    "half an event": (structured(GOOD)[:40], (), Reason.MALFORMED, "truncated"),
    "two events": (structured(GOOD) * 2, (), Reason.MALFORMED, "trailing characters"),
    "not UTF-8": (b'{"a":"\xff"}', (), Reason.MALFORMED, "it is not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + structured(GOOD), (), Reason.MALFORMED, "(byte 0)"),
    "an array": (b"[]", (), Reason.MALFORMED, "the value is JSON, but no object"),
    "null": (b"null", STRUCTURED, Reason.MALFORMED, "the value is JSON, but no object"),
    "a batch": (
        b"[" + structured(GOOD) + b"]",
        [("content-type", b"application/cloudevents-batch+json")],
        Reason.MALFORMED,
        "a record holds one event; batches are not read from Kafka",
    ),
    "another format": (
        b"\x00avro",
        [("content-type", b"application/cloudevents+avro")],
        Reason.MALFORMED,
        "the value is not a JSON event",
    ),
    # ----- unknown-type
    "no type of ours": (
        structured(example(FLOW, type="usage.flow.ran")),
        (),
        Reason.UNKNOWN_TYPE,
        "type is “usage.flow.ran”, which is no type of usage event",
    ),
    "a type of ours in capitals": (
        VALUE,
        [*_without("ce_type"), ("ce_type", b"Usage.Flow.Run")],
        Reason.UNKNOWN_TYPE,
        "type is “Usage.Flow.Run”",
    ),
    "a list for a type": (
        structured(example(FLOW, type=[FLOW])), (), Reason.INVALID_ATTRIBUTE,
        "type is not valid: expected a string",
    ),
    "an object for a type": (
        structured(example(FLOW, type={})), (), Reason.INVALID_ATTRIBUTE,
        "type is not valid: expected a string",
    ),
    # ----- invalid-attribute
    "no type": (b"{}", (), Reason.INVALID_ATTRIBUTE, "type is missing"),
    "no id": (structured(example(FLOW, id=NOTHING)), (), Reason.INVALID_ATTRIBUTE, "id is missing"),
    "an empty id": (structured(example(FLOW, id="")), (), Reason.INVALID_ATTRIBUTE, "id is empty"),
    "a number for an id": (
        structured(example(FLOW, id=7)), (), Reason.INVALID_ATTRIBUTE,
        "id is not valid: expected `str`, got `int`",
    ),
    "a line break in the source": (
        structured(example(FLOW, source="a\nb")), (), Reason.INVALID_ATTRIBUTE,
        "source contains the character U+000A",
    ),
    "a noncharacter in the id": (
        structured(example(FLOW, id="\U0003fffe")), (), Reason.INVALID_ATTRIBUTE,
        "id contains the character U+3FFFE",
    ),
    "another version": (
        structured(example(FLOW, specversion="0.3")), (), Reason.INVALID_ATTRIBUTE,
        "specversion is not valid: invalid enum value '0.3'",
    ),
    "another version in a header": (
        VALUE, [*HEADERS, ("ce_specversion", b"0.3")], Reason.INVALID_ATTRIBUTE,
        "specversion is “0.3”, not “1.0”",
    ),
    "an account with a space": (
        structured(example(FLOW, subject="ac me")), (), Reason.INVALID_ATTRIBUTE,
        "subject: an account id has 1 to 128 of the characters A-Z a-z 0-9 . _ : -, not “ac me”",
    ),
    "no time": (VALUE, _without("ce_time"), Reason.INVALID_ATTRIBUTE, "time is missing"),
    "a header without a value": (
        VALUE, [*_without("ce_id"), ("ce_id", None)], Reason.INVALID_ATTRIBUTE, "id is empty"
    ),
    "a header that is not UTF-8": (
        VALUE, [*HEADERS, ("ce_id", b"caf\xe9")], Reason.INVALID_ATTRIBUTE,
        "the header “ce_id” is not UTF-8",
    ),
    "data that is no JSON by its media type": (
        VALUE, [*HEADERS, ("content-type", b"text/plain")], Reason.INVALID_ATTRIBUTE,
        "datacontenttype is “text/plain”, not JSON",
    ),
    "a media type that only begins like JSON": (
        structured(example(FLOW, datacontenttype="application/json5")), (),
        Reason.INVALID_ATTRIBUTE, "datacontenttype is “application/json5”, not JSON",
    ),
    "a time beside data_base64 that is a number": (
        base64_event(example(FLOW, time=5)), (), Reason.INVALID_ATTRIBUTE,
        "time is not valid: expected a string",
    ),
    # ----- invalid-data
    "no data": (
        structured(example(FLOW, data=NOTHING)), (), Reason.INVALID_DATA, "data is missing"
    ),
    "no data in binary mode": (None, HEADERS, Reason.INVALID_DATA, "data is missing"),
    "data as a string": (
        structured(example(FLOW, data="{}")), (), Reason.INVALID_DATA,
        "data is not valid: expected `object`, got `str`",
    ),
    "data that is no JSON": (b"{", HEADERS, Reason.INVALID_DATA, "data is not valid JSON"),
    "data that is not UTF-8": (
        b'{"x":"\xff",' + VALUE[1:], HEADERS, Reason.INVALID_DATA,
        "data is not valid JSON: it is not UTF-8",
    ),
    "no flow": (
        structured(with_data(FLOW, flow=NOTHING)), (), Reason.INVALID_DATA, "data.flow is missing"
    ),
    "a flow of 201 characters": (
        structured(with_data(FLOW, flow="x" * 201)), (), Reason.INVALID_DATA,
        "data.flow is not valid: expected `str` of length <= 200",
    ),
    "an unknown application": (
        structured(with_data(FLOW, application="fax")), (), Reason.INVALID_DATA,
        "data.application is not valid: invalid enum value 'fax'",
    ),
    "data twice": (
        structured({**GOOD, "data_base64": "e30="}), (), Reason.INVALID_DATA,
        "data and data_base64 must not both be present",
    ),
    "broken data twice": (
        structured({**GOOD, "data": 1, "data_base64": "e30="}), (), Reason.INVALID_DATA,
        "data and data_base64 must not both be present",
    ),
    "data_base64 that is not": (
        structured(example(FLOW, data=NOTHING, data_base64="é")), (), Reason.INVALID_DATA,
        "data_base64 is not Base64",
    ),
    "data_base64 of another thing": (
        structured(example(FLOW, data=NOTHING, data_base64="e30=")), (), Reason.INVALID_DATA,
        "data.flow is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why_in_a_sentence(name):
    """Each broken record has its reason, and a sentence that names the member and what it needs."""
    value, headers, reason, phrase = REFUSED[name]
    why = refused(FLOWS, value, headers)
    assert why.reason is reason
    assert phrase in why.sentence
    assert str(why) == f"{reason}: {why.sentence}"


def test_every_reason_has_a_test_here():
    """The tables above and below reach each reason but `sealed`, which only the rollups know."""
    below = {Reason.TOO_LARGE, Reason.WRONG_TOPIC, Reason.FUTURE, Reason.TOO_OLD}
    assert {case[2] for case in REFUSED.values()} | below == {*Reason} - {"sealed"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("topic", [*dict.fromkeys(TOPIC_OF.values()), "usage.dead-letters", ""])
def test_a_type_belongs_on_one_topic(kind, topic):
    """On any topic but its own an event is refused, and the sentence names the right one."""
    if topic == TOPIC_OF[kind]:
        assert decode(topic, structured(example(kind)))
    else:
        why = refused(topic, structured(example(kind)))
        assert why.reason is Reason.WRONG_TOPIC
        assert f"{kind} belongs on the topic {TOPIC_OF[kind]}, not on {topic}" in why.sentence


# ------------------------------------------------------------------ limits, exactly


def test_64_kib_is_the_most_a_structured_event_may_have():
    """The value alone counts: 65,536 bytes are accepted, one more is refused."""
    room = MAX_EVENT_BYTES - len(structured(example(FLOW, padding="")))
    assert decode(FLOWS, structured(example(FLOW, padding="x" * room)))
    why = refused(FLOWS, structured(example(FLOW, padding="x" * (room + 1))))
    assert why.reason is Reason.TOO_LARGE
    assert why.sentence == "the event has 65537 bytes; 65536 are the most it may have"


def test_64_kib_is_the_most_a_binary_event_may_have():
    """Its data and the names and values of its own headers count together."""
    headers = [*HEADERS, ("content-type", b"application/json"), ("other", b"x" * 70_000)]
    taken = len(VALUE) + sum(len(name) + len(value or b"") for name, value in headers[:-1])
    room = MAX_EVENT_BYTES - taken - len("ce_padding")
    assert decode(FLOWS, VALUE, [*headers, ("ce_padding", b"x" * room)])
    assert refused(FLOWS, VALUE, [*headers, ("ce_padding", b"x" * (room + 1))]).reason == (
        Reason.TOO_LARGE
    )


@pytest.mark.parametrize(
    ("time", "accepted"),
    [
        ("2026-10-05T07:35:00Z", True),
        ("2026-10-05T09:35:00+02:00", True),
        ("2026-10-05T07:35:00.0000009Z", True),  # cut to the microsecond
        ("2026-10-05T07:35:00.000001Z", False),
        ("2026-10-05T07:35:01Z", False),
        ("9999-12-31T23:59:59Z", False),
        ("2000-01-01T00:00:00Z", True),
    ],
)
def test_five_minutes_ahead_is_the_most(time, accepted):
    """An event may lie 5 minutes after its record's timestamp, not a microsecond more."""
    stamp = int(datetime(2026, 10, 5, 7, 30, tzinfo=UTC).timestamp()) * 1000
    record = (FLOWS, structured(example(FLOW, time=time)), (), stamp)
    if accepted:
        assert decode(*record)
    else:
        assert refused(*record).reason is Reason.FUTURE


@pytest.mark.parametrize(
    "time",
    [
        "1999-12-31T23:59:59.9999999Z",
        "2000-01-01T00:59:59.999999+01:00",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
@pytest.mark.parametrize("stamp", [None, -1, 0])
def test_what_lies_before_2000_is_too_old(time, stamp):
    """To the microsecond, whatever the record's timestamp; it is a clock that was never set."""
    why = refused(FLOWS, structured(example(FLOW, time=time)), (), stamp)
    assert why.reason is Reason.TOO_OLD
    assert why.sentence == "time lies before 2000-01-01T00:00:00Z, the earliest allowed"
    value, headers = binary(example(FLOW, time=time))
    assert refused(FLOWS, value, headers, stamp).reason is Reason.TOO_OLD


@pytest.mark.parametrize("account", [".", ".."])
def test_accounts_that_no_path_reaches_are_refused(account):
    """`.` and `..`, which a browser takes out of an address; three dots are a name like any."""
    for record in (
        (structured(example(FLOW, subject=account)),),
        binary(example(FLOW, subject=account)),
    ):
        why = refused(FLOWS, *record)
        assert why.reason is Reason.INVALID_ATTRIBUTE
        assert why.sentence == f"subject: “{account}” cannot be an account id"
    assert read(example(FLOW, subject=f"{account}x")).account == f"{account}x"
    assert read(example(FLOW, subject="...")).account == "..."


@pytest.mark.parametrize(
    ("kind", "key", "again", "expected"),
    [
        (FLOW, "flow", "the last", "the last"),
        (FLOW, "application", "mobile-web", "mobile-web"),
        (CALL, "minutes", 2, 2000),
    ],
)
def test_of_a_member_given_twice_the_last_counts(kind, key, again, expected):
    """In both modes, in data and in the attributes around it."""
    event = example(kind)
    data = json.dumps(event["data"])[:-1] + f", {json.dumps(key)}: {json.dumps(again)}}}"
    value, headers = binary(event)
    whole = structured(example(kind, data="HERE")).replace(b'"HERE"', data.encode())
    for record in ((whole,), (data.encode(), headers)):
        answer = decode(TOPIC_OF[kind], *record)
        assert getattr(answer.data, "thousandths" if kind == CALL else key) == expected
    twice = structured(event)[:-1] + b', "id": "the last"}'
    assert decode(TOPIC_OF[kind], twice).id == "the last"
    assert decode(TOPIC_OF[kind], value, [*headers, ("ce_id", b"the last")]).id == "the last"
    other = b'{"type": "usage.sms.sent", ' + structured(event)[1:]
    assert decode(TOPIC_OF[kind], other) == read(event)


@pytest.mark.parametrize("name", ["CE_type", "ce-type", "Ce-Type"])
def test_a_header_with_a_misspelled_name_is_named(name):
    """Names of headers are case-sensitive, and other protocols spell these otherwise."""
    value, headers = binary(example(FLOW))
    renamed = [(name if old == "ce_type" else old, content) for old, content in headers]
    why = refused(FLOWS, value, renamed)
    assert why.sentence == (
        f"the header “{name}” is not read, for its name is not “ce_type”; so type is missing"
    )
    alone = refused(FLOWS, value, [(name, FLOW.encode())])
    assert alone.sentence.startswith(f"the header “{name}” is not read, for its name is not ")
    assert decode(FLOWS, value, [*headers, (name, b"other")])
    assert decode(FLOWS, structured(example(FLOW)), [(name, b"other")])


def test_a_misspelled_content_type_is_named():
    """It says structured, but is not read, and so the `ce_` headers beside it say binary."""
    headers = [*binary(example(FLOW))[1], ("Content-Type", b"application/cloudevents+json")]
    why = refused(FLOWS, structured(example(FLOW)), headers)
    assert why.sentence == (
        "the header “Content-Type” is not read, for its name is not “content-type”; so "
        "data.flow is missing"
    )


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "שלום", "ไทย", "한국어", "👩\u200d👩\u200d👧", "Ж" * 200]
)
def test_texts_of_every_script_are_accepted(text):
    """Joiners, too, which some scripts need; they are no control characters."""
    answer = read(example(FLOW, id=text, source=text, data={"flow": text, "application": "agent"}))
    assert (answer.id, answer.source, answer.data.flow) == (text, text, text)


def test_the_sentence_of_a_future_event_counts_the_seconds():
    """A fraction of a second too much is not reported as "300 seconds; 300 are allowed"."""
    why = refused(
        FLOWS, structured(example(FLOW, time="2000-01-01T00:05:00.000001Z")), (), EARLIEST // 1000
    )
    assert why.sentence == (
        "time lies 301 seconds after the record's own timestamp; 300 are allowed"
    )


def test_the_bound_is_exact_far_away():
    """Also where microseconds since 1970 are more than a float can hold with a fraction."""
    stamp = 253_402_300_799_000 - 300_000
    ends = "9999-12-31T23:59:59"
    assert decode(FLOWS, structured(example(FLOW, time=f"{ends}Z")), (), stamp)
    late = structured(example(FLOW, time=f"{ends}.000001Z"))
    assert refused(FLOWS, late, (), stamp).reason is Reason.FUTURE


@pytest.mark.parametrize("timestamp", [None, -1])
def test_without_a_timestamp_there_is_no_future(timestamp):
    """A record that has no timestamp sets no bound."""
    assert decode(FLOWS, structured(example(FLOW, time="2999-01-01T00:00:00Z")), (), timestamp)


@pytest.mark.parametrize(
    ("digits", "thousandths"),
    [
        ("1", 1000),
        ("0.001", 1),
        ("1e-3", 1),
        ("1E-03", 1),
        ("1.0000", 1000),
        ("0.10", 100),
        ("12.345", 12_345),
        ("1.001", 1001),  # times 1000 in binary floating point: 1000.9999999999999
        ("1.1e1", 11_000),
        ("1e0000000000000000000000001", 10_000),
        ("100000000", 100_000_000_000),
        ("99999999.999", 99_999_999_999),
        ("1" + "0" * 400 + "e-400", 1000),
        ("0." + "0" * 400 + "1e401", 1000),
        ("1." + "0" * 5000, 1000),
    ],
)
def test_minutes_are_exact(digits, thousandths):
    """However a number is written, its thousandths are what its digits say."""
    value = structured(with_data(CALL, minutes=0)).replace(b'"minutes": 0', b'"minutes":%b')
    assert decode(CALLS, value % digits.encode()).data.thousandths == thousandths


@pytest.mark.parametrize(
    ("digits", "phrase"),
    [
        ("0", "must be above 0 and at most 100000000, not “0”"),
        ("-0.0", "above 0"),
        ("-1", "above 0"),
        ("0e9999999", "above 0"),
        ("100000000.001", "at most 100000000"),
        ("1e400", "at most 100000000"),
        ("1e99999999999999999", "at most 100000000"),
        ("9" * 5000, "at most 100000000"),
        ("0.0005", "has at most 3 decimals, not “0.0005”"),
        ("1.00000000000000000000000000000000000000001", "at most 3 decimals"),
        ("1e-400", "at most 3 decimals"),
        ("1e-99999999999999999", "at most 3 decimals"),
        ("1e999999999999999999999", "must be a number"),
        ('"5"', 'must be a number, not “"5"”'),
        ("true", "must be a number, not “true”"),
        ("null", "must be a number, not “null”"),
        ("[1]", "must be a number"),
        ("{}", "must be a number"),
    ],
)
def test_other_minutes_are_refused(digits, phrase):
    """What is no number of minutes with at most 3 decimals has a sentence that says so."""
    value = structured(with_data(CALL, minutes=0)).replace(b'"minutes": 0', b'"minutes":%b')
    why = refused(CALLS, value % digits.encode())
    assert why.reason is Reason.INVALID_DATA
    assert why.sentence.startswith("data.minutes ")
    assert phrase in why.sentence


@pytest.mark.parametrize("digits", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1"])
def test_minutes_that_are_no_json_number_are_malformed(digits):
    """Python's and JavaScript's spellings beyond JSON are not read."""
    value = structured(with_data(CALL, minutes=0)).replace(b'"minutes": 0', b'"minutes":%b')
    assert refused(CALLS, value % digits.encode()).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        ("2000-01-01T00:00:00Z", EARLIEST),
        ("2000-01-01t00:00:00z", EARLIEST),
        ("2000-01-01T00:00:00.0000019Z", EARLIEST + 1),
        ("2000-01-01T00:00:00.9999999999Z", EARLIEST + 999_999),
        ("2000-01-01T00:00:00-00:00", EARLIEST),
        ("2000-01-01T05:45:00+05:45", EARLIEST),
        ("2000-01-01T14:00:00+14:00", EARLIEST),
        ("1999-12-31T00:01:00-23:59", EARLIEST),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ("2000-02-29T00:00:00.5Z", 951_782_400_500_000),
    ],
)
def test_time_is_cut_to_the_microsecond(time, micros):
    """Offsets are applied, digits beyond the sixth are cut off, towards the past."""
    assert read(example(FLOW, time=time)).time == micros


@pytest.mark.parametrize(
    ("time", "phrase"),
    [
        ("", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00", "is not an RFC 3339 time with an offset"),
        ("2026-10-05 09:30:00Z", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30Z", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00.Z", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00,5Z", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00+24:00", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00+0200", "is not an RFC 3339 time with an offset"),
        ("2026-10-05T09:30:00Z\n", "is not an RFC 3339 time with an offset"),
        ("２026-10-05T09:30:00Z", "is not an RFC 3339 time with an offset"),
        ("x" * 5000, "…"),
        ("2016-12-31T23:59:60Z", "is a leap second"),
        ("2026-10-05T24:00:00Z", "no such time of day"),
        ("2026-10-05T09:60:00Z", "no such time of day"),
        ("2026-02-30T00:00:00Z", "no such day in the calendar"),
        ("2025-02-29T00:00:00Z", "no such day in the calendar"),
        ("1900-02-29T00:00:00Z", "no such day in the calendar"),
        ("0000-01-01T00:00:00Z", "no such day in the calendar"),
        ("2026-13-01T00:00:00Z", "no such day in the calendar"),
    ],
)
def test_other_times_are_refused(time, phrase):
    """What names no instant has a sentence that says what is wrong with it."""
    why = refused(FLOWS, structured(example(FLOW, time=time)))
    assert why.reason is Reason.INVALID_ATTRIBUTE
    assert why.sentence.startswith("time: ")
    assert phrase in why.sentence


# ------------------------------------------------------------------ caches


@pytest.mark.parametrize("subject", ["", "a b", "é", "a\n", "x" * 129])
def test_a_refused_account_is_not_remembered(subject):
    """The memory of good account ids never lets a bad one through the second time."""
    for _ in range(3):
        assert refused(FLOWS, structured(example(FLOW, subject=subject))).reason is (
            Reason.INVALID_ATTRIBUTE
        )
        assert read(example(FLOW)).account == "acme"


@pytest.mark.parametrize("time", ["2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z"])
def test_a_refused_time_is_not_remembered(time):
    """Nor does the memory of seconds let an impossible one through."""
    for _ in range(3):
        assert refused(FLOWS, structured(example(FLOW, time=time))).sentence.startswith("time: ")


def test_more_accounts_than_are_remembered():
    """The memory of accounts is bounded, and forgetting changes no answer."""
    line = structured(example(FLOW, subject="account-%d"))
    for number in range(envelope.ACCOUNTS_KEPT + 10):
        assert decode(FLOWS, line % number).account == f"account-{number}"
    assert len(envelope.accounts_seen) <= envelope.ACCOUNTS_KEPT


def test_decoding_is_a_function_of_the_record():
    """The same record gives equal events and equal refusals, however often it is read."""
    bad = json.dumps(with_data(START, application="fax")).encode()
    first = read(example(START)), refused(SESSIONS, bad).sentence
    assert (read(example(START)), refused(SESSIONS, bad).sentence) == first
