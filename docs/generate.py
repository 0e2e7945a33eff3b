"""Write what the documentation takes from the code: schemas, AsyncAPI, tables, the manual.

    python docs/generate.py [FOLDER]

A part of a page stands between two comments that name it, and is written again each time. A type
that has no heading yet gets a section of its own behind the others; what people write there around
its table stays.
"""

import json
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from interaction_usage import monitoring
from interaction_usage.commands.manual import manual
from rollups.catalog import APPLICATION_LABELS, APPLICATIONS, EVENT_TYPES, EventType
from stream_app.codec.json_schema import example, json_schema, members, summary
from stream_app.rejection import ADVICE

_END = "<!-- end of types -->"


def schemas() -> dict[str, str]:
    """Return the text of each JSON Schema, by the name of its file."""
    return {
        f"{row.name}.json": json.dumps(json_schema(row), indent=2, ensure_ascii=False) + "\n"
        for row in EVENT_TYPES
    }


def asyncapi() -> str:
    """Return the AsyncAPI document of the topics that events are consumed from."""
    topics = {topic: list(rows) for topic, rows in groupby(EVENT_TYPES, lambda row: row.topic)}
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Interaction usage",
            "version": "1.0.0",
            "description": "What producers publish to Kafka, to be counted and billed: CloudEvents "
            "1.0, one per record, in the JSON format (structured mode) or with the attributes in "
            "headers (binary mode). The key decides the partition alone; the account id is a good "
            "one.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic: _channel(topic, rows) for topic, rows in topics.items()},
        "operations": {
            f"count {topic}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{topic}"},
                "summary": "The worker counts each event once, or refuses it with a reason.",
            }
            for topic in topics
        },
        "components": {"messages": {row.name: _message(row) for row in EVENT_TYPES}},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _channel(topic: str, rows: Iterable[EventType]) -> dict[str, Any]:
    messages = {row.name: {"$ref": f"#/components/messages/{row.name}"} for row in rows}
    return {"address": topic, "messages": messages, "bindings": {"kafka": {"topic": topic}}}


def _message(row: EventType) -> dict[str, Any]:
    schema = json_schema(row)
    version = schema.pop("$schema").removesuffix("/schema").rpartition("draft/")[2]
    return {
        "name": row.name,
        "title": row.name,
        "summary": summary(row),
        "contentType": "application/cloudevents+json",
        "payload": {
            "schemaFormat": f"application/schema+json;version=draft-{version}",
            "schema": schema,
        },
        "bindings": {"kafka": {"key": {"type": "string"}}},
        "examples": [{"payload": example(row)}],
    }


def page(text: str) -> str:
    """Return the page for producers, *text*, with its generated parts as the catalogue has them."""
    groups = [list(rows) for _, rows in groupby(EVENT_TYPES, lambda row: row.topic)]
    text = _with(text, "topics", _topics(groups))
    text = _with(text, "applications", [f"| `{k}` | {v} |" for k, v in APPLICATION_LABELS.items()])
    text = _with(
        text,
        "reasons",
        [f"| `{each}` | {ADVICE[each][0]} | {ADVICE[each][1]} |" for each in ADVICE],
    )
    for rows in groups:
        if f"<!-- {rows[0].name} -->" not in text:
            text = text.replace(_END, _section(rows) + _END)
        for row in _with_own_data(rows):
            text = _with(text, row.name, _members(row))
    return text


def _with_own_data(rows: list[EventType]) -> list[EventType]:
    """Return those of *rows* whose data has other members than that of the ones before."""
    tables = {tuple(_members(row)): row for row in reversed(rows)}
    return [row for row in rows if row in tables.values()]


def metrics_page(text: str) -> str:
    """Return the page of metrics, *text*, with its tables as they are defined."""
    text = _with(text, "worker", map(_metric, monitoring.WORKER))
    text = _with(text, "archive", map(_metric, monitoring.ARCHIVE))
    text = _with(text, "alerts", map(_metric, monitoring.ALERTS))
    return _with(text, "dashboard", map(_metric, monitoring.DASHBOARD))


def _metric(row: monitoring.Row) -> str:
    labels = f"{{{','.join(row.labels)}}}" if row.labels else ""
    return f"| `{row.name}{labels}` | {row.kind} | {row.meaning} | {row.action} |"


def _with(text: str, part: str, lines: Iterable[str]) -> str:
    """Return *text* with the rows of the table in *part* replaced by *lines*."""
    marks = rf"(<!-- {re.escape(part)} -->\n\|.*\n\|[-|]+\n)(?:\|.*\n)*(<!-- / -->)"
    new, found = re.subn(
        marks, lambda m: m[1] + "".join(f"{line}\n" for line in lines) + m[2], text
    )
    if found != 1:
        raise ValueError(f"the page has {found} parts called {part}")
    return new


def _topics(groups: Iterable[list[EventType]]) -> Iterable[str]:
    for rows in groups:
        yield f"| `{rows[0].topic}` | {', '.join(f'`{row.name}`' for row in rows)} |"
    yield (
        "| `usage.dead-letters` | what was refused; written by the worker and the replay command "
        "alone |"
    )


def _members(row: EventType) -> Iterable[str]:
    for name, schema in members(row).items():
        needed = "yes" if schema["required"] else "no"
        default = ""
        if "default" in schema:
            value = schema["default"]
            default = f"; default `{value if isinstance(value, str) else json.dumps(value)}`"
        about = f". {schema['description']}" if "description" in schema else ""
        yield f"| `{name}` | {needed} | {_kind(schema)}{default}{about} |"


def _kind(schema: dict[str, Any]) -> str:
    """Return in words what a member holds."""
    if choices := schema.get("enum"):
        if tuple(choices) == APPLICATIONS:
            return "application"
        *some, last = (f"`{choice}`" for choice in choices)
        return f"{', '.join(some)} or {last}" if some else last
    if schema["type"] == "string":
        return "text" if schema.get("maxLength") == 200 else "string"
    kind = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
    if "exclusiveMinimum" in schema:
        kind += f" above {schema['exclusiveMinimum']:,}"
    if "maximum" in schema:
        kind += f", at most {schema['maximum']:,}"
    if "multipleOf" in schema:
        kind += f", a multiple of {schema['multipleOf']}"
    return kind


def _section(rows: list[EventType]) -> str:
    """Return the section of types that the page does not have yet."""
    links = " · ".join(f"[schema](schemas/{row.name}.json)" for row in rows)
    events = "".join(f"```json\n{json.dumps(example(row))}\n```\n\n" for row in rows)
    tables = "".join(
        f"<!-- {row.name} -->\n| data | needed | value |\n|---|---|---|\n<!-- / -->\n\n"
        for row in _with_own_data(rows)
    )
    return (
        f"### {', '.join(row.name for row in rows)}\n\n"
        f"{' '.join(summary(row) for row in rows)} {links}\n\n{tables}{events}"
    )


def main() -> None:
    """Write the files below FOLDER, or beside this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in schemas().items():
        (folder / "schemas" / name).write_text(text, "utf-8")
    (folder / "asyncapi.json").write_text(asyncapi(), "utf-8")
    (folder / "man" / "usage.1").write_text(manual(), "utf-8")
    events = folder / "events.md"
    events.write_text(page(events.read_text("utf-8")), "utf-8")
    metrics = folder / "metrics.md"
    metrics.write_text(metrics_page(metrics.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
