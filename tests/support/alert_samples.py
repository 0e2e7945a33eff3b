"""Rules of alerts in each status, and deliveries, for pages that show them."""

import time
from typing import Any

from interaction_usage.alerts import book, delivery, rules, states
from interaction_usage.alerts.book import Evaluator
from interaction_usage.alerts.delivery import Attempt
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.states import State
from interaction_usage.store import alert_table, keys
from interaction_usage.store.alert_table import ALERTS, state_key

HOOK = "https://hooks.acme.example/usage"


def some_alerts(ledger: Any, account: str = "acme") -> list[Rule]:
    """Set four rules: triggered, ok, unknown, and one whose notification was given up."""
    now = int(time.time())
    said = {"account": account, "created": now - 86_400, "by": "Jane"}
    wanted = [
        Rule(**said, kind="level", target="agent-sessions", threshold=25, to=HOOK),
        Rule(**said, kind="maximum", target="mobile-web", threshold=400, to=HOOK, label="Plan L"),
        Rule(
            **said, kind="counter", target="call.minutes", threshold=8_000_000,
            allowance=10_000_000, percent=80, to="mailto:billing@acme.example",
        ),
        Rule(**said, kind="silence", threshold=1, minutes=30, to="mailto:ops@acme.example"),
    ]  # fmt: skip
    book.set_rules(ledger, wanted)
    triggered = State(triggered=True, since=now - 600, value=27, looked=now, changes=1)
    failed = State(since=now - 80_000, looked=now, failed=1, failed_at=now - 3_600, changes=2)
    ledger.publish(
        ALERTS,
        [
            (state_key(wanted[0].id), states.encode(triggered)),
            (state_key(wanted[3].id), states.encode(failed)),
        ],
    )
    evaluator = Evaluator("here", now, now, (), {wanted[2].id: "Its time zone is not known"})
    ledger.redis.set(keys.ALERTS_EVALUATOR, book.encode_evaluator(evaluator))
    attempts = [
        Attempt("msg_2", wanted[3].id, "triggered", wanted[3].to, now - 3_600, 19, "given up",
                "451 try again later"),
        Attempt("msg_1", wanted[0].id, "triggered", HOOK, now - 599, 2, "delivered", "204"),
        Attempt("msg_1", wanted[0].id, "triggered", HOOK, now - 604, 1, "failed", "503", now - 599),
    ]  # fmt: skip
    alert_table.note_attempts(ledger.redis, account, [delivery.encode(each) for each in attempts])
    return [rules.check(rule) for rule in wanted]
