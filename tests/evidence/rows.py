"""Rows of the events table, made of NDJSON lines, for tests without an archive."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from rollups.catalog import EVENT_TYPES
from rollups.events import EventVoided, SessionCorrected
from rollups.fold import OffsetEvent

#: The columns of the events table that evidence reads.
SCHEMA = pa.schema(
    [
        ("topic", pa.string()), ("topic_id", pa.string()), ("partition", pa.int32()),
        ("offset", pa.int64()), ("timestamp", pa.timestamp("us", "UTC")),
        ("key", pa.binary()), ("value", pa.binary()),
        ("outcome", pa.string()), ("account", pa.string()), ("type", pa.string()),
        ("time", pa.timestamp("us", "UTC")), ("source", pa.string()), ("id", pa.string()),
        ("session", pa.string()), ("application", pa.string()), ("flow", pa.string()),
        ("flow_outcome", pa.string()), ("service", pa.string()),
        ("minutes_thousandths", pa.int64()), ("call", pa.string()), ("link", pa.bool_()),
        ("campaign", pa.string()), ("number", pa.string()),
        ("void_source", pa.string()), ("void_id", pa.string()), ("void_type", pa.string()),
        ("void_time", pa.timestamp("us", "UTC")), ("void_data", pa.string()),
        ("corrected_start", pa.timestamp("us", "UTC")),
        ("corrected_stop", pa.timestamp("us", "UTC")),
        ("reason", pa.string()), ("actor", pa.string()),
    ]
)  # fmt: skip

_TOPICS = {
    "usage.session.started": "usage.sessions", "usage.session.stopped": "usage.sessions",
    "usage.flow.run": "usage.flows", "usage.assist.clicked": "usage.clicks",
    "usage.call.minutes": "usage.calls", "usage.sms.sent": "usage.sms",
    "usage.number.purchased": "usage.numbers", "usage.number.released": "usage.numbers",
    "usage.event.voided": "usage.corrections", "usage.session.corrected": "usage.corrections",
}  # fmt: skip
PUBLISHED = datetime(2026, 12, 1, tzinfo=UTC)


def table(lines: Iterable[bytes]) -> pa.Table:
    """Return the events table of *lines*, all of them accepted, a topic's in their order."""
    rows: list[dict[str, Any]] = []
    ends: dict[str, int] = {}
    for number, line in enumerate(lines):
        event = json.loads(line)
        topic = _TOPICS[event["type"]]
        ends[topic] = ends.get(topic, -1) + 1
        rows.append(
            {
                "topic": topic, "topic_id": "", "partition": 0, "offset": ends[topic],
                "timestamp": PUBLISHED + timedelta(microseconds=number),
                "outcome": "accepted", "account": event["subject"], "type": event["type"],
                "time": instant(event["time"]), "source": event["source"], "id": event["id"],
                **_members(event["type"], event["data"]),
            }
        )  # fmt: skip
    return of_rows(rows)


def of_rows(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return *rows* as a table; members that they do not have are null."""
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    return pa.table(columns, SCHEMA)


def instant(text: str) -> datetime:
    """Return the instant that an event's text says, to the microsecond."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _members(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    if kind == "usage.event.voided":
        void = data["event"]
        return {
            "void_source": void["source"], "void_id": void["id"], "void_type": void["type"],
            "void_time": instant(void["time"]), "void_data": json.dumps(void["data"]),
            "reason": data["reason"], "actor": data.get("actor"),
        }  # fmt: skip
    if kind == "usage.session.corrected":
        return {
            "session": data["session"], "application": data["application"],
            "corrected_start": instant(data["start"]) if data.get("start") else None,
            "corrected_stop": instant(data["stop"]) if data.get("stop") else None,
            "reason": data["reason"], "actor": data.get("actor"),
        }  # fmt: skip
    names = ("session", "application", "flow", "service", "call", "campaign", "number")
    known = {name: data.get(name) for name in names}
    if kind == "usage.flow.run":
        known["flow_outcome"] = data.get("outcome", "completed")
    elif kind == "usage.call.minutes":
        known["minutes_thousandths"] = int(Decimal(str(data.get("minutes", 1))) * 1000)
    elif kind == "usage.sms.sent":
        known["link"] = data.get("link", True)
    return known


def of_events(logs: dict[str, list[OffsetEvent]]) -> pa.Table:
    """Return the events table of *logs*: by topic, or `topic/partition`, what was published."""
    return pa.concat_tables([SCHEMA.empty_table(), *(_of_log(*each) for each in logs.items())])


def _of_log(name: str, log: list[OffsetEvent]) -> pa.Table:
    """Return the rows of one log; column by column, for a test has a million of them."""
    topic, _, partition = name.partition("/")
    events = [placed.event for placed in log]
    known: dict[str, list[Any]] = {
        "topic": [topic] * len(log), "topic_id": [""] * len(log),
        "partition": [int(partition or 0)] * len(log),
        "offset": [placed.offset for placed in log], "timestamp": [PUBLISHED] * len(log),
        "outcome": ["accepted"] * len(log), "account": [event.account for event in events],
        "type": [_TYPE_OF[type(event.data)] for event in events],
        "time": [event.time for event in events], "source": [event.source for event in events],
        "id": [event.id for event in events],
    }  # fmt: skip
    members = [_columns(event.data) for event in events]
    arrays = [
        pa.array(known.get(field.name) or [each.get(field.name) for each in members], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


_TYPE_OF = {row.data: row.name for row in EVENT_TYPES}
_SENT_AS = {"thousandths": "minutes"}
_COLUMN_OF = {"outcome": "flow_outcome", "thousandths": "minutes_thousandths"}


def _columns(data: Any) -> dict[str, Any]:
    if isinstance(data, EventVoided):
        original = data.event
        sent = {_SENT_AS.get(name, name): value for name, value in _given(original.data).items()}
        if "minutes" in sent:
            sent["minutes"] /= 1000
        return {
            "void_source": original.source, "void_id": original.id,
            "void_type": _TYPE_OF[type(original.data)], "void_time": _at(original.time),
            "void_data": json.dumps(sent), "reason": data.reason,
        }  # fmt: skip
    if isinstance(data, SessionCorrected):
        return {
            "session": data.session, "application": data.application, "reason": data.reason,
            "corrected_start": _at(data.start), "corrected_stop": _at(data.stop),
        }  # fmt: skip
    return {_COLUMN_OF.get(name, name): value for name, value in _given(data).items()}


def _given(data: Any) -> dict[str, Any]:
    members = {name: getattr(data, name) for name in data.__struct_fields__}
    return {name: value for name, value in members.items() if value is not msgspec.UNSET}


def _at(micros: int | None) -> datetime | None:
    if micros is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
