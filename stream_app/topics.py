"""Kafka's names: which topic carries which event types, and where refused records go."""

from typing import Final

from rollups.catalog import EVENT_TYPES

DEAD_LETTERS: Final = "usage.dead-letters"

#: The topic of each event type; an event on any other topic is refused.
TOPIC_OF: Final = {row.name: row.topic for row in EVENT_TYPES}

#: The topics that events are consumed from.
EVENT_TOPICS: Final = tuple(dict.fromkeys(TOPIC_OF.values()))

# Those that are spoken of by themselves.
SESSIONS: Final = TOPIC_OF["usage.session.started"]
FLOWS: Final = TOPIC_OF["usage.flow.run"]
CLICKS: Final = TOPIC_OF["usage.assist.clicked"]
CALLS: Final = TOPIC_OF["usage.call.minutes"]
