"""Hostile records: whatever arrives, `decode` returns an event or raises Refused, nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import ACCEPTED, Record, count, outcome, records, table
from hypothesis import given, settings
from hypothesis import strategies as st
from usage_events import KINDS, NOTHING, binary, example, refused, structured, with_data

from stream_app.refusals import Reason
from stream_app.topics import EVENT_TOPICS, FLOWS, TOPIC_OF

FLOW = "usage.flow.run"
VALUE = structured(example(FLOW, extra="HERE"))
REPOSITORY = Path(__file__).parents[2]

_quietly = settings(max_examples=300, deadline=None, derandomize=True)
_topics = st.sampled_from(EVENT_TOPICS)
_timestamps = st.integers(-1, 2**63 - 1)
_names = st.sampled_from(
    [f"ce_{name}" for name in (*example(FLOW), "", "data_base64")] + ["content-type", "x"]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@_quietly
@given(_topics, st.none() | st.binary(), _timestamps)
def test_any_bytes(topic, value, timestamp):
    """Random bytes are refused."""
    assert outcome(Record(topic, value, (), timestamp)) != ACCEPTED


@_quietly
@given(_topics, st.binary(), st.lists(st.tuples(_names, st.none() | st.binary()), max_size=12))
def test_any_headers(topic, value, headers):
    """Random headers, known names among them, are refused or ignored."""
    outcome(Record(topic, value, headers))


@_quietly
@given(_topics, _json)
def test_any_json(topic, value):
    """Random JSON, NaN and Infinity included, is refused."""
    assert outcome(Record(topic, json.dumps(value).encode())) != ACCEPTED


@_quietly
@given(st.sampled_from(KINDS), st.data())
def test_any_attribute_in_binary_mode(kind, data):
    """Any one header of a valid event may hold any bytes."""
    value, headers = binary(example(kind))
    at = data.draw(st.integers(0, len(headers) - 1))
    headers[at] = (headers[at][0], data.draw(st.none() | st.binary() | st.text().map(str.encode)))
    outcome(Record(TOPIC_OF[kind], value, headers))


@pytest.mark.parametrize("kind", KINDS)
def test_every_beginning_of_an_event(kind):
    """A valid event cut off anywhere is malformed."""
    value = structured(example(kind))
    topic = TOPIC_OF[kind]
    cuts = {outcome(Record(topic, value[:end])) for end in range(len(value))}
    assert cuts == {Reason.MALFORMED}


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_wrong_once(kind):
    """A valid event with any one byte made invalid UTF-8 is malformed, wherever that byte is."""
    value = bytearray(structured(example(kind, unknown={"inside": "text"})))
    for at, byte in enumerate(value):
        value[at] = 0xFF
        assert outcome(Record(TOPIC_OF[kind], bytes(value))) == Reason.MALFORMED
        value[at] = byte


@pytest.mark.parametrize(
    ("inserted", "expected"),
    [
        (b'"\xff"', Reason.MALFORMED),
        (b'"\xc0\x80"', Reason.MALFORMED),
        (b'"\xed\xa0\x80"', Reason.MALFORMED),
        (b'"\xf4\x90\x80\x80"', Reason.MALFORMED),
        (b'{"\xff":1}', Reason.MALFORMED),
        (b'"\\ud800"', Reason.MALFORMED),
        (b'"\x00"', Reason.MALFORMED),
        (b"NaN", Reason.MALFORMED),
        (b"-Infinity", Reason.MALFORMED),
        (b"01", Reason.MALFORMED),
        (b"1e400", ACCEPTED),
        (b"9" * 5000, ACCEPTED),
        (b"-1e-999999999999999999999999", ACCEPTED),
        (b'"\\u0000\\uffff"', ACCEPTED),
        ('"é🛟"'.encode(), ACCEPTED),
        (b"[" * 20 + b"]" * 20, ACCEPTED),
        (b"[" * 30_000 + b"]" * 30_000, Reason.MALFORMED),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, Reason.MALFORMED),
        (b"[" * 100_000, Reason.TOO_LARGE),
        (b'"' + b"x" * 1024 * 1024 + b'"', Reason.TOO_LARGE),
        (b"1" + b"0" * 65_000, ACCEPTED),
    ],
)
def test_what_an_unknown_member_holds(inserted, expected):
    """It is ignored if it is JSON in UTF-8, not nested beyond reason and not too large."""
    assert outcome(Record(FLOWS, VALUE.replace(b'"HERE"', inserted))) == expected


@pytest.mark.parametrize("inserted", [b"1e400", b"9" * 5000, b"[1, null]"])
def test_an_unknown_member_never_is_the_reason(inserted):
    """A refusal names what is wrong and not a member that nobody reads, also with Base64."""
    broken = VALUE.replace(b'"HERE"', inserted).replace(b'"data"', b'"dato"')
    assert refused(FLOWS, broken).sentence == "data is missing"
    event = example("usage.sms.sent", data=NOTHING, data_base64="e30=", extra="HERE")
    value = structured(event).replace(b'"HERE"', inserted)
    assert outcome(Record("usage.sms", value)) == ACCEPTED


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"[" * 60_000, Reason.MALFORMED),
        (b"[" * 30_000 + b"]" * 30_000, Reason.MALFORMED),
        (VALUE[:-1] + b',"id":"another"}', ACCEPTED),
        (VALUE[:-1] + b',"id":1}', Reason.INVALID_ATTRIBUTE),
        (VALUE[:-1] + b',"data":{}}', Reason.INVALID_DATA),
        (VALUE[:-1] + b',"type":"usage.sms.sent"}', Reason.INVALID_ATTRIBUTE),
        (b'{"type":"usage.sms.sent",' + VALUE[1:], Reason.INVALID_ATTRIBUTE),
        (b'{"type":' + b"[" * 900 + b"]" * 900 + b"}", Reason.INVALID_ATTRIBUTE),
        (b'{"type":' + b"9" * 5000 + b"}", Reason.INVALID_ATTRIBUTE),
        (b'{"type":"\\u001b[2J\\u202e' + b"x" * 9000 + b'"}', Reason.UNKNOWN_TYPE),
    ],
)
def test_shapes_that_have_broken_readers(value, expected):
    """Nesting, members that come twice, and types that are no names of types have their answers."""
    assert outcome(Record(FLOWS, value)) == expected


@pytest.mark.parametrize("name", ["id", "source", "subject", "time", "type", "datacontenttype"])
@pytest.mark.parametrize(
    "text", ["\x1b[31m" * 5000, "é\x00" * 5000, "\U0010ffff" * 9000, "`" * 60_000]
)
def test_long_and_ugly_attributes(name, text):
    """No text of a producer makes a sentence long, or gets control characters into it."""
    value, headers = binary(example(FLOW, **{name: text}))
    if name == "datacontenttype":
        headers[-1] = ("content-type", text.encode())
    assert outcome(Record(FLOWS, structured(example(FLOW, **{name: text})))) != ACCEPTED or (
        (name, text[0]) in {("id", "`"), ("source", "`")}
    )
    outcome(Record(FLOWS, value, headers))


@pytest.mark.parametrize("kind", KINDS)
def test_long_and_ugly_data(kind):
    """Nor does any member of data."""
    for name in example(kind)["data"]:
        for text in ("\x1b[31m" * 5000, "\x85\u2028" * 5000, "x' - at `$.id`", "9" * 60_000):
            outcome(Record(TOPIC_OF[kind], structured(with_data(kind, **{name: text}))))


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.9999999-23:59",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_time_can_be_folded(kind, time):
    """The first and last instants that can be written are counted like any other."""
    assert outcome(Record(TOPIC_OF[kind], structured(example(kind, time=time)))) == ACCEPTED


def test_random_records_keep_every_promise():
    """Of 20,000 damaged records some are accepted and some refused for each reason."""
    counts = count(20_000, seed=1)
    assert counts.total() == 20_000
    assert {*Reason, ACCEPTED} - {"sealed"} <= {*counts}
    assert 0.2 < counts[ACCEPTED] / counts.total() < 0.8


def test_a_seed_names_its_records():
    """The same seed makes the same records, so what broke can be looked at again."""
    assert list(records(200, 3)) == list(records(200, 3)) != list(records(200, 4))


def test_the_fuzzer_runs_on_its_own():
    """`python -m tests.stream_app.fuzz` prints its table."""
    command = [sys.executable, "-m", "tests.stream_app.fuzz", "--events", "500", "--seed", "2"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(table(count(500, 2)))
    assert ran.stdout.endswith(" s, no promise broken\n")
