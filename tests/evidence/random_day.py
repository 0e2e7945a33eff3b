"""Random events of one day, by the million: as rows of the events table, and as workers have them.

They are drawn by a hash of their number, in columns; a seed gives the same day each time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from rollups.events import (
    AssistClicked,
    CallMinutes,
    Event,
    FlowRun,
    NumberPurchased,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.fold import OffsetEvent
from tests.evidence.rows import PUBLISHED, SCHEMA

MIDNIGHT = 1_790_812_800  # 2026-10-01T00:00:00Z
TOPIC, SOURCE = "usage.any", "random"

_SQL = Path(__file__).with_suffix(".sql").read_text("utf-8")
#: By type: the columns of the members of its data, and what is made of them.
_DATA: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "usage.session.started": (("session", "application"), SessionStarted),
    "usage.session.stopped": (("session", "application"), SessionStopped),
    "usage.flow.run": (("flow", "application", "flow_outcome"), FlowRun),
    "usage.assist.clicked": (("service",), AssistClicked),
    "usage.call.minutes": (("minutes_thousandths",), CallMinutes),
    "usage.sms.sent": (("link",), SmsSent),
    "usage.number.purchased": (("number",), NumberPurchased),
}


def drawn(events: int, accounts: int, seed: int) -> pa.Table:
    """Return so many events as rows, and some of them twice."""
    asked = {"events": events, "accounts": accounts, "seed": seed, "midnight": MIDNIGHT}
    with duckdb.connect(config={"threads": 2}) as database:
        for statement in database.extract_statements(_SQL):
            wanted = {name: asked[name] for name in statement.named_parameters}
            database.execute(statement, wanted)
        found = database.sql("FROM events ORDER BY rowid").to_arrow_table()
    count = found.num_rows
    known = {
        **{name: found[name] for name in found.column_names},
        "time": found["time_us"].cast(pa.timestamp("us", "UTC")),
        "timestamp": pa.repeat(pa.scalar(PUBLISHED, SCHEMA.field("timestamp").type), count),
        "topic": pa.repeat(TOPIC, count), "topic_id": pa.repeat("", count),
        "outcome": pa.repeat("accepted", count), "source": pa.repeat(SOURCE, count),
    }  # fmt: skip
    columns = [
        known[field.name].cast(field.type) if field.name in known else pa.nulls(count, field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def logs_of(rows: pa.Table) -> dict[str, list[OffsetEvent]]:
    """Return the same events by topic-partition, in the order of their offsets."""
    logs: dict[str, list[OffsetEvent]] = {}
    for kind, (members, make) in _DATA.items():
        own = rows.filter(pc.equal(rows["type"], kind))
        data = zip(*(own[name].to_pylist() for name in members), strict=True)
        columns = [own[name].to_pylist() for name in ("partition", "offset", "id", "account")]
        micros = own["time"].cast(pa.int64()).to_pylist()
        for partition, offset, number, account, time_us, each in zip(
            *columns, micros, data, strict=True
        ):
            event = Event(SOURCE, number, account, time_us, make(*each))
            logs.setdefault(f"{TOPIC}/{partition}", []).append(OffsetEvent(offset, event))
    for log in logs.values():
        log.sort(key=lambda placed: placed.offset)
    return logs
