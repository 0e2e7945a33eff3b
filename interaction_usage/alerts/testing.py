"""Asking the process that evaluates for a test of a destination, and waiting for the outcome."""

import time

import msgspec

from interaction_usage.alerts import delivery
from interaction_usage.alerts.delivery import Attempt
from interaction_usage.alerts.rules import Rule
from interaction_usage.store import alert_table
from interaction_usage.store.client import Client

_PAUSE_S = 0.1


class Test(msgspec.Struct):
    """A test of a rule's destination that somebody asked for."""

    rule: str
    id: str  #: of the notification


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Test).decode


def send_test(redis: Client, rule: Rule, name: str, patience: float) -> Attempt | None:
    """Have a test under this *name* sent to where *rule* notifies; return the outcome, if any."""
    alert_table.queue_test(redis, encode(Test(rule.id, name)))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
        for content in alert_table.attempts(redis, rule.account):
            attempt = delivery.decode(content)
            if attempt.id == name:
                return attempt
    return None
