"""Kafka's names: which topic carries which event types, and where refused records go."""

from typing import Final

SESSIONS: Final = "usage.sessions"
FLOWS: Final = "usage.flows"
CLICKS: Final = "usage.clicks"
CALLS: Final = "usage.calls"
SMS: Final = "usage.sms"
NUMBERS: Final = "usage.numbers"
DEAD_LETTERS: Final = "usage.dead-letters"

#: The topic of each event type; an event on any other topic is refused.
TOPIC_OF: Final = {
    "usage.session.started": SESSIONS,
    "usage.session.stopped": SESSIONS,
    "usage.flow.run": FLOWS,
    "usage.assist.clicked": CLICKS,
    "usage.call.minutes": CALLS,
    "usage.sms.sent": SMS,
    "usage.number.purchased": NUMBERS,
    "usage.number.released": NUMBERS,
}

#: The topics that events are consumed from.
EVENT_TOPICS: Final = (SESSIONS, FLOWS, CLICKS, CALLS, SMS, NUMBERS)
