"""Events to change and to encode in tests: one valid example of each type, from its schema."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rollups.events import Event
from stream_app.codec import decode
from stream_app.rejection import RejectedError
from stream_app.topics import TOPIC_OF

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
KINDS = tuple(TOPIC_OF)

#: In place of a value: leave the member out.
NOTHING: Any = object()


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of *kind*."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.json").read_text())
    return found


_EXAMPLES = {kind: schema(kind)["examples"][0] for kind in KINDS}


def example(kind: str, **changes: Any) -> dict[str, Any]:
    """Return the example of *kind* with attributes changed."""
    members = {**copy.deepcopy(_EXAMPLES[kind]), **changes}
    return {name: value for name, value in members.items() if value is not NOTHING}


def with_data(kind: str, **changes: Any) -> dict[str, Any]:
    """Return the example of *kind* with members of its data changed."""
    data = {**_EXAMPLES[kind]["data"], **changes}
    return example(kind, data={name: value for name, value in data.items() if value is not NOTHING})


def structured(event: dict[str, Any]) -> bytes:
    """Return *event* as the value of a structured record."""
    return json.dumps(event).encode()


def binary(event: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """Return *event* as the value and the headers of a binary record."""
    attributes = {**event}
    value = json.dumps(attributes.pop("data")).encode()
    return value, [(f"ce_{name}", text.encode()) for name, text in attributes.items()]


def read(event: dict[str, Any]) -> Event:
    """Return what a structured record of *event* on its own topic is decoded to."""
    return decode(TOPIC_OF[event["type"]], structured(event))


def refused(*record: Any) -> RejectedError:
    """Return why `decode` refuses *record*, which it must."""
    with pytest.raises(RejectedError) as caught:
        decode(*record)
    return caught.value
