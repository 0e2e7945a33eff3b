"""The page for producers: its examples run, and it leaves nothing out."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from interaction_usage.servers.mock_broker import PARTITIONS, MockBroker, mock_broker
from rollups.catalog import APPLICATIONS, OUTCOMES, SERVICES
from rollups.events import AssistClicked, Event, FlowRun
from stream_app import dead_letters
from stream_app.codec import MAX_EVENT_BYTES, MAX_MINUTES, decode
from stream_app.rejection import Reason
from stream_app.topics import CLICKS, DEAD_LETTERS, EVENT_TOPICS, FLOWS, TOPIC_OF
from tests.stream_app.usage_events import SCHEMAS, example

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "events.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the page's code blocks in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table that begins with the column *heading*."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


def publish(broker: MockBroker, *command: str) -> None:
    """Run *command*, a producer that finds the broker in USAGE_KAFKA."""
    environment = {**os.environ, "USAGE_KAFKA": broker.bootstrap}
    subprocess.run(command, env=environment, check=True, timeout=30)


def first_record(broker: MockBroker, topic: str) -> Message:
    """Return the one record that *topic* holds."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "page", "log_level": 0})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    return message


def arrived(broker: MockBroker, topic: str) -> Event:
    """Return the event in the one record of *topic*, whose key must be its account."""
    message = first_record(broker, topic)
    event = decode(topic, message.value(), message.headers() or [], message.timestamp()[1])
    assert message.key() == event.account.encode()
    return event


# ------------------------------------------------------------------ what runs


@pytest.mark.parametrize("text", blocks("json"))
def test_every_example_is_an_event(text):
    """Each JSON example on the page is accepted."""
    kind = re.search(r'"type": "([a-z.]+)"', text)
    assert kind is not None
    assert decode(TOPIC_OF[kind[1]], text.encode())


def test_there_is_an_example_of_each_type():
    """No type is without an example."""
    assert {kind for kind in TOPIC_OF if f'"type": "{kind}"' in "".join(blocks("json"))} == {
        *TOPIC_OF
    }


def test_the_producer_in_python_runs():
    """What the page's Python program publishes arrives as the event it describes."""
    (program,) = blocks("python")
    with mock_broker() as broker:
        publish(broker, sys.executable, "-W", "error", "-c", program)
        event = arrived(broker, FLOWS)
    assert (event.account, event.source) == ("acme", "/apps/desk/eu-1")
    assert event.data == FlowRun("reset-password", "agent")


@pytest.mark.parametrize(
    ("at", "data"),
    [(0, AssistClicked("chat")), (1, AssistClicked("callback", "mobile-web"))],
    ids=["structured", "binary"],
)
def test_kcat_is_a_producer(need: Callable[[str, str], str], at, data):
    """What the page's kcat commands publish arrives as the event they describe."""
    need("kcat", "the kcat examples of docs/events.md")
    command = [block for block in blocks("sh") if "kcat -P" in block][at]
    with mock_broker() as broker:
        publish(broker, "bash", "-euo", "pipefail", "-c", command)
        event = arrived(broker, CLICKS)
    assert (event.account, event.source, event.data) == ("acme", "/apps/web", data)


# ------------------------------------------------------------------ what is named


def test_the_topics_are_those_that_are_read():
    """The table of topics says which types each carries, and names the dead letters."""
    answer = {topic.strip("`"): re.findall(r"`([^`]+)`", types) for topic, types in rows("topic")}
    assert set(answer) == {*EVENT_TOPICS, DEAD_LETTERS}
    assert {kind: topic for topic, kinds in answer.items() for kind in kinds} == TOPIC_OF


def test_every_reason_is_explained():
    """The table of reasons has all that there are, each with a meaning and what to do."""
    answer = {code.strip("`"): (means, do) for code, means, do in rows("reason")}
    assert {*map(str, Reason)} <= {*answer} <= {*map(str, Reason), "sealed"}
    assert all(means.endswith(".") and do.endswith(".") for means, do in answer.values())


def test_every_type_has_a_heading_and_a_schema():
    """Each type is in a heading, and its schema is linked."""
    headings = set(re.findall(r"usage\.[a-z.]+", "".join(re.findall(r"^### .*$", PAGE, re.M))))
    assert headings == set(TOPIC_OF)
    linked = set(re.findall(r"\(schemas/([a-z.]+)\.json\)", PAGE))
    assert linked == {path.stem for path in SCHEMAS.glob("*.json")} == set(TOPIC_OF)


def test_every_attribute_and_word_is_named():
    """Attributes, applications, services, outcomes and headers of dead letters are all there."""
    attributes = {name.strip("`") for name, *_ in rows("attribute")}
    assert attributes == {*example("usage.sms.sent"), "datacontenttype"}
    headers = [row[0].strip("`") for row in rows("header")]
    assert headers == [
        dead_letters.REASON,
        dead_letters.SENTENCE,
        dead_letters.TOPIC,
        dead_letters.PARTITION,
        dead_letters.OFFSET,
    ]
    for word in (*APPLICATIONS, *SERVICES, *OUTCOMES):
        assert f"`{word}`" in PAGE


def test_the_limits_are_those_active():
    """The numbers on the page are the codec's."""
    assert f"{MAX_EVENT_BYTES:,} bytes (64 KiB)" in PAGE
    assert PAGE.count(f"{MAX_MINUTES:,}") == 2


def test_every_link_leads_somewhere():
    """Links within the page have their heading, links to files their file."""
    titles = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (DOCS / target).exists()
