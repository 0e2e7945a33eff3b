"""`usage send` and `usage lag`, against the embedded broker and against none."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from confluent_kafka import Consumer, TopicPartition
from redis import Redis

from interaction_usage.servers.mock_broker import mock_broker
from stream_app.broker import ensure_topics
from stream_app.topics import DEAD_LETTERS, EVENT_TOPICS
from tests.commands.conftest import NOWHERE
from tests.support.caught_up import caught_up
from tests.support.event_lines import event, flow

Usage = Callable[..., Result]


def test_events_go_to_the_topics_of_their_types_with_the_account_as_key(
    usage: Usage, broker: str
) -> None:
    """Bytes as they were in the line."""
    line = event("send-1", "sms.sent", {"link": True})
    done = usage("send", "-", input=line + b"\n\n  \n", kafka=broker)
    assert done.exit_code == 0, done.output
    assert "1 event sent" in done.stderr
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "t"})
    consumer.assign([TopicPartition("usage.sms", number, 0) for number in range(4)])
    message = consumer.poll(10)
    consumer.close()
    assert message is not None
    assert (message.key(), message.value()) == (b"acme", line)


def test_refused_lines_are_counted_and_reported_with_their_numbers(
    usage: Usage, broker: str, tmp_path: Path
) -> None:
    """The good ones are sent anyway; the exit code is 1."""
    lines = [flow("1"), b"not json", b"", b"[1]", flow("2", type="usage.x"), flow("3", subject="?")]
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join([*lines, flow("4")]))
    done = usage("send", str(path), kafka=broker)
    assert done.exit_code == 1
    assert f"{path}, line 2: refused: not JSON" in done.stderr
    assert f"{path}, line 4: refused: the value is JSON, but no object" in done.stderr
    assert f"{path}, line 5: refused: type is “usage.x”" in done.stderr
    assert f"{path}, line 6: refused: subject" in done.stderr
    assert "2 events sent" in done.stderr
    assert done.stderr.splitlines()[-1] == "Error: Of 6 lines, 4 were refused."


def test_many_refused_lines_are_reported_as_ranges(
    usage: Usage, broker: str, tmp_path: Path
) -> None:
    """A thousand bad lines do not fill the screen, and none is left out, of whichever file."""
    first, second = tmp_path / "a.ndjson", tmp_path / "b.ndjson"
    first.write_bytes(b"bad\n" * 1000)
    second.write_bytes(b"bad\n" * 2 + flow("1") + b"\nbad\n")
    done = usage("send", str(first), str(second), kafka=broker)
    assert f"{first}, lines 21-1000: 980 more refused" in done.stderr
    assert f"{second}, lines 1-2, 4: 3 more refused" in done.stderr
    assert len(done.stderr.splitlines()) < 25


def test_unchecked_publishes_what_the_worker_will_refuse(usage: Usage, broker: str) -> None:
    """Only a line without a topic cannot be published."""
    lines = flow("5", subject="?") + b"\n" + flow("6", type="usage.x")
    done = usage("send", "--unchecked", "-", input=lines, kafka=broker)
    assert "1 event sent" in done.stderr
    assert "line 2: refused" in done.stderr


def test_ctrl_c_sends_what_was_read_and_says_how_much(broker: str) -> None:
    """Also while it waits for more lines; a second signal changes nothing."""
    command = [sys.executable, "-m", "interaction_usage.commands.main", "send", "-"]
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "t"})
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, "USAGE_KAFKA": broker}, **pipes) as sending:
        assert sending.stdin
        assert sending.stderr
        sending.stdin.write(b"".join(flow(f"stop-{number}") + b"\n" for number in range(3)))
        sending.stdin.flush()
        consumer.assign([TopicPartition("usage.flows", number, 0) for number in range(4)])
        messages = (consumer.poll(0.1) for _ in range(600))
        assert any(message and b"stop-" in message.value() for message in messages)
        sending.send_signal(signal.SIGINT)
        said = sending.stderr.read().decode()
        sending.send_signal(signal.SIGINT)
    consumer.close()
    assert sending.returncode == 1
    sent, error = said.splitlines()[-2:]
    assert sent == "3 events sent"
    assert error.startswith("Error: Stopped after 3 lines. To send the rest, send all of it again")


def test_a_broker_that_is_away_is_said_before_anything_is_read(usage: Usage) -> None:
    """Nothing was sent, and that is what it says."""
    done = usage("send", "-", input=flow("1"), kafka=NOWHERE)
    assert done.exit_code == 1
    assert "Kafka at 127.0.0.1:1: no broker answered" in done.stderr
    assert "nothing was sent" in done.stderr


def test_a_file_that_is_not_there_is_wrong_usage(usage: Usage) -> None:
    """Before the broker is asked for anything."""
    done = usage("send", "nowhere.ndjson")
    assert done.exit_code == 2
    assert "nowhere.ndjson" in done.stderr


def test_lag_counts_what_no_worker_has_taken(usage: Usage, broker: str) -> None:
    """Per topic; --until-zero fails when the time runs out."""
    usage("send", "-", input=event("n", "number.purchased", {"number": "+15550100"}), kafka=broker)
    answer = json.loads(usage("lag", "--json", kafka=broker).stdout)
    assert answer["usage.numbers"] == 1
    assert answer["usage.calls"] == 0
    done = usage("lag", "--until-zero", "0.3", kafka=broker)
    assert done.exit_code == 1
    assert "After 0.3 s," in done.stderr


def test_lag_waits_until_reports_know_that_it_is_0(usage: Usage, redis_url: str) -> None:
    """Where no worker reports, it says so: all is counted, and reports are incomplete."""
    with mock_broker() as running, Redis.from_url(redis_url) as redis:
        redis.flushall()
        ensure_topics(running.bootstrap, [*EVENT_TOPICS, DEAD_LETTERS], 1, 1)
        done = usage("lag", "--until-zero", "0.3", kafka=running.bootstrap)
        assert done.exit_code == 0
        assert done.stderr == (
            "All of it is counted, but reports are still incomplete: No worker has reported yet "
            "how far events are counted.\n"
        )
        caught_up(redis)
        done = usage("lag", "--until-zero", "0.3", kafka=running.bootstrap)
        assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["lag", "dead-letters"])
def test_other_commands_name_the_broker_that_is_away(usage: Usage, command: str) -> None:
    """One line, exit code 1."""
    done = usage(command, *(["list"] if command == "dead-letters" else []), kafka=NOWHERE)
    assert done.exit_code == 1
    assert "Kafka at 127.0.0.1:1" in done.stderr
