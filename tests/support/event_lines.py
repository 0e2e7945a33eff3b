"""Events for tests: one at a time, and mixed traffic from a seed."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

APPLICATIONS = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
SERVICES = ("call-now", "callback", "chat", "email")


def event(number: object, kind: str, data: dict[str, Any], **attributes: Any) -> bytes:
    """Return a structured event of *kind* (without `usage.`); None drops an attribute."""
    whole = {
        "specversion": "1.0",
        "id": str(number),
        "source": "tests",
        "type": f"usage.{kind}",
        "subject": "acme",
        "time": "2026-10-01T10:00:00Z",
        "data": data,
        **attributes,
    }
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def flow(number: object, **attributes: Any) -> bytes:
    """Return a flow run."""
    return event(number, "flow.run", {"flow": "f", "application": "agent"}, **attributes)


def traffic(count: int, seed: int, accounts: int = 20) -> Iterator[bytes]:
    """Yield *count* events of mixed types over two days, of accounts of uneven size."""
    rng = random.Random(seed)
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    names = [f"account-{number}" for number in range(accounts)]
    weights = [1 / (number + 1) for number in range(accounts)]
    for number in range(count):
        account = rng.choices(names, weights)[0]
        when = begin + timedelta(microseconds=rng.randrange(2 * 86_400_000_000))
        kind, data = _some(rng)
        stamp = when.isoformat().replace("+00:00", "Z")
        yield event(f"{seed}-{number}", kind, data, subject=account, time=stamp)


def _some(rng: random.Random) -> tuple[str, dict[str, Any]]:
    application = rng.choice(APPLICATIONS)
    match rng.choices(range(6), (30, 35, 20, 7, 7, 1))[0]:
        case 0:
            answer = {"session": f"s{rng.randrange(4000)}", "application": application}
            return rng.choice(("session.started", "session.stopped")), answer
        case 1:
            outcome = rng.choice(("completed", "abandoned"))
            flow_name = f"flow {rng.randrange(30)}"
            return "flow.run", {"flow": flow_name, "application": application, "outcome": outcome}
        case 2:
            return "assist.clicked", {"service": rng.choice(SERVICES)}
        case 3:
            return "call.minutes", {"minutes": rng.randrange(1, 30_000) / 1000}
        case 4:
            return "sms.sent", {"link": rng.random() < 0.7}
    return "number.purchased", {"number": f"+1555{rng.randrange(10**6):06}"}
