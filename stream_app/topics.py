"""Kafka's names: which topic carries which event types, and where refused records go."""

from typing import Final

from interaction_usage import prefixes
from interaction_usage.store.account_table import ACCOUNTS
from interaction_usage.store.alert_table import ALERTS
from interaction_usage.store.gaps import GAPS
from interaction_usage.store.issued_table import REPORTS
from interaction_usage.store.ledger import Table
from interaction_usage.store.token_table import TOKENS
from rollups.catalog import EVENT_TYPES

DEAD_LETTERS: Final = prefixes.topic("usage.dead-letters")

#: The topic of each event type; an event on any other topic is refused.
TOPIC_OF: Final = {row.name: prefixes.topic(row.topic) for row in EVENT_TYPES}

#: The topic of an event, by the type of its data.
TOPIC_OF_DATA: Final[dict[type, str]] = {row.data: TOPIC_OF[row.name] for row in EVENT_TYPES}

#: The topics that events are consumed from.
EVENT_TOPICS: Final = tuple(dict.fromkeys(TOPIC_OF.values()))

#: What people decide, each with how it is kept in Redis: never deleted.
LEDGER: Final[tuple[Table, ...]] = (ACCOUNTS, TOKENS, GAPS, REPORTS, ALERTS)
LEDGER_TOPICS: Final = tuple(table.topic for table in LEDGER)

#: Those that are compacted. Of issued reports with one number the first counts, so none may go.
COMPACTED_TOPICS: Final = tuple(name for name in LEDGER_TOPICS if name != REPORTS.topic)

#: Every topic that a deployment needs.
TOPICS: Final = (*EVENT_TOPICS, DEAD_LETTERS, *LEDGER_TOPICS)

# Those that are spoken of by themselves.
SESSIONS: Final = TOPIC_OF["usage.session.started"]
FLOWS: Final = TOPIC_OF["usage.flow.run"]
CLICKS: Final = TOPIC_OF["usage.assist.clicked"]
CALLS: Final = TOPIC_OF["usage.call.minutes"]
