"""The demo's events: what customers and agents of three made-up companies do all day.

Seeded, so that the same seed and days give the same events. A day is made at once: agents begin
and end their shifts, customers come with the hours of the company's time zone, and flows, clicks,
calls and messages hang on their sessions. What of it lies ahead is published when its time comes.
"""

import heapq
import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Final, NamedTuple

import orjson

from interaction_usage.commands.demo_companies import (
    COMPANIES,
    Company,
    Episode,
    busyness,
    episodes_of,
)
from rollups.catalog import EVENT_TYPES
from rollups.local_time import midnight, zone
from stream_app.codec.json_schema import example
from stream_app.topics import TOPIC_OF

_FLOWS: Final = (
    "Report a claim", "Reset password", "Change my booking", "Router is offline", "Order a SIM",
    "Track my refund", "Update address", "Upgrade my plan",
)  # fmt: skip
_FLOW_WEIGHTS: Final = (30, 22, 17, 11, 8, 6, 4, 2)
#: Hour at which a shift begins, and its share of the agents.
_SHIFTS: Final = ((6.8, 15), (8.8, 60), (12.5, 20), (22.0, 5))
#: Types that hang on a session in a way of their own; all others come as their schema's example.
_SCRIPTED: Final = {
    "usage.session.started", "usage.session.stopped", "usage.flow.run", "usage.assist.clicked",
    "usage.call.minutes", "usage.sms.sent", "usage.number.purchased", "usage.number.released",
    "usage.event.voided", "usage.session.corrected",
}  # fmt: skip
_OTHERS: Final = [example(row) for row in EVENT_TYPES if row.name not in _SCRIPTED]
_BROKEN_SHARE: Final = 0.0004
_HALF_HOURS: Final = range(48)
_HOUR: Final = 3600.0
_LONGEST: Final = 6 * _HOUR


class Published(NamedTuple):
    """An event at the second at which it happens."""

    time: float
    topic: str
    key: bytes
    value: bytes
    is_broken: bool = False  #: whether it must be refused


class Timeline:
    """Events of all companies as they happen; what had happened by *now* is there at once."""

    def __init__(self, seed: int, now: float) -> None:
        self._seed = seed
        self._ahead: list[Published] = []
        self._today = {company: day_of(company, now) for company in COMPANIES}
        self._made = {company: today - timedelta(days=2) for company, today in self._today.items()}
        self._make_until(now)

    def due(self, now: float) -> Iterator[Published]:
        """Yield what has happened by *now* and was not yielded before."""
        self._make_until(now)
        while self._ahead and self._ahead[0].time <= now:
            yield heapq.heappop(self._ahead)

    def history(self, days: int) -> Iterator[Published]:
        """Yield what happened before, the newest days first, back to so many days ago."""
        for ago in range(2, days + 1):
            for company, today in self._today.items():
                yield from day_events(self._seed, company, today - timedelta(days=ago), today)

    def _make_until(self, now: float) -> None:
        for company, today in self._today.items():
            while self._made[company] < day_of(company, now + _HOUR):
                self._made[company] += timedelta(days=1)
                for event in day_events(self._seed, company, self._made[company], today):
                    heapq.heappush(self._ahead, event)


def day_of(company: Company, second: float) -> date:
    """Return the local day of *company* at *second*."""
    return datetime.fromtimestamp(second, UTC).astimezone(zone(company.timezone)).date()


def day_events(seed: int, company: Company, day: date, today: date) -> list[Published]:
    """Return the events of the sessions that begin on *day*, as seen from *today*."""
    return _Day(seed, company, day, today).events


class _Day:
    """A day of a company while it is made."""

    def __init__(self, seed: int, company: Company, day: date, today: date) -> None:
        self.events: list[Published] = []
        self._company = company
        self._key = company.id.encode()
        self._random = random.Random(f"{seed} {company.id} {day}")
        self._numbers = count()
        self._prefix = f"{company.id}-{day:%Y%m%d}-"
        self._begin = float(midnight(day, zone(company.timezone)))
        self._episodes = list(episodes_of(company, day, today))
        size = busyness(company, day, today)
        if day.day == 1:
            self._buy_numbers()
        self._agents(round(company.agents * min(1.2, size)))
        self._customers(company.customers * size)

    # ------------------------------------------------------------------ who comes

    def _agents(self, number: int) -> None:
        """Let *number* agents work a shift, with a break in its middle."""
        draw = self._random
        hours, shares = zip(*_SHIFTS, strict=True)
        for begin in draw.choices(hours, shares, k=number):
            application = "agent" if draw.random() < 0.7 else "ticket-guidance"
            start = self._begin + (begin + draw.gauss(0, 0.25)) * _HOUR
            half = draw.gauss(3.8, 0.35) * _HOUR
            self._session(application, start, half)
            self._session(application, start + half + draw.gauss(0.75, 0.1) * _HOUR, half)

    def _customers(self, number: float) -> None:
        """Let about *number* customers come, more of them while something happened."""
        draw = self._random
        weights = [_rhythm(half / 2) for half in _HALF_HOURS]
        usual = sum(weights)
        for episode in self._episodes:
            begin, end = episode.hours
            for half in _HALF_HOURS:
                if begin <= half / 2 < end:
                    weights[half] *= episode.customers
        for half in draw.choices(_HALF_HOURS, weights, k=round(number * sum(weights) / usual)):
            application = "mobile-web" if draw.random() < 0.69 else "web-self-service"
            start = self._begin + (half / 2 + draw.random() / 2) * _HOUR
            length = min(540 * math.exp(draw.gauss(0, 0.7)), _LONGEST)
            self._session(application, start, length)

    def _buy_numbers(self) -> None:
        draw = self._random
        for _ in range(draw.randint(1, 3)):
            phone = f"+1555{draw.randrange(10**7):07}"
            self._add("number.purchased", self._begin + 9 * _HOUR, number=phone)

    # ------------------------------------------------------------------ what they do

    def _session(self, application: str, start: float, length: float) -> None:
        """Add a session and all that happens in it; an outage cuts it, or keeps it away."""
        draw = self._random
        for episode in self._episodes:
            if episode.customers == 0:
                begin, end = (self._begin + hour * _HOUR for hour in episode.hours)
                if begin <= start < end:
                    return
                if start < begin < start + length:
                    length = begin - start
        session = f"{application[:2]}-{draw.getrandbits(40):010x}"
        answer = {"session": session, "application": application}
        self._add("session.started", start, **answer)
        if draw.random() > 0.006:  # the rest never says goodbye, and some of it is put right
            self._add("session.stopped", start + length, **answer)
        elif draw.random() < 0.5:
            times = {"start": _stamp(start), "stop": _stamp(start + length)}
            why = {"reason": "the stop was lost", "actor": "demo"}
            self._add("session.corrected", start + length + 60, **answer, **times, **why)
        is_agent = application in ("agent", "ticket-guidance")
        self._flows(application, start, length, draw.randint(1, 3) if is_agent else 1)
        if draw.random() < 0.35:
            self._click(start + length * draw.uniform(0.5, 1))
        if application == "agent":
            self._messages(start, length)
        for other in _OTHERS:
            kind = other["type"].removeprefix("usage.")
            self._add(kind, start + length / 2, **other["data"])

    def _flows(self, application: str, start: float, length: float, number: int) -> None:
        draw = self._random
        for flow in draw.choices(_FLOWS, _FLOW_WEIGHTS, k=number):
            outcome = "completed" if draw.random() < 0.82 else "abandoned"
            when = start + length * draw.uniform(0.2, 1)
            self._add("flow.run", when, flow=flow, application=application, outcome=outcome)

    def _click(self, when: float) -> None:
        draw = self._random
        service = draw.choices(("call-now", "callback", "chat", "email"), (5, 2, 6, 1))[0]
        self._add("assist.clicked", when, service=service)
        if service == "call-now":
            minutes = round(draw.uniform(0.4, 14), 3)
            self._add("call.minutes", when + minutes * 60, minutes=minutes)

    def _messages(self, start: float, length: float) -> None:
        draw = self._random
        usual = draw.random() * 1.4
        for episode in self._episodes:
            usual *= episode.messages
        for _ in range(round(usual)):
            link = draw.random() < 0.8
            sent = self._add("sms.sent", start + length * draw.random(), link=link)
            if sent and draw.random() < 0.01:
                original = {name: sent[name] for name in ("source", "id", "type", "time", "data")}
                why = {"reason": "it was never delivered", "actor": "demo"}
                self._add("event.voided", start + length, event=original, **why)

    # ------------------------------------------------------------------ events

    def _add(self, kind: str, when: float, **data: Any) -> dict[str, Any] | None:
        """Add an event; return it, unless it is one that must be refused."""
        event = {
            "specversion": "1.0",
            "id": f"{self._prefix}{next(self._numbers)}",
            "source": "usage/demo",
            "type": f"usage.{kind}",
            "subject": self._company.id,
            "time": _stamp(when),
            "data": data,
        }
        is_broken = self._random.random() < _BROKEN_SHARE + self._refused_at(when)
        if is_broken:
            _break(event, self._random)
        topic = TOPIC_OF[f"usage.{kind}"]
        self.events.append(Published(when, topic, self._key, orjson.dumps(event), is_broken))
        return None if is_broken else event

    def _refused_at(self, when: float) -> float:
        hour = (when - self._begin) / _HOUR
        return sum(each.refused for each in self._episodes if _is_in(each, hour))


def _is_in(episode: Episode, hour: float) -> bool:
    return episode.hours[0] <= hour < episode.hours[1]


def _rhythm(hour: float) -> float:
    """Return how many customers come at an hour of the day, 0.03 at night to 1 in mid-morning."""
    day = math.exp(-((hour - 10.5) ** 2) / 7) + 0.8 * math.exp(-((hour - 16) ** 2) / 10)
    return max(0.03, min(1.0, day))


def _stamp(when: float) -> str:
    text = datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def _break(event: dict[str, Any], draw: random.Random) -> None:
    """Make the event one that must be refused, as a hurried producer would."""
    match draw.randrange(8):
        case 0:
            event["time"] = event["time"][:-1]  # no offset
        case 1:
            del event["subject"]
        case 2:
            event["type"] += "s"
        case _:
            del event["data"]
