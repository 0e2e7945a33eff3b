"""Usage events: what each of the eight types says, once it is known to be valid."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from rollups.catalog import COMPLETED

Text = Annotated[str, Meta(min_length=1, max_length=200)]  #: 1 to 200 characters
Application = Literal["agent", "ticket-guidance", "mobile-web", "web-self-service"]
Service = Literal["call-now", "callback", "chat", "email"]
Outcome = Literal["completed", "abandoned"]
#: An E.164 number: a plus sign and up to 15 digits, the first of them not 0.
PhoneNumber = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{1,14}\Z")]


class SessionStarted(Struct, frozen=True, gc=False):
    """A session of an application began."""

    session: Text
    application: Application


class SessionStopped(Struct, frozen=True, gc=False):
    """A session of an application ended."""

    session: Text
    application: Application


class FlowRun(Struct, frozen=True, gc=False):
    """An Interaction Flow ran to its outcome."""

    flow: Text
    application: Application
    outcome: Outcome = COMPLETED


class AssistClicked(Struct, frozen=True, gc=False):
    """A customer asked for a person."""

    service: Service
    application: Application | UnsetType = UNSET
    flow: Text | UnsetType = UNSET


class CallMinutes(Struct, frozen=True, gc=False):
    """Call Now minutes were used."""

    thousandths: int  #: thousandths of a minute, at least 1
    call: Text | UnsetType = UNSET


class SmsSent(Struct, frozen=True, gc=False):
    """An SMS was sent."""

    link: bool = True  #: whether it contains a campaign link
    campaign: Text | UnsetType = UNSET


class NumberPurchased(Struct, frozen=True, gc=False):
    """A phone number was purchased."""

    number: PhoneNumber


class NumberReleased(Struct, frozen=True, gc=False):
    """A phone number was released."""

    number: PhoneNumber


Data = (
    SessionStarted
    | SessionStopped
    | FlowRun
    | AssistClicked
    | CallMinutes
    | SmsSent
    | NumberPurchased
    | NumberReleased
)


class Event(Struct, frozen=True, gc=False):
    """One valid usage event. `source` and `id` together are its identity."""

    source: str
    id: str
    account: str
    time: int  #: the instant it happened, in microseconds since 1970-01-01T00:00:00Z
    data: Data
