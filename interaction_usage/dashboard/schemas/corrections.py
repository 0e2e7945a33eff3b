"""The shapes of corrections in the API, for OpenAPI."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rollups.events import Application

Reason = Annotated[
    str,
    Field(
        min_length=1, max_length=200,
        description="Why; it is kept, and shown wherever the number is explained.",
    ),
]  # fmt: skip
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason
    publish: bool = Field(
        False, description="Whether it takes effect; otherwise only what would change is answered."
    )


class EventToVoid(_Wanted):
    """An event to take back."""

    source: str = Field(min_length=1, max_length=4096)
    id: str = Field(min_length=1, max_length=4096)
    day: str | None = Field(
        None, pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="The UTC day of the event's time, where several have this source and id.",
    )  # fmt: skip


class SessionToCorrect(_Wanted):
    """A session, and what it shall be: this replaces everything that its events say."""

    application: Application
    session: Name
    start: str | None = Field(description="RFC 3339; null: the session never was.")
    stop: str | None = Field(None, description="RFC 3339, not before start; null: not known.")
    new: bool = Field(False, description="Whether no event speaks of this session.")


class ChangedCell(BaseModel):
    """A value of a report that changes."""

    path: str = Field(description="Where it is in the report.", examples=["flow_runs.total"])
    before: Any
    after: Any


class ChangedReport(BaseModel):
    """A month's report, in the account's time zone, and what changes in it."""

    model_config = ConfigDict(populate_by_name=True)

    first: str = Field(alias="from")
    last: str = Field(alias="to")
    timezone: str
    cells: list[ChangedCell]


class Place(BaseModel):
    """Where a correction is in Kafka."""

    topic: str
    partition: int
    offset: int


class Correction(BaseModel):
    """What a correction changes, and whether it was published and counted."""

    what: str
    reports: list[ChangedReport]
    issued: list[str] = Field(
        description="Numbers of issued reports of these days; they never change."
    )
    remarks: list[str]
    published: Place | None
    counted: bool


class PendingVoid(BaseModel):
    """A void whose event has not arrived."""

    type: str
    source: str
    id: str
    time: str
    amounts: dict[str, int] = Field(description="What is taken back, by metric.")
    reason: str
    actor: str
    voided_at: str


class Corrections(BaseModel):
    """What of an account is being corrected."""

    pending: list[PendingVoid] = Field(
        description="Voids whose event has not arrived: the sums are lower by what they take back."
    )
    total: int = Field(description="How many there are; at most 500 are listed.")
