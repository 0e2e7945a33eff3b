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


def traffic(
    count: int, seed: int, accounts: int = 20, *, corrections: bool = False
) -> Iterator[bytes]:
    """Yield *count* events of mixed types over two days, of accounts of uneven size.

    With *corrections*, some more of them: voids of calls and messages, also of such that never
    come, and sessions that are corrected and removed, each within the UTC day that it is of.
    """
    rng = random.Random(seed)
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    names = [f"account-{number}" for number in range(accounts)]
    weights = [1 / (number + 1) for number in range(accounts)]
    for number in range(count):
        account = rng.choices(names, weights)[0]
        when = begin + timedelta(microseconds=rng.randrange(2 * 86_400_000_000))
        kind, data = _some(rng)
        line = event(f"{seed}-{number}", kind, data, subject=account, time=_stamp(when))
        if corrections and kind in ("call.minutes", "sms.sent") and rng.random() < 0.2:
            yield from _voids(rng, line)
            if rng.random() < 0.2:  # the event never comes
                continue
        if corrections and number % 50 == 0:
            yield from _corrected_session(rng, f"{seed}-{number}-c", account, when)
        yield line


def _stamp(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _voids(rng: random.Random, line: bytes) -> Iterator[bytes]:
    """Yield a void of the event in *line*, or two."""
    whole = json.loads(line)
    original = {name: whole[name] for name in ("source", "id", "type", "time", "data")}
    for number in range(rng.choice((1, 1, 2))):
        data = {"event": original, "reason": f"reason {number}", "actor": "tests"}
        name = f"{whole['id']}-v{number}"
        yield event(name, "event.voided", data, subject=whole["subject"], time=whole["time"])


def _corrected_session(
    rng: random.Random, name: str, account: str, when: datetime
) -> Iterator[bytes]:
    """Yield a session's start, and one or two corrections of it."""
    session = {"session": name, "application": rng.choice(APPLICATIONS)}
    attributes = {"subject": account, "time": _stamp(when)}
    midnight = when.replace(hour=0, minute=0, second=0, microsecond=0)
    yield event(name, "session.started", session, **attributes)
    for number in range(rng.choice((1, 2))):
        first, last = sorted(rng.randrange(86_399_000_000) for _ in range(2))
        start, stop = (_stamp(midnight + timedelta(microseconds=each)) for each in (first, last))
        if rng.random() < 0.3:
            start = stop = None  # type: ignore[assignment]  # it never was
        data = {**session, "start": start, "stop": stop, "reason": f"reason {number}"}
        yield event(f"{name}{number}", "session.corrected", data, **attributes)


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
