"""Dead letters: the record as it was, and five headers more."""

from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from stream_app.dead_letters import dead_letter
from stream_app.refusals import Reason, Refused


def record(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, Any]]
) -> ConsumerRecord:
    """Return a record as the consumer hands it over, from usage.flows, partition 3, offset 1204."""
    return ConsumerRecord(
        topic="usage.flows", partition=3, offset=1204, timestamp=0, timestamp_type=0, key=key,
        value=value, checksum=None, serialized_key_size=0, serialized_value_size=0, headers=headers,
    )  # fmt: skip


@pytest.mark.parametrize("key", [None, b"", b"acme", b"\xff\x00"])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff\x00" * 1000])
@pytest.mark.parametrize(
    "headers", [[], [("ce_id", b"1"), ("ce_id", b"\xff"), ("empty", None), ("usage-reason", b"x")]]
)
def test_the_record_is_kept_as_it_was(key, value, headers):
    """Key, value and headers are untouched, also those that repeat, are null or look like ours."""
    letter = dead_letter(record(key, value, headers), Refused(Reason.FUTURE, "why"))
    assert (letter.key, letter.value) == (key, value)
    assert letter.headers[:-5] == headers


def test_five_headers_say_why_and_from_where():
    """The last five headers are the reason, the sentence and where the record was published."""
    letter = dead_letter(record(b"k", b"v", []), Refused(Reason.INVALID_DATA, "data.flow “é” …"))
    assert letter.headers == [
        ("usage-reason", b"invalid-data"),
        ("usage-sentence", "data.flow “é” …".encode()),
        ("usage-topic", b"usage.flows"),
        ("usage-partition", b"3"),
        ("usage-offset", b"1204"),
    ]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_goes_into_a_header(reason):
    """A reason's code is lower-case words joined by dashes."""
    (name, code), *_ = dead_letter(record(None, None, []), Refused(reason, "why")).headers
    assert (name, code) == ("usage-reason", reason.value.encode())
    assert code.replace(b"-", b"").isalpha()
    assert code.islower()
