"""The log of a process: a line for each record, as text or JSON, and nothing that is said again."""

import json
import logging
import sys

import pytest

from interaction_usage.logs import formatter, is_news


def record(
    name: str, level: int, message: str, *arguments: object, error: bool = False
) -> logging.LogRecord:
    """Return a record, with the error that is being handled if asked for."""
    failed = sys.exc_info() if error else None
    return logging.LogRecord(name, level, "x.py", 1, message, arguments, failed)


def test_a_line_of_json_has_the_members() -> None:
    """Whoever reads them needs no more than these; a traceback is one member."""
    try:
        raise ValueError("a\nb")
    except ValueError:
        given = record("stream_app.x", logging.ERROR, "%s broke\n", "it", error=True)
    [line] = formatter("json").format(given).splitlines()
    found = json.loads(line)
    assert list(found) == ["time", "level", "logger", "message", "exception"]
    assert found["time"].endswith("Z")
    assert (found["level"], found["logger"]) == ("error", "stream_app.x")
    assert found["message"] == "it broke"
    assert "ValueError" in found["exception"]


def test_a_line_of_text() -> None:
    """With its second in UTC."""
    line = formatter("text").format(record("stream_app.x", logging.WARNING, "ä %d", 7))
    time, rest = line.split(" ", 1)
    assert len(time) == len("2026-11-01T09:00:00Z")
    assert rest == "warning stream_app.x: ä 7"


@pytest.mark.parametrize(
    ("name", "level", "message", "expected"),
    [
        ("stream_app.x", logging.INFO, "counted", True),
        ("stream_app.faust_app", logging.INFO, "[^-UsageApp]: Starting...", False),
        ("aiokafka", logging.INFO, "Subscribed", False),
        ("aiokafka.client", logging.ERROR, "Unable connect to node with id 1: refused", False),
        ("mode.services", logging.WARNING, "Timer seal is overlapping", False),
        ("aiokafka.consumer", logging.ERROR, "Something that nobody foresaw", True),
    ],
)
def test_what_is_written(name: str, level: int, message: str, expected: bool) -> None:
    """All that is ours, and of libraries what is wrong and not repeated."""
    assert is_news(record(name, level, message)) is expected
