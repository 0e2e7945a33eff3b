"""The published JSON Schemas say what the codec does: both accept the same events."""

import functools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollups.catalog import APPLICATIONS, OUTCOMES, SERVICES
from stream_app.codec import MAX_MINUTES, decode
from stream_app.rejection import RejectedError
from stream_app.topics import TOPIC_OF
from tests.stream_app.usage_events import (
    KINDS,
    NOTHING,
    SCHEMAS,
    example,
    schema,
    structured,
    with_data,
)
from tests.support.examples import examples


@functools.cache
def validator(kind: str) -> Any:
    """Return what judges events of *kind*; decimal fractions stay decimal."""
    # Imported here, for it takes seconds that the collection of other tests would pay.
    from jsonschema import Draft202012Validator

    text = (SCHEMAS / f"{kind}.json").read_text()
    return Draft202012Validator(json.loads(text, parse_float=Decimal))


def by_schema(topic: str, value: bytes) -> bool:
    """Tell whether the schema of a type of *topic* accepts the event in *value*."""
    event = json.loads(value, parse_float=Decimal)
    return any(validator(kind).is_valid(event) for kind in KINDS if TOPIC_OF[kind] == topic)


def by_codec(topic: str, value: bytes) -> bool:
    """Tell whether the codec accepts the event in *value* on *topic*."""
    try:
        decode(topic, value)
    except RejectedError:
        return False
    return True


def verdicts(event: dict[str, Any]) -> tuple[bool, bool]:
    """Return what the schema and what the codec say about *event* on its own topic."""
    record = TOPIC_OF[event["type"]], structured(event)
    return by_schema(*record), by_codec(*record)


TEXT_OK = ["x", "é" * 200, "🛟" * 200, "\n", "\x00", " "]
TEXT_BAD = ["", "x" * 201, "🛟" * 201, None, 1, True, ["x"], {}]
APPLICATION_BAD = ["", "Agent", "fax", "agent ", None, 1, ["agent"]]

#: What no id, source or time is.
NO_STRINGS: list[Any] = [None, "", 1, [], {}, "\n", "x\n", "\x7f", "\ufdd0"]


def voided(changes: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """Return the data of a void, with these *changes* of the event that it names."""
    data = example("usage.event.voided")["data"]
    return present({**data, "event": present(data["event"] | (changes or {})), **members})


def corrected(**members: Any) -> dict[str, Any]:
    """Return the data of a session's correction."""
    return present(example("usage.session.corrected")["data"] | members)


def present(members: dict[str, Any]) -> dict[str, Any]:
    """Return *members* without those that are `NOTHING`."""
    return {name: value for name, value in members.items() if value is not NOTHING}


#: Per type: its data that is valid, and its data that is not.
DATA: dict[str, tuple[list[Any], list[Any]]] = {
    **{
        kind: (
            [{"session": text, "application": "agent"} for text in TEXT_OK]
            + [{"session": "s", "application": name, "more": None} for name in APPLICATIONS],
            [{"session": text, "application": "agent"} for text in TEXT_BAD]
            + [{"session": "s", "application": name} for name in APPLICATION_BAD]
            + [{}, {"session": "s"}, {"application": "agent"}, [], None, "s", 1],
        )
        for kind in ("usage.session.started", "usage.session.stopped")
    },
    "usage.flow.run": (
        [{"flow": text, "application": "mobile-web"} for text in TEXT_OK]
        + [{"flow": "f", "application": "agent", "outcome": outcome} for outcome in OUTCOMES],
        [{"flow": text, "application": "agent"} for text in TEXT_BAD]
        + [{"flow": "f", "application": name} for name in APPLICATION_BAD]
        + [
            {"flow": "f", "application": "agent", "outcome": outcome}
            for outcome in ("", "failed", None, 1)
        ]
        + [{}, {"flow": "f"}, {"application": "agent"}],
    ),
    "usage.assist.clicked": (
        [{"service": service} for service in SERVICES]
        + [{"service": "chat", "application": name} for name in APPLICATIONS]
        + [{"service": "chat", "flow": text} for text in TEXT_OK],
        [{}, {"application": "agent"}, {"service": "fax"}, {"service": None}, {"service": 1}]
        + [{"service": "chat", "application": name} for name in APPLICATION_BAD]
        + [{"service": "chat", "flow": text} for text in TEXT_BAD],
    ),
    "usage.call.minutes": (
        [{"minutes": minutes} for minutes in (1, 0.001, 12.345, 2.675, 1e-3, 1.0, MAX_MINUTES)]
        + [{}, {"minutes": 99_999_999.999}]
        + [{"call": text} for text in TEXT_OK],
        [{"minutes": minutes} for minutes in (0, -0.0, -1, 0.0005, 1e-9, 1.2345, 1e22)]
        + [{"minutes": minutes} for minutes in ("1", None, True, [], {}, MAX_MINUTES + 0.001)]
        + [{"call": text} for text in TEXT_BAD],
    ),
    "usage.sms.sent": (
        [{}, {"link": True}, {"link": False}] + [{"campaign": text} for text in TEXT_OK],
        [{"link": link} for link in (None, 0, 1, "true", [])]
        + [{"campaign": text} for text in TEXT_BAD],
    ),
    **{
        kind: (
            [{"number": number} for number in ("+12", "+33123456789", "+123456789012345")],
            [{"number": number} for number in ("", "+", "+1", "+0123", "33123456789", "+1 23")]
            + [{"number": number} for number in ("+1234567890123456", "+12\n", "+١٢", None, 331)]
            + [{}],
        )
        for kind in ("usage.number.purchased", "usage.number.released")
    },
    "usage.event.voided": (
        [voided(reason=text) for text in TEXT_OK]
        + [voided(actor=text) for text in TEXT_OK]
        + [voided(), voided({"more": 1}), voided({"id": "🛟 é"}), voided({"source": "x" * 5000})]
        + [voided({"time": f"2026-10-05T09:30:00{end}"}) for end in ("Z", "z", ".1Z", "-14:00")]
        + [
            voided({"type": kind, "data": data})
            for kind, data in (
                ("usage.sms.sent", {}),
                ("usage.call.minutes", {"minutes": 12.345}),
                ("usage.assist.clicked", {"service": "chat", "more": None}),
                ("usage.number.released", {"number": "+331"}),
            )
        ],
        [voided(reason=text) for text in TEXT_BAD]
        + [voided(actor=text) for text in TEXT_BAD]
        + [voided({name: value}) for name in ("id", "source", "time") for value in NO_STRINGS]
        + [voided({name: NOTHING}) for name in ("id", "source", "type", "time", "data")]
        + [
            voided({"type": kind, "data": data})
            for kind, data in (
                ("usage.sms.sent", None),
                ("usage.sms.sent", {"link": 1}),
                ("usage.call.minutes", {"minutes": 0}),
                ("usage.assist.clicked", {}),
                ("usage.session.started", {"session": "s", "application": "agent"}),
                ("usage.event.voided", {}),
                ("usage.fax.sent", {}),
                ("", {}),
                (1, {}),
            )
        ]
        + [{}, {"reason": "why"}, {"event": None, "reason": "why"}, {"event": [], "reason": "why"}],
    ),
    "usage.session.corrected": (
        [corrected(session=text) for text in TEXT_OK]
        + [corrected(reason=text) for text in TEXT_OK]
        + [corrected(actor=text) for text in TEXT_OK]
        + [corrected(application=name) for name in APPLICATIONS]
        + [corrected(stop=stop) for stop in (None, NOTHING, "2026-10-05T09:00:00.000+00:00")]
        + [corrected(start=None), corrected(start=None, stop=None)],
        [corrected(session=text) for text in TEXT_BAD]
        + [corrected(reason=text) for text in TEXT_BAD]
        + [corrected(actor=text) for text in TEXT_BAD]
        + [corrected(application=name) for name in APPLICATION_BAD]
        + [
            corrected(**{name: time})
            for name in ("start", "stop")
            for time in ("", "2026-10-05", "2026-10-05T09:00:00", 1, [], "1999-01-01T00:00:00Z")
        ]
        + [corrected(**{name: NOTHING}) for name in ("session", "application", "start", "reason")],
    ),
}

#: Attributes of any type that are valid, and that are not.
ATTRIBUTES_OK: list[dict[str, Any]] = [
    {"id": "🛟 é"},
    {"id": "x" * 5000},
    {"source": "no uri"},
    {"subject": "x" * 128},
    {"subject": "A-z_0.9:"},
    *({"subject": subject} for subject in ("...", ".a", "a..")),
    *({"time": f"2026-10-05T09:30:00{end}"} for end in ("Z", "z", ".1Z", f".{'1' * 30}Z")),
    *({"time": f"2026-10-05t09:30:59{end}"} for end in ("+00:00", "-00:00", "+23:59", "-14:00")),
    *({"time": f"{day}T23:59:59Z"} for day in ("2000-01-01", "9999-12-31", "2024-02-29")),
    *(
        {"datacontenttype": name}
        for name in (None, "application/json", "text/JSON;a=b", "a/b+c+json", " a/json ; x")
    ),
    {"data_base64": None},
    {"dataschema": 1, "traceparent": None, "nested": {"a": [{}]}},
]
ATTRIBUTES_BAD: list[dict[str, Any]] = [
    *(
        {name: value}
        for name in ("specversion", "id", "source", "subject", "time", "type")
        for value in (
            NOTHING,
            None,
            "",
            1,
            1.0,
            True,
            [],
            {},
            "\n",
            "x\n",
            "\x7f",
            "\x85",
            "\ufdd0",
        )
        if (name, value) != ("type", NOTHING)
    ),
    {"specversion": "1"},
    {"specversion": "1.0.2"},
    {"type": "usage.flow.Run"},
    *({"subject": subject} for subject in ("x" * 129, "a b", "a/b", "é", "acme\n", ".", "..")),
    *({"time": f"2026-10-05T09:30:00{end}"} for end in ("", " Z", "Z\n", ".Z", "+2:00", "+0200")),
    *({"time": f"2026-10-05T09:30:00{end}"} for end in ("+24:00", "+00:60", "UTC", "+00:00:00")),
    *({"time": f"2026-10-05T{time}Z"} for time in ("24:00:00", "09:60:00", "09:30:61", "09:30")),
    *(
        {"time": f"{day}T00:00:00Z"}
        for day in ("1999-12-30", "0000-01-01", "2026-00-01", "2026-13-01")
    ),
    *(
        {"time": f"{day}T00:00:00Z"}
        for day in ("2026-01-00", "2026-01-32", "26-01-01", "٢٠٢٦-01-01")
    ),
    {"time": "2016-12-31T23:59:60Z"},
    *(
        {"datacontenttype": name}
        for name in (
            "",
            "json",
            "text/plain",
            "application/json5",
            "a/json\n",
            "a/json;\x00",
            1,
            [],
        )
    ),
    {"data": NOTHING},
    {"data_base64": "e30="},
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one_and_describes_the_type(kind):
    """The schemas are valid JSON Schema 2020-12, and their examples are accepted events."""
    document = schema(kind)
    type(validator(kind)).check_schema(document)
    assert (document["title"], document["$id"]) == (kind, f"urn:usage:schema:{kind}")
    assert [verdicts(event) for event in document["examples"]] == [(True, True)]


def test_there_is_one_schema_per_type():
    """No type is without a schema, no schema without a type."""
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(TOPIC_OF)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_of_data(kind):
    """Both accept the good data of every type and refuse the bad."""
    good, bad = DATA[kind]
    for data in good:
        assert verdicts(example(kind, data=data)) == (True, True), data
    for data in bad:
        assert verdicts(example(kind, data=data)) == (False, False), data


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_of_attributes(kind):
    """Both accept the good attributes of every type and refuse the bad."""
    for changes in ATTRIBUTES_OK:
        assert verdicts(example(kind, **changes)) == (True, True), changes
    for changes in ATTRIBUTES_BAD:
        value = structured(example(kind, **changes))
        record = TOPIC_OF[kind], value
        assert (by_schema(*record), by_codec(*record)) == (False, False), changes


@pytest.mark.parametrize(
    ("digits", "accepted"),
    [("1E-3", True), ("1.000", True), ("1e2", True), ("4e-4", False), ("1e400", False)],
)
def test_minutes_as_they_may_be_written(digits, accepted):
    """Exponents and trailing zeros are the same number to both."""
    value = structured(with_data("usage.call.minutes", minutes=0))
    record = "usage.calls", value.replace(b'"minutes": 0', b'"minutes": ' + digits.encode())
    assert (by_schema(*record), by_codec(*record)) == (accepted, accepted)


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "2026-02-30T00:00:00Z"},
        {"time": "2025-02-29T00:00:00Z"},
        {"time": "2026-11-31T00:00:00Z"},
        {"time": "1999-12-31T23:59:59Z"},
        {"time": "2000-01-01T00:59:59+01:00"},
        {"padding": "x" * 65_536},
        {"id": "\U0001fffe"},
    ],
)
def test_what_a_schema_cannot_know(changes):
    """Calendar, first instant, size in bytes, characters that are none: the codec refuses those."""
    assert verdicts(example("usage.flow.run", **changes)) == (True, False)


def test_data_base64_is_for_the_codec_alone():
    """The schemas describe events whose data is readable; the codec reads Base64 as well."""
    event = example("usage.sms.sent", data=NOTHING, data_base64="e30=")
    assert verdicts(event) == (False, True)


# ------------------------------------------------------------------ whatever else comes

_texts = st.text(st.characters(codec="utf-8", max_codepoint=0x1FFF0), max_size=210)
_times = st.builds(
    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}".format,
    st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 28) | st.just(32),
    st.integers(0, 25),
    st.integers(0, 61),
    st.integers(0, 61),
    st.sampled_from(["Z", ".5Z", "+02:00", "-23:59", "+24:00", "", "z", " "]),
)
_anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.decimals(-10, 10**9, places=3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    _texts,
    _times,
    st.sampled_from([*APPLICATIONS, *OUTCOMES, *SERVICES, "+331", "1.0", "x" * 200, "x" * 201]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(_texts, st.integers(), max_size=2),
)


@st.composite
def changed_events(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a topic and the example of one of its types with up to three members changed."""
    kind = draw(st.sampled_from(KINDS))
    event = example(kind)
    for _ in range(draw(st.integers(1, 3))):
        inside = draw(st.booleans()) and isinstance(event.get("data"), dict)
        place = event["data"] if inside else event
        known = schema(kind)["properties"]
        names = [*(known["data"]["properties"] if inside else known)]
        name = draw(st.sampled_from([*names, "unknown"]) if names else st.just("unknown"))
        if draw(st.booleans()):
            place[name] = draw(_anything)
        else:
            place.pop(name, None)
    if kind == "usage.session.corrected" and isinstance(event.get("data"), dict):
        event["data"].pop("stop", None)  # no schema compares it with the start
    if event.get("data_base64") is not None:  # judged above
        del event["data_base64"]
    return TOPIC_OF[kind], structured(event)


@settings(max_examples=examples(400), deadline=None, derandomize=True)
@given(changed_events())
def test_schema_and_codec_agree(record):
    """Whatever is changed, dropped or added, the schemas accept what the codec accepts."""
    assert by_schema(*record) == by_codec(*record)
