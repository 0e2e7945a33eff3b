"""Publishes some usage of an account: `publish.py ACCOUNT`, with USAGE_KAFKA=host:port."""

import os
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudevents.core.bindings.kafka import to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import KafkaError, Message, Producer

refused: list[KafkaError] = []


def event(account: str, kind: str, time: datetime, data: dict[str, Any]) -> CloudEvent:
    """Return an event: its id is made once, and kept however often it is sent."""
    identity = {"id": str(uuid.uuid4()), "source": "/examples/python"}
    return CloudEvent({**identity, "type": kind, "subject": account, "time": time}, data)


def publish(producer: Producer, topic: str, account: str, what: CloudEvent) -> None:
    """Publish an event in structured mode."""
    message = to_structured_event(what)
    headers: dict[str, Any] = dict(message.headers)
    producer.produce(topic, message.value, account, headers=headers, on_delivery=delivered)


def delivered(error: KafkaError | None, _: Message) -> None:
    """Note what Kafka did not take."""
    if error is not None:
        refused.append(error)


def main(account: str) -> None:
    """Publish a session, and a flow run twice."""
    # Idempotence includes acks=all: an event is acknowledged when every replica in sync has it.
    kafka = {"bootstrap.servers": os.environ["USAGE_KAFKA"], "enable.idempotence": True}
    producer = Producer(kafka)
    now = datetime.now(UTC)
    session = {"session": str(uuid.uuid4()), "application": "agent"}
    started = event(account, "usage.session.started", now - timedelta(minutes=1), session)
    stopped = event(account, "usage.session.stopped", now, session)
    flow = {"flow": "reset-password", "application": "mobile-web"}
    run = event(account, "usage.flow.run", now, flow)
    publish(producer, "usage.sessions", account, started)
    publish(producer, "usage.sessions", account, stopped)
    publish(producer, "usage.flows", account, run)
    # Whoever is not sure that an event was sent sends the same one again: it counts once.
    publish(producer, "usage.flows", account, run)
    if producer.flush(30) or refused:
        raise SystemExit(f"Not acknowledged, send these same events again: {refused}")


if __name__ == "__main__":
    main(sys.argv[1])
