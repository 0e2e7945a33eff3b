"""`usage dead-letters` on the embedded broker; what the worker would write is written here."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from click.testing import Result
from confluent_kafka import Consumer, Producer, TopicPartition

from interaction_usage.servers.mock_broker import PARTITIONS
from stream_app.broker import spans
from stream_app.dead_letters import Place, dead_letter, shortened
from stream_app.rejected_batch import RejectedBatch
from stream_app.rejection import Reason, RejectedError
from stream_app.topics import DEAD_LETTERS
from tests.commands.conftest import NOWHERE

Usage = Callable[..., Result]


@pytest.fixture
def refuse(broker: str) -> Callable[..., None]:
    """Return a function that writes the dead letter of a record, as the worker does."""
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})

    def write(
        origin: str, account: str, reason: Reason = Reason.FUTURE,
        value: bytes = b"v", headers: tuple[tuple[str, bytes | None], ...] = (),
        short: int = 0, key: bytes = b"k", sentence: str = "because",
    ) -> None:  # fmt: skip
        own = [("ce_subject", account.encode()), *headers]
        record = ConsumerRecord(*Place.parse(origin), 0, 0, key, value, None, 1, 1, own)
        whole = dead_letter(record, RejectedError(reason, sentence))
        letter = (whole, *shortened(whole))[short]
        producer.produce(DEAD_LETTERS, letter.value, letter.key, headers=letter.headers)
        assert producer.flush(10) == 0

    return write


def listed(usage: Usage, broker: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the records that `list` tells."""
    done = usage("dead-letters", "list", "--json", *arguments, kafka=broker)
    assert done.exit_code == 0, done.output
    newest: list[dict[str, Any]] = json.loads(done.stdout)["newest"]
    return newest


def published(broker: str, topic: str) -> list[tuple[Any, ...]]:
    """Return key, value and headers of all records in *topic*."""
    ends = spans(broker, [topic])
    count = sum(span.end for span in ends.values())
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "t", "log_level": 0})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found = consumer.consume(count, 10) if count else []
    consumer.close()
    return [(message.key(), message.value(), message.headers() or []) for message in found]


def test_a_replayed_record_is_the_record_as_it_came(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """Key, bytes and headers, and nothing of ours among them."""
    headers = (("usage-reason", b"theirs"), ("usage-replayed", b"x"), ("null", None), ("e", b""))
    refuse("usage.calls/3/7", "same", value=b"\xff\x00", headers=headers)
    done = usage("dead-letters", "replay", "--account", "same", kafka=broker)
    assert (done.exit_code, done.stderr) == (0, "1 record replayed: 1 to usage.calls\n")
    assert published(broker, "usage.calls") == [
        (b"k", b"\xff\x00", [("ce_subject", b"same"), *headers])
    ]


def test_what_was_replayed_is_not_open_and_not_sent_again(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """Unless it is named by where it came from."""
    refuse("usage.sms/0/1", "once")
    replay = ("dead-letters", "replay", "--account", "once")
    assert "1 record replayed" in usage(*replay, kafka=broker).stderr
    assert usage(*replay, kafka=broker).stderr == "Nothing to replay.\n"
    assert listed(usage, broker, "--account", "once") == []
    (answer,) = listed(usage, broker, "--account", "once", "--include-replayed")
    assert (answer["state"], answer["replays"], answer["refusals"]) == ("replayed", 1, 1)
    assert "1 record replayed" in usage(*replay, "usage.sms/0/1", kafka=broker).stderr
    (answer,) = listed(usage, broker, "--account", "once", "--include-replayed")
    assert (answer["state"], answer["replays"]) == ("replayed", 2)


def test_refused_again_it_is_open_again_under_the_first_place(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """`show` finds it by either place and tells its whole history in order."""
    refuse("usage.numbers/1/5", "again")
    usage("dead-letters", "replay", "--account", "again", kafka=broker)
    (copy,) = [
        str(Place(*place, 0))
        for place, span in spans(broker, ["usage.numbers"]).items()
        if span.end
    ]
    refuse(copy, "again", Reason.INVALID_DATA)
    (answer,) = listed(usage, broker, "--account", "again")
    assert (answer["origin"], answer["reason"]) == ("usage.numbers/1/5", "invalid-data")
    shown = [usage("dead-letters", "show", at, kafka=broker) for at in (answer["origin"], copy)]
    assert shown[0].stdout == shown[1].stdout
    history = [line.split()[4:] for line in shown[0].stdout.splitlines() if "History" in line]
    assert history == [
        ["usage.numbers/1/5", "future:", "because"],
        [copy, "replayed"],
        [copy, "invalid-data:", "because"],
    ]


def test_filters_narrow_each_other(usage: Usage, broker: str, refuse: Callable[..., None]) -> None:
    """And `--dry-run` shows what they choose and sends nothing."""
    refuse("usage.clicks/0/1", "a")
    refuse("usage.clicks/0/2", "b")
    refuse("usage.clicks/0/3", "a", Reason.MALFORMED)
    refuse("usage.flows/0/4", "a")
    filters = ("--account", "a", "--reason", "future", "--topic", "usage.clicks")
    done = usage("dead-letters", "replay", "--dry-run", *filters, kafka=broker)
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["usage.clicks/0/1"]
    assert done.stderr == "1 record would be replayed: 1 to usage.clicks\n"
    assert [answer["origin"] for answer in listed(usage, broker, *filters)] == ["usage.clicks/0/1"]
    assert published(broker, "usage.clicks") == []
    done = usage("dead-letters", "replay", *filters, "usage.clicks/0/2", kafka=broker)
    assert done.exit_code == 1
    assert "No refused record came from usage.clicks/0/2" in done.stderr


def test_all_that_is_open_is_sent_with_all(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """It says to which topics."""
    usage("dead-letters", "replay", "--all", kafka=broker)
    for number in range(3):
        refuse(f"usage.sessions/0/{number}", "all")
    refuse("usage.flows/2/9", "all")
    done = usage("dead-letters", "replay", "--all", kafka=broker)
    assert done.stderr == "4 records replayed: 1 to usage.flows, 3 to usage.sessions\n"
    done = usage("dead-letters", "list", kafka=broker)
    assert done.stdout == ""
    assert "replayed and not refused since (--include-replayed)" in done.stderr


def test_a_record_that_is_not_all_here_is_shown_and_not_replayed(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """It says what is missing and where that is; the others are replayed."""
    refuse("usage.clicks/1/17", "large", value=b"x" * 40_000, short=1)
    refuse("usage.clicks/1/18", "large")
    sentence = (
        "its value, 40,000 bytes, was too large to keep; it is at usage.clicks/1 offset 17 "
        "until Kafka deletes it"
    )
    answer = {one["origin"]: one for one in listed(usage, broker, "--account", "large")}
    assert answer["usage.clicks/1/17"]["left_out"] == sentence
    assert answer["usage.clicks/1/18"]["left_out"] is None
    table = usage("dead-letters", "list", "--account", "large", kafka=broker).stdout
    assert f"because; {sentence}\n" in table
    shown = usage("dead-letters", "show", "usage.clicks/1/17", kafka=broker).stdout
    assert shown.endswith(f"\n\n{sentence}\n")
    before = published(broker, "usage.clicks")
    replay = ("dead-letters", "replay", "--account", "large")
    done = usage(*replay, "--dry-run", kafka=broker)
    assert "1 record would be replayed: 1 to usage.clicks\n1 cannot be" in done.stderr
    done = usage(*replay, kafka=broker)
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        f"usage.clicks/1/17: not sent: {sentence}",
        "1 record replayed: 1 to usage.clicks",
        "Error: Of 2 records, 1 not sent; these are still open.",
    ]
    sent = [(b"k", b"v", [("ce_subject", b"large")])]
    assert sorted(published(broker, "usage.clicks")) == sorted([*before, *sent])


def test_without_key_and_headers_it_is_shown_as_well(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """All that is left out is named."""
    refuse("usage.clicks/1/19", "larger", value=b"x" * 40_000, short=2)
    shown = usage("dead-letters", "show", "usage.clicks/1/19", kafka=broker).stdout
    assert "Key        (left out)\n" in shown
    assert "Header" not in shown
    assert (
        "its value, 40,000 bytes, and its key, 1 bytes, and its headers, 16 bytes, were too large "
        "to keep; they are at usage.clicks/1 offset 19 until Kafka deletes it\n"
    ) in shown


#: What would forge a line, clear the screen, turn what follows around, or ring.
HOSTILE = "x\nReason     forged\r\x1b[2J\x1b]0;title\x07\x9b31m\u202eabc\u2028\u2066\ud7ff\x00é"


def test_nothing_that_a_producer_wrote_acts_on_the_terminal(
    usage: Usage, broker: str, refuse: Callable[..., None]
) -> None:
    """Lines cannot be forged, by key, value, names and values of headers, account or sentence."""
    hostile = HOSTILE.encode()
    place = "usage.clicks/2/33"
    own = ((HOSTILE, hostile), ("usage-reason", hostile))
    refuse(place, HOSTILE, value=hostile, headers=own, key=hostile, sentence=HOSTILE)
    for command in (["list"], ["list", "--json"], ["show", place], ["replay", "--dry-run", place]):
        done = usage("dead-letters", *command, kafka=broker)
        assert done.exit_code == 0, done.output
        answer = done.output.replace("\n", "")
        assert answer.replace("\t", "").isprintable(), repr(answer)
        assert not any(line.startswith("Reason     forged") for line in done.output.split("\n"))
    shown = usage("dead-letters", "show", place, kafka=broker).stdout
    assert shown.count("\nKey ") == shown.count("Reason     future\n") == 1
    assert shown.count("\nHeader ") == 3
    (answer,) = listed(usage, broker, "--account", HOSTILE)
    assert answer["account"] == answer["sentence"] == HOSTILE


def test_a_batch_is_shown_as_one_and_not_replayed(usage: Usage, broker: str) -> None:
    """It says where the batch is, and that it stands for all of it."""
    why = RejectedError(Reason.TOO_LARGE, "a batch of 43,210 bytes (zstd) unpacks to too much")
    batch = RejectedBatch(
        "usage.clicks", 1, 99, 0, 0, None, None, None, -1, -1, (),
        rejection=why, base_offset=41, batch_bytes=43_210, fingerprint="5f3a",
    )  # fmt: skip
    letter = dead_letter(batch, why)
    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    producer.produce(DEAD_LETTERS, letter.value, letter.key, headers=letter.headers)
    assert producer.flush(10) == 0
    sentence = (
        "this is a whole batch of 43,210 bytes, which was too large to keep and cannot be "
        "replayed; Kafka has it at usage.clicks/1, offset 41, until it is deleted there"
    )
    shown = usage("dead-letters", "show", "usage.clicks/1/41", kafka=broker).stdout
    assert "Key        (left out)\n" in shown
    assert shown.endswith(f"\n\n{sentence}\n")
    done = usage("dead-letters", "replay", "usage.clicks/1/41", kafka=broker)
    assert done.exit_code == 1
    assert f"usage.clicks/1/41: not sent: {sentence}\n" in done.stderr


def test_without_a_choice_nothing_is_sent(usage: Usage) -> None:
    """Wrong usage, said before any broker is asked."""
    done = usage("dead-letters", "replay")
    assert done.exit_code == 2
    assert "Name what to replay" in done.stderr
    assert "--all" in done.stderr


@pytest.mark.parametrize(
    "text", ["usage.flows", "usage.flows/1/x", "other/1/2", "usage.flows/1/-2"]
)
@pytest.mark.parametrize("command", ["show", "replay"])
def test_what_names_no_place_is_wrong_usage(usage: Usage, command: str, text: str) -> None:
    """With one that does as an example."""
    done = usage("dead-letters", command, text)
    assert done.exit_code == 2
    assert "is not a position like usage.flows/3/1204" in done.stderr


@pytest.mark.parametrize("option", ["--reason", "--topic"])
@pytest.mark.parametrize("command", ["list", "replay"])
def test_an_unknown_filter_is_answered_with_those_there_are(
    usage: Usage, command: str, option: str
) -> None:
    """So that a typing error does not look like an empty list."""
    done = usage("dead-letters", command, option, "nonsense")
    assert done.exit_code == 2
    assert "unknown value 'nonsense'; use one of" in done.stderr


def test_a_record_that_was_never_refused_is_a_failure(usage: Usage, broker: str) -> None:
    """For `replay` and for `show`."""
    for command in ("replay", "show"):
        done = usage("dead-letters", command, "usage.flows/0/999999", kafka=broker)
        assert done.exit_code == 1
        assert "No refused record came from usage.flows/0/999999" in done.stderr


def test_a_broker_that_is_away_is_said_in_a_line(usage: Usage) -> None:
    """Exit code 1."""
    done = usage("dead-letters", "replay", "--all", kafka=NOWHERE)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "Kafka at 127.0.0.1:1" in done.stderr


def test_causes_say_what_to_do(usage: Usage, broker: str, refuse: Callable[..., None]) -> None:
    """Once for all records that differ only in a value; `--id` finds the record of an event."""
    for number, wrong in enumerate(("fax", "telex")):
        refuse(
            f"usage.flows/2/{50 + number}", "causes", Reason.INVALID_DATA,
            b'{"application":"%b"}' % wrong.encode(), (("ce_id", b"run-%d" % number),),
            sentence=f"data.application is not valid: invalid enum value '{wrong}'",
        )  # fmt: skip
    done = usage("dead-letters", "list", "--group", "--account", "causes", kafka=broker)
    lines = done.stdout.splitlines()
    assert lines[0] == "2× invalid-data: data.application is not valid: invalid enum value …"
    assert lines[1].endswith("of causes")
    assert lines[2] == "    sample  usage.flows/2/51, id run-1"
    assert lines[3].endswith("'telex'")
    assert lines[4] == "    to do   The sentence names the member; see Types in docs/events.md."
    (answer,) = listed(usage, broker, "--id", "run-0")
    assert answer["origin"] == "usage.flows/2/50"
    nothing = usage("dead-letters", "list", "--id", "run-9", kafka=broker)
    assert nothing.stderr == "No refused record matches.\n"
