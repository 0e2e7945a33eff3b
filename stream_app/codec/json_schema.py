"""The JSON Schemas of events, for producers: made from the catalogue and the structs of the data.

They accept what the codec accepts, but for what a schema cannot know (the calendar, sizes in bytes,
Base64).
"""

import inspect
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rollups.catalog import VOIDABLE, CatalogError, EventType
from stream_app.codec.envelope import REQUIRED
from stream_app.codec.patterns import ACCOUNT, STRING, TIME
from stream_app.codec.sent import OriginalSent, data_sent

_JSON_MEDIA: Final = (
    r"^[ \t]*[A-Za-z0-9_.+-]+/([A-Za-z0-9_.+-]+\+)?[Jj][Ss][Oo][Nn][ \t]*"
    r"(;[^\u0000-\u001f\u007f]*)?(?!\n)$"
)
#: The keywords of a member's schema, in the order in which they are written.
_KEYWORDS: Final = (
    "type", "minLength", "maxLength", "pattern", "enum", "minimum", "exclusiveMinimum", "maximum",
    "multipleOf", "default", "description", "allOf",
)  # fmt: skip


def json_schema(row: EventType) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of whole events of a type, in structured mode."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:usage:schema:{row.name}",
        "title": row.name,
        "description": f"{summary(row)} A CloudEvents 1.0 event in the JSON format, on the Kafka "
        f"topic {row.topic}. Attributes that are not listed are ignored.",
        "type": "object",
        "required": [*REQUIRED, "data"],
        "properties": _attributes(row) | {"data": _data(row)} | _no_second_data(),
        "examples": [example(row)],
    }


def summary(row: EventType) -> str:
    """Return the sentence that says what an event of this type means."""
    return inspect.cleandoc(row.data.__doc__ or "").partition("\n")[0]


def example(row: EventType) -> dict[str, Any]:
    """Return an event of this type, with an example of every member that has one."""
    return {
        "specversion": "1.0",
        "id": "01J9ZQ4C7M",
        "source": "/apps/desk/eu-1",
        "type": row.name,
        "subject": "acme",
        "time": "2026-10-05T09:30:00.250+02:00",
        "data": dict(_examples(row)),
    }


def members(row: EventType) -> dict[str, dict[str, Any]]:
    """Return the schema of each member of an event's data, and whether it is `required`."""
    sent = data_sent(row.data)
    found = _schema(sent)
    hints = get_type_hints(sent, include_extras=True)
    return {
        name: _member(schema, hints[name]) | {"required": name in found["required"]}
        for name, schema in found["properties"].items()
    }


def _schema(sent: type[Struct]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.schema(sent)["$defs"][sent.__name__]
    return found


def _member(schema: dict[str, Any], hint: Any) -> dict[str, Any]:
    if "enum" in schema:
        schema = schema | {"enum": list(_choices(hint))}  # in the order in which they are declared
    if get_args(hint)[:1] == (OriginalSent,):
        schema = schema | _original()
    if "pattern" in schema:
        schema = schema | {"pattern": schema["pattern"].replace(r"\Z", r"(?!\n)$")}
    return {keyword: schema[keyword] for keyword in _KEYWORDS if keyword in schema}


def _original() -> dict[str, Any]:
    """Return the schema of the event that a void takes back: its data is that of its type."""
    text = {"type": "string", "pattern": STRING}
    types = [row.name for row in VOIDABLE]
    return {
        "type": "object",
        "allOf": [
            {
                "required": list(OriginalSent.__struct_fields__),
                "properties": {
                    "source": text,
                    "id": text,
                    "type": {"enum": types},
                    "time": {"type": "string", "pattern": TIME},
                    "data": {"type": "object"},
                },
            },
            *(
                {
                    "if": {"properties": {"type": {"const": row.name}}},
                    "then": {"properties": {"data": _data(row)}},
                }
                for row in VOIDABLE
            ),
        ],
    }


def _choices(hint: Any) -> Sequence[Any]:
    """Return the values of the Literal somewhere in a type."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    within = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return next((found for part in within if (found := _choices(part))), ())


def _examples(row: EventType) -> Iterator[tuple[str, Any]]:
    for name, schema in _schema(data_sent(row.data))["properties"].items():
        if "examples" in schema:
            yield name, schema["examples"][0]
        elif members(row)[name]["required"]:
            raise CatalogError(f"{row.name}: {name} needs an example ({Meta.__name__})")


def _data(row: EventType) -> dict[str, Any]:
    found = members(row)
    required = [name for name, schema in found.items() if schema.pop("required")]
    return {
        "type": "object",
        "description": "What happened. Members that are not listed are ignored.",
        **({"required": required} if required else {}),
        "properties": found,
    }


def _attributes(row: EventType) -> dict[str, Any]:
    return {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "pattern": STRING,
            "description": "With source, the event's identity: the same pair is the same event.",
        },
        "source": {
            "type": "string",
            "pattern": STRING,
            "description": "Who says so: a URI reference by CloudEvents' rule; compared character "
            "by character and never resolved.",
        },
        "type": {"const": row.name},
        "subject": {"type": "string", "pattern": ACCOUNT, "description": "The account id."},
        "time": {
            "type": "string",
            "pattern": TIME,
            "description": "When it happened: RFC 3339 with an offset, a day of the calendar, no "
            "leap second; kept to the microsecond.",
        },
        "datacontenttype": {
            "type": ["string", "null"],
            "pattern": _JSON_MEDIA,
            "description": "A JSON media type, if it is given.",
        },
    }


def _no_second_data() -> dict[str, Any]:
    return {"data_base64": {"type": "null", "description": "Never together with data."}}
