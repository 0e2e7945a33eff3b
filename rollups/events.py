"""Usage events: what each type says, once it is known to be valid.

The members of a struct are those of the event's `data`; their descriptions and examples are what
producers read in the JSON Schemas and in docs/events.md. Which events there are, on which topics,
and what each counts is in `rollups.catalog`.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Text = Annotated[str, Meta(min_length=1, max_length=200)]  #: 1 to 200 characters
Application = Literal["agent", "ticket-guidance", "mobile-web", "web-self-service"]
Service = Literal["call-now", "callback", "chat", "email"]
Outcome = Literal["completed", "abandoned"]
#: An E.164 number: a plus sign and up to 15 digits, the first of them not 0.
PhoneNumber = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{1,14}\Z")]

_Session = Annotated[
    Text,
    Meta(
        description="The session's id, unique within the account and application. Start and stop "
        "share it.",
        examples=["s-4711"],
    ),
]
_SessionApplication = Annotated[
    Application,
    Meta(
        description="The application it runs in. A session of mobile-web or web-self-service is "
        "one running Interaction Flow.",
        examples=["agent"],
    ),
]
_Number = Annotated[
    PhoneNumber,
    Meta(
        description="The phone number in E.164: a plus sign and up to 15 digits.",
        examples=["+33123456789"],
    ),
]


class SessionStarted(Struct, frozen=True, gc=False):
    """A session of an application began."""

    session: _Session
    application: _SessionApplication


class SessionStopped(Struct, frozen=True, gc=False):
    """A session of an application ended."""

    session: _Session
    application: _SessionApplication


class FlowRun(Struct, frozen=True, gc=False):
    """An Interaction Flow ran to its outcome."""

    flow: Annotated[Text, Meta(description="The flow's name.", examples=["reset-password"])]
    application: Annotated[
        Application, Meta(description="The application it ran in.", examples=["web-self-service"])
    ]
    outcome: Annotated[Outcome, Meta(description="How it ended.", examples=["abandoned"])] = (
        "completed"
    )


class AssistClicked(Struct, frozen=True, gc=False):
    """A customer asked for a person."""

    service: Annotated[Service, Meta(description="The way that was chosen.", examples=["chat"])]
    application: Annotated[
        Application | UnsetType,
        Meta(description="The application it was clicked in.", examples=["mobile-web"]),
    ] = UNSET
    flow: Annotated[
        Text | UnsetType,
        Meta(description="The flow it was clicked in.", examples=["reset-password"]),
    ] = UNSET


class CallMinutes(Struct, frozen=True, gc=False):
    """Call Now minutes were used."""

    thousandths: int  #: thousandths of a minute, at least 1; sent as `minutes`
    call: Annotated[Text | UnsetType, Meta(description="The call's id.", examples=["c-88"])] = UNSET


class SmsSent(Struct, frozen=True, gc=False):
    """An SMS was sent."""

    link: Annotated[
        bool,
        Meta(
            description="Whether the message contains a campaign link; only these are on the bill.",
            examples=[True],
        ),
    ] = True
    campaign: Annotated[
        Text | UnsetType, Meta(description="The campaign's name.", examples=["spring"])
    ] = UNSET


class NumberPurchased(Struct, frozen=True, gc=False):
    """A phone number was purchased."""

    number: _Number


class NumberReleased(Struct, frozen=True, gc=False):
    """A phone number was released."""

    number: _Number


#: The data of an event: a struct of the type in its row of `catalog.EVENT_TYPES`.
Data = Struct


class OriginalEvent(Struct, frozen=True, gc=False):
    """The event that a void takes back, as the void describes it."""

    source: str
    id: str
    time: int  #: microseconds since 1970-01-01T00:00:00Z
    data: Data  #: of any type but those of sessions and corrections


class EventVoided(Struct, frozen=True, gc=False):
    """An event was published by mistake: what it counted is taken back, at its own time."""

    event: OriginalEvent
    reason: Text
    actor: Text | UnsetType = UNSET


class SessionCorrected(Struct, frozen=True, gc=False):
    """A session was not as its events say: what is said here replaces all of them."""

    session: Text
    application: Application
    start: int | None  #: microseconds since 1970-01-01T00:00:00Z; None: the session never was
    stop: int | None  #: likewise; None: it is not known
    reason: Text
    actor: Text | UnsetType = UNSET


class Event(Struct, frozen=True, gc=False):
    """One valid usage event. `source` and `id` together are its identity."""

    source: str
    id: str
    account: str
    time: int  #: the instant it happened, in microseconds since 1970-01-01T00:00:00Z
    data: Data
