"""The mixed load: a quarter session events, flows, clicks, minutes, messages; uneven accounts."""

import json
import random
from datetime import UTC, datetime, timedelta

from stream_app.topics import TOPIC_OF

_APPLICATIONS = ("agent", "ticket-guidance", "mobile-web", "web-self-service")
_SERVICES = ("call-now", "callback", "chat", "email")


def mixed(count: int, seed: int, accounts: int = 2000) -> list[tuple[str, bytes, bytes]]:
    """Return (topic, key, value) of *count* events of the last hour, in the order of their times.

    25 % session starts and their stops, 40 % flow runs, 25 % clicks, 5 % minutes, 5 % messages;
    the n-th account has a share of 1/n.
    """
    rng = random.Random(seed)
    names = [f"account-{number}" for number in range(accounts)]
    chosen = rng.choices(names, [1 / (number + 1) for number in range(accounts)], k=count)
    begin = datetime.now(UTC) - timedelta(hours=1)
    step = timedelta(hours=1) / count
    running: list[tuple[str, dict[str, object]]] = []
    records = []
    for number, account in enumerate(chosen):
        kind, data, account = _some(rng, number, seed, account, running)
        event = {
            "specversion": "1.0",
            "id": f"{seed}-{number}",
            "source": "benchmark",
            "type": kind,
            "subject": account,
            "time": (begin + number * step).isoformat().replace("+00:00", "Z"),
            "data": data,
        }
        value = json.dumps(event, separators=(",", ":")).encode()
        records.append((TOPIC_OF[kind], account.encode(), value))
    return records


def _some(
    rng: random.Random,
    number: int,
    seed: int,
    account: str,
    running: list[tuple[str, dict[str, object]]],
) -> tuple[str, dict[str, object], str]:
    draw = rng.random()
    application = rng.choice(_APPLICATIONS)
    if draw < 0.25:
        if running and rng.random() < 0.5:
            owner, session = running.pop(rng.randrange(len(running)))
            return "usage.session.stopped", session, owner
        session = {"session": f"{seed}-{number}", "application": application}
        running.append((account, session))
        return "usage.session.started", session, account
    if draw < 0.65:
        flow: dict[str, object] = {"flow": f"flow {rng.randrange(50)}", "application": application}
        return "usage.flow.run", flow, account
    if draw < 0.90:
        return "usage.assist.clicked", {"service": rng.choice(_SERVICES)}, account
    if draw < 0.95:
        return "usage.call.minutes", {"minutes": rng.randrange(1, 20_000) / 1000}, account
    return "usage.sms.sent", {"link": rng.random() < 0.8}, account
