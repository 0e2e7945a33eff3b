"""`usage doctor` where something is missing: one line for it, exit code 1, and no traceback."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from interaction_usage.commands.doctor import _print as print_findings
from interaction_usage.commands.lag import _print as print_lag
from interaction_usage.doctor.findings import Area
from rollups.watermark import Reach

Usage = Callable[..., Result]


def findings(result: Result, level: str) -> list[dict[str, Any]]:
    """Return what `--json` says at *level*."""
    shown: dict[str, Any] = json.loads(result.stdout)
    return [finding for finding in shown["findings"] if finding["level"] == level]


def test_kafka_that_does_not_answer_is_named(usage: Usage) -> None:
    """Redis is examined anyway."""
    done = usage("doctor", "--json", kafka="127.0.0.1:1")
    assert done.exit_code == 1
    [wrong] = findings(done, "wrong")
    assert wrong["area"] == "kafka"
    assert "127.0.0.1:1" in wrong["sentence"]
    assert wrong["advice"]
    assert any(finding["area"] == "redis" for finding in findings(done, "ok"))


def test_redis_that_does_not_answer_is_named_without_the_password(
    usage: Usage, broker: str
) -> None:
    """Kafka is examined anyway."""
    done = usage("doctor", "--json", kafka=broker, redis="redis://:pass-word@127.0.0.1:1/0")
    assert done.exit_code == 1
    assert "pass-word" not in done.output
    assert {each["area"] for each in findings(done, "wrong")} == {"redis", "kafka"}
    assert any(finding["area"] == "kafka" for finding in findings(done, "warning"))


def test_topics_that_are_missing_are_wrong(usage: Usage, broker: str) -> None:
    """Not a lag of 0."""
    done = usage("doctor", "--json", kafka=broker)
    assert done.exit_code == 1
    missing = [each["subject"] for each in findings(done, "wrong")]
    assert "usage.sessions" in missing
    assert "usage.dead-letters" in missing


def test_a_setting_that_cannot_be_used_is_wrong(usage: Usage, monkeypatch: Any) -> None:
    """Nothing else is looked at."""
    monkeypatch.setenv("USAGE_PARTITIONS", "none")
    done = usage("doctor", "--json")
    assert done.exit_code == 1
    assert [each["subject"] for each in findings(done, "wrong")] == ["USAGE_PARTITIONS"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_it_reads_well_on_any_terminal(
    process: Callable[..., Any], monkeypatch: Any, encoding: str
) -> None:
    """A line for each check, what to do below it, and a summary."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    out, err = process("doctor").communicate(timeout=60)
    text = out.decode(encoding)
    assert err == b""
    assert "  -> " in text
    assert text.rstrip().splitlines()[-1].endswith("to look at.")


def test_an_area_has_one_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """What is looked at later stands with the rest of its area."""
    areas = ("redis", "rollups", "kafka", "rollups")
    print_findings(
        [Area(name).ok(f"subject {place}", "as it should be") for place, name in enumerate(areas)]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in areas] == ["redis", "rollups", "kafka"]
    assert lines.index("  ✓ subject 3  as it should be") < lines.index("kafka")


def test_the_numbers_of_lag_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """However long the name of a topic is."""
    print_lag({("usage.corrections", 0): Reach(0, 1_234, 1_234)}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[-1].split() == ["total", "1,234"]
