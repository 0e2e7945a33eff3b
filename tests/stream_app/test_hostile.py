"""Hostile records: whatever arrives, `decode` returns an event or raises Refused, nothing else."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.rejection import Reason
from stream_app.topics import EVENT_TOPICS, FLOWS, TOPIC_OF
from tests.stream_app.fuzz import (
    ACCEPTED,
    Record,
    count,
    fetched,
    outcome,
    records,
    table,
    together,
)
from tests.stream_app.usage_events import (
    KINDS,
    NOTHING,
    binary,
    example,
    refused,
    structured,
    with_data,
)
from tests.support.examples import examples

FLOW = "usage.flow.run"
VALUE = structured(example(FLOW, extra="HERE"))
REPOSITORY = Path(__file__).parents[2]

_quietly = settings(max_examples=examples(300), deadline=None, derandomize=True)
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
        (VALUE[:-1] + b',"type":"usage.sms.sent"}', Reason.WRONG_TOPIC),
        (VALUE[:-1] + b',"type":"usage.sms.sent","type":"usage.flow.run"}', ACCEPTED),
        (b'{"type":"usage.sms.sent",' + VALUE[1:], ACCEPTED),
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
        "2000-01-01T00:00:00Z",
        "2000-01-01T14:00:00+14:00",
        "1999-12-31T00:01:00-23:59",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.9999999-23:59",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_time_can_be_folded(kind, time):
    """The first and last instants that are accepted are counted like any other."""
    assert outcome(Record(TOPIC_OF[kind], structured(example(kind, time=time)))) == ACCEPTED


# ------------------------------------------------------------------ many records at once

GOOD = structured(example(FLOW))
MORE = structured(example(FLOW, id="another", subject="globex", time="2026-10-05T07:30:00.000250Z"))
ACCENTS = json.dumps(example(FLOW, id="caf\u00e9"), ensure_ascii=False).encode()
AS_BINARY = binary(example(FLOW))
FUTURE_FOR = 1_700_000_000_000  #: a timestamp for which the examples lie in the future

#: What a value may hold that is no event, or not one only, but could be in company.
_PIECES = [
    None, b"", b" ", b",", b"[", b"]", b"{", b"}", b'"', b"\\", b"\n", b"0", b"null", b"{}",
    GOOD[:-1], GOOD[1:], GOOD[:40], GOOD[40:], b"[" + GOOD, GOOD + b"]", GOOD + b",", b"," + GOOD,
    GOOD + GOOD, GOOD + b"," + MORE, GOOD + b"\n" + MORE, b"[" + GOOD + b"]",
    b'{"padding":"', GOOD.replace(b"{", b'{"padding":[', 1), b"],".join([b"", GOOD[1:]]),
    ACCENTS[: ACCENTS.index(b"\xa9")], ACCENTS[ACCENTS.index(b"\xa9") :], b"\xff",
    GOOD.replace(b"{", b'{"x":"\xff",', 1), GOOD.replace(b"{", b'{"x":"\xc3\xa9",', 1),
    GOOD.replace(b"{", b'{"x":"' + b"x" * 65_536 + b'",', 1),
]  # fmt: skip
_sound = st.sampled_from([GOOD, MORE, ACCENTS, VALUE])
_cut = st.builds(
    lambda value, at, tail: value[at:] if tail else value[:at],
    _sound, st.integers(0, len(VALUE)), st.booleans(),
)  # fmt: skip
_changed = st.builds(
    lambda name, text: structured(example(FLOW, **{name: text})),
    st.sampled_from([*example(FLOW), "datacontenttype", "data_base64"]),
    st.sampled_from(
        [
            "", "\n", "\x7f", "café", "usage.sms.sent", "application/json", "text/plain", "e30=",
            "2026-10-05T07:30:00.25Z", "2026-10-05T07:30:60.250000Z", "+02:00", "1.0", 1, NOTHING,
        ]
    ),
)  # fmt: skip
_values = st.one_of(_sound, _sound, _cut, _changed, st.sampled_from(_PIECES), st.binary(max_size=9))
_headers = st.sampled_from(
    [
        (), (), (), (), (("trace", b"\xff"),), (("content-type", b"application/cloudevents+json"),),
        (("content-type", b"application/cloudevents-batch+json"),), tuple(AS_BINARY[1]),
    ]
)  # fmt: skip
_fetched = st.builds(
    lambda value, headers, stamp: Record(FLOWS, value, headers, stamp),
    _values, _headers, st.sampled_from([-1, 0, FUTURE_FOR, 2 * FUTURE_FOR]),
)  # fmt: skip


@settings(max_examples=examples(500), deadline=None, derandomize=True)
@given(st.lists(_fetched, max_size=7))
def test_a_batch_is_read_as_each_of_the_records_is_alone(batch):
    """Sound, broken and hostile records in any company: no outcome depends on a neighbour."""
    together(FLOWS, batch)


_times = st.sampled_from(
    [
        "2026-10-05T07:30:00.250000Z", "2026-10-05T07:30:00Z", "2026-10-05T07:30:01.000001Z",
        "2026-10-05T09:30:00.25+02:00", "2026-10-05t07:30:00.250000z",
        "2026-10-05T07:30:00.٢٥٠٠٠٠Z", "2026-10-05T07:30:00.²²²²²²Z", "2026-02-30T00:00:00.0Z",
        "2026-10-05T07:30:00.1_0000Z", "2026-10-05T07:30:00.+10000Z", "2026-10-05T07:30:00.2X",
    ]
)  # fmt: skip


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(st.sampled_from(KINDS), st.none() | _topics, st.lists(_times, max_size=5))
def test_sound_batches_of_every_type(kind, elsewhere, times):
    """Where every value can be decoded, the columns come out as each record does, on any topic."""
    topic = elsewhere or TOPIC_OF[kind]
    together(topic, [Record(topic, structured(example(kind, time=time))) for time in times])


@pytest.mark.parametrize("at", range(0, len(GOOD), 3))
def test_two_halves_never_make_an_event(at):
    """An event that is cut in two stays two broken records, whatever stands around and between."""
    halves = [GOOD[:at], GOOD[at:]]
    for values in (
        halves,
        [GOOD, *halves, MORE],
        [GOOD + b"," + MORE, *halves],  # two events in one value make up for one in two
        [*halves, GOOD + MORE],
        [GOOD[:at], b",", GOOD[at:]],
    ):
        answer = together(FLOWS, [Record(FLOWS, value) for value in values])
        assert [outcome == ACCEPTED for outcome in answer] == [
            value in (GOOD, MORE) for value in values
        ]


def test_what_looks_like_an_array_of_events_is_none():
    """Brackets and commas of the neighbours never make sense of a value."""
    batch = [Record(FLOWS, value) for value in (b"[", GOOD, b",", MORE, b"]", GOOD + b"," + MORE)]
    assert [answer == ACCEPTED for answer in together(FLOWS, batch)] == [
        False, True, False, True, False, False,
    ]  # fmt: skip


def test_every_record_has_the_own_five_minutes():
    """The oldest timestamp of a batch bounds its own record, and no other."""
    late = Record(FLOWS, GOOD, (), FUTURE_FOR)
    batch = [Record(FLOWS, GOOD), late, Record(FLOWS, GOOD, (), 2 * FUTURE_FOR), late]
    assert together(FLOWS, batch) == [ACCEPTED, Reason.FUTURE, ACCEPTED, Reason.FUTURE]


@pytest.mark.parametrize(
    ("kind", "broken", "reason"),
    [
        (FLOW, GOOD.replace(b"{", b'{"x":"\xff",', 1), Reason.MALFORMED),  # in text that is skipped
        (FLOW, GOOD.replace(b"{", b'{"x":"' + b"x" * 65_536 + b'",', 1), Reason.TOO_LARGE),
        (FLOW, structured(example("usage.sms.sent")), Reason.WRONG_TOPIC),
        (FLOW, structured(example(FLOW, id="\x7f")), Reason.INVALID_ATTRIBUTE),
        ("usage.call.minutes", b'"minutes": 0.0005', Reason.INVALID_DATA),
        ("usage.call.minutes", b'"minutes": "1"', Reason.INVALID_DATA),
    ],
)
def test_what_only_a_second_look_finds_is_found_in_a_batch(kind, broken, reason):
    """The decoder takes these values without an error, so the batch has to ask for each rule."""
    good = structured(example(kind))
    if broken.startswith(b'"minutes"'):
        broken = good.replace(b'"minutes": 12.5', broken)
    batch = [Record(TOPIC_OF[kind], value) for value in (good, broken, good)]
    assert together(TOPIC_OF[kind], batch) == [ACCEPTED, reason, ACCEPTED]


def test_a_type_is_asked_for_where_there_is_but_one():
    """An event without its type is refused, though its topic carries no other."""
    batch = [Record(FLOWS, structured(example(FLOW, type=NOTHING))), Record(FLOWS, GOOD)]
    assert together(FLOWS, batch) == [Reason.INVALID_ATTRIBUTE, ACCEPTED]


def test_no_records_have_no_outcomes():
    """An empty batch is a batch."""
    assert together(FLOWS, []) == []


# ------------------------------------------------------------------ random records


def test_random_records_keep_every_promise():
    """Of 5,000 damaged records some are accepted and some refused for each reason."""
    counts = count(5_000, seed=1)
    assert counts.total() == 5_000
    assert {*Reason, ACCEPTED} - {"sealed"} <= {*counts}
    assert 0.2 < counts[ACCEPTED] / counts.total() < 0.8


@pytest.mark.parametrize("seed", range(4))
def test_batches_as_kafka_has_them_keep_every_promise(seed):
    """Every codec; sound, cut, flipped, with something behind, with lying counts, and bombs."""
    random = Random(seed)
    batch = list(records(400, seed))
    harms = Counter()
    while batch:
        size = random.randrange(1, 8)
        harms[fetched(random, FLOWS, batch[:size])] += 1
        del batch[:size]
    assert len(harms) == 7


def test_a_seed_names_the_records():
    """The same seed makes the same records, so what broke can be looked at again."""
    assert list(records(200, 3)) == list(records(200, 3)) != list(records(200, 4))


@pytest.mark.servers
def test_the_fuzzer_runs_on_the_own():
    """`python -m tests.stream_app.fuzz` prints its table."""
    command = [sys.executable, "-m", "tests.stream_app.fuzz", "--events", "500", "--seed", "2"]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(table(count(500, 2)))
    assert ran.stdout.endswith(" s, no promise broken\n")
