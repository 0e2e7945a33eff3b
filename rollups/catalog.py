"""The names of everything that is counted: applications, series, services, metrics.

One place per name. Their order here is the order in which reports list them.
"""

from typing import Final

#: Applications a session or flow run can belong to.
AGENT: Final = "agent"
TICKET_GUIDANCE: Final = "ticket-guidance"
MOBILE_WEB: Final = "mobile-web"
WEB_SELF_SERVICE: Final = "web-self-service"
APPLICATIONS: Final = (AGENT, TICKET_GUIDANCE, MOBILE_WEB, WEB_SELF_SERVICE)

#: Agent and ticket-guidance sessions together, as one curve.
AGENT_SESSIONS: Final = "agent-sessions"

#: Concurrency curves. A series' index in this tuple is its name in Redis.
SERIES: Final = (AGENT_SESSIONS, AGENT, TICKET_GUIDANCE, MOBILE_WEB, WEB_SELF_SERVICE)

#: The series that a session of an application is part of.
SERIES_OF: Final = {
    AGENT: (AGENT_SESSIONS, AGENT),
    TICKET_GUIDANCE: (AGENT_SESSIONS, TICKET_GUIDANCE),
    MOBILE_WEB: (MOBILE_WEB,),
    WEB_SELF_SERVICE: (WEB_SELF_SERVICE,),
}

#: Ways a customer asks for a person.
SERVICES: Final = ("call-now", "callback", "chat", "email")

COMPLETED: Final = "completed"
ABANDONED: Final = "abandoned"
OUTCOMES: Final = (COMPLETED, ABANDONED)

#: Counters. Each is an exact integer sum; the unit is events unless it says otherwise.
CALL_THOUSANDTHS: Final = "call.minutes"  # thousandths of a minute
SMS_WITH_LINK: Final = "sms.link"
SMS_WITHOUT_LINK: Final = "sms.plain"
NUMBERS_PURCHASED: Final = "numbers.purchased"
NUMBERS_RELEASED: Final = "numbers.released"


def runs_of(application: str) -> str:
    """Return the counter of flow runs of *application*."""
    return f"runs.{application}"


def runs_ending(outcome: str) -> str:
    """Return the counter of flow runs with *outcome*."""
    return f"outcome.{outcome}"


def clicks_on(service: str) -> str:
    """Return the counter of clicks on *service*."""
    return f"clicks.{service}"


#: Every counter of an account but those of its flows.
METRICS: Final = (
    *map(runs_of, APPLICATIONS),
    *map(runs_ending, OUTCOMES),
    *map(clicks_on, SERVICES),
    CALL_THOUSANDTHS,
    SMS_WITH_LINK,
    SMS_WITHOUT_LINK,
    NUMBERS_PURCHASED,
    NUMBERS_RELEASED,
)

#: How many seconds a session without a stop lasts, unless the deployment says otherwise.
DEFAULT_SESSION_LIMIT: Final = 24 * 60 * 60
