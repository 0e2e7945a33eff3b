"""The demo's events: what customers and agents of three made-up companies do all day.

Seeded, so that the same seed and instants give the same events. Sessions come and go with the
hours of each company's own time zone; flows, clicks, calls and messages hang on the sessions.
"""

import heapq
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from rollups.catalog import EVENT_TYPES
from rollups.local_time import zone
from stream_app.codec.json_schema import example
from stream_app.topics import TOPIC_OF


class Company(NamedTuple):
    """A made-up account."""

    id: str
    name: str
    timezone: str
    sessions_per_hour: float  #: at its busiest


COMPANIES = (
    Company("acme", "Acme Insurance", "Europe/Paris", 260),
    Company("bluebird", "Bluebird Airlines", "America/New_York", 340),
    Company("kumari", "Kumari Telecom", "Asia/Kathmandu", 180),
)

_FLOWS = (
    "Report a claim", "Reset password", "Change my booking", "Router is offline", "Order a SIM",
    "Track my refund", "Update address", "Upgrade my plan",
)  # fmt: skip
#: application, share of the sessions, median length in seconds
_SESSIONS = (
    ("agent", 0.30, 1500),
    ("ticket-guidance", 0.15, 700),
    ("mobile-web", 0.38, 240),
    ("web-self-service", 0.17, 330),
)
#: Types that hang on a session in a way of their own; all others come as their schema's example.
_SCRIPTED = {
    "usage.session.started", "usage.session.stopped", "usage.flow.run", "usage.assist.clicked",
    "usage.call.minutes", "usage.sms.sent", "usage.number.purchased", "usage.number.released",
    "usage.event.voided", "usage.session.corrected",
}  # fmt: skip
_OTHERS = [example(row) for row in EVENT_TYPES if row.name not in _SCRIPTED]
_BROKEN_SHARE = 0.004
_LIVE_CROWD = 120.0  # times as many sessions while one watches
_LIVE_HURRY = 15.0  # times as short


class Published(NamedTuple):
    """An event at the second at which it happens."""

    time: float
    topic: str
    key: bytes
    value: bytes


def events(seed: int, begin: float, live_from: float) -> Iterator[Published]:
    """Yield events in the order of their times, from *begin* on, without end.

    Times are seconds since the epoch. From *live_from* on, sessions are shorter and many more, so
    that there is something to see.
    """
    rng = random.Random(seed)
    ids = count()
    ahead: list[tuple[float, int, Published]] = []
    arrivals = [(begin + rng.random() * 30, index) for index in range(len(COMPANIES))]
    heapq.heapify(arrivals)
    for company in COMPANIES:
        for number in range(rng.randint(1, 3)):
            phone = f"+1555{rng.randrange(10**6):06}{number}"
            _push(ahead, rng, ids, company, begin + number, "number.purchased", number=phone)
    while True:
        arrival, index = heapq.heappop(arrivals)
        company = COMPANIES[index]
        live = arrival >= live_from
        _session(ahead, rng, ids, company, arrival, _LIVE_HURRY if live else 1.0)
        speed = _LIVE_CROWD if live else 1.0
        rate = company.sessions_per_hour * _rhythm(arrival, company) * speed / 3600
        heapq.heappush(arrivals, (arrival + rng.expovariate(rate), index))
        while ahead and ahead[0][0] <= arrivals[0][0]:
            yield heapq.heappop(ahead)[2]


def _rhythm(second: float, company: Company) -> float:
    """Return how busy the company is at *second*, 0.03 at night to 1 in mid-morning."""
    local = datetime.fromtimestamp(second, UTC).astimezone(zone(company.timezone))
    hour = local.hour + local.minute / 60
    day = math.exp(-((hour - 10.5) ** 2) / 7) + 0.8 * math.exp(-((hour - 15.5) ** 2) / 8)
    return max(0.03, min(1.0, day)) * (0.45 if local.weekday() >= 5 else 1.0)


def _session(
    ahead: Any, rng: random.Random, ids: Any, company: Company, start: float, hurry: float
) -> None:
    """Put one session, *hurry* times as short, and all that happens in it among what comes."""
    shares = [share for _, share, _ in _SESSIONS]
    application, _, median = rng.choices(_SESSIONS, shares)[0]
    length = min(median * math.exp(rng.gauss(0, 0.7)), 6 * 3600) / hurry
    session = f"{application[:2]}-{rng.getrandbits(40):010x}"
    answer = {"session": session, "application": application}
    _push(ahead, rng, ids, company, start, "session.started", **answer)
    if rng.random() > 0.01:  # the rest never says goodbye, and some of it is put right
        _push(ahead, rng, ids, company, start + length, "session.stopped", **answer)
    elif rng.random() < 0.5:
        times = {"start": _stamp(start), "stop": _stamp(start + length)}
        why = {"reason": "the stop was lost", "actor": "demo"}
        found = start + length + 30 / hurry
        _push(ahead, rng, ids, company, found, "session.corrected", **answer, **times, **why)
    for _ in range(1 if application.endswith(("web", "service")) else rng.randint(1, 4)):
        when = start + length * rng.uniform(0.2, 1)
        outcome = "completed" if rng.random() < 0.82 else "abandoned"
        flow = {"flow": rng.choice(_FLOWS), "application": application, "outcome": outcome}
        _push(ahead, rng, ids, company, when, "flow.run", **flow)
    if rng.random() < 0.35:
        service = rng.choices(("call-now", "callback", "chat", "email"), (5, 2, 6, 1))[0]
        when = start + length * rng.uniform(0.5, 1)
        _push(ahead, rng, ids, company, when, "assist.clicked", service=service)
        if service == "call-now":
            minutes = round(rng.uniform(0.4, 14), 3)
            _push(
                ahead,
                rng,
                ids,
                company,
                when + minutes * 60 / hurry,
                "call.minutes",
                minutes=minutes,
            )
    if application == "agent" and rng.random() < 0.3:
        link = rng.random() < 0.8
        sent = _push(ahead, rng, ids, company, start + length / 2, "sms.sent", link=link)
        if sent and rng.random() < 0.03:
            original = {name: sent[name] for name in ("source", "id", "type", "time", "data")}
            why = {"reason": "it was never delivered", "actor": "demo"}
            _push(ahead, rng, ids, company, start + length, "event.voided", event=original, **why)
    for other in _OTHERS:
        kind = other["type"].removeprefix("usage.")
        _push(ahead, rng, ids, company, start + length / 2, kind, **other["data"])


def _push(
    ahead: Any, rng: random.Random, ids: Any, company: Company, when: float, kind: str, **data: Any
) -> dict[str, Any] | None:
    """Put an event among what comes; return it, unless it is one that must be refused."""
    number = next(ids)
    event = {
        "specversion": "1.0",
        "id": f"{company.id}-{number}",
        "source": "usage/demo",
        "type": f"usage.{kind}",
        "subject": company.id,
        "time": _stamp(when),
        "data": data,
    }
    broken = rng.random() < _BROKEN_SHARE
    if broken:
        _break(event, rng)
    value = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    topic = TOPIC_OF[f"usage.{kind}"]
    heapq.heappush(ahead, (when, number, Published(when, topic, company.id.encode(), value)))
    return None if broken else event


def _stamp(when: float) -> str:
    text = datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _break(event: dict[str, Any], rng: random.Random) -> None:
    """Make the event one that must be refused, as a hurried producer would."""
    match rng.randrange(4):
        case 0:
            event["time"] = event["time"][:-1]  # no offset
        case 1:
            del event["subject"]
        case 2:
            event["type"] += "s"
        case _:
            event["data"] = {}
