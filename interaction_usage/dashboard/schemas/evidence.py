"""The shapes of evidence: explanations, other ways to count, capacity."""

from typing import Any

from pydantic import BaseModel, Field

from interaction_usage.dashboard.schemas.shared import Share, Whole


class EvidenceEvent(BaseModel):
    """An event behind a number, and where it is in Kafka."""

    source: str
    id: str
    type: str
    time: str
    topic: str
    partition: Whole
    offset: Whole
    reason: str | None = Field(None, description="Why, of a correction; left out of other events.")
    actor: str | None = Field(None, description="Who made a correction, if it says so.")


class PresentSession(BaseModel):
    """A session that was present at a second."""

    application: str
    session: str | None = Field(description="Null where a setting hides sessions from accounts.")
    start: str = Field(description="The first second at which it was present, local time.")
    stop: str = Field(description="The second after the last one.")
    inferred: bool = Field(description="Whether it has no stop, so that its end is inferred.")
    corrected: bool = Field(description="Whether a correction replaced its start and stop.")
    events: list[EvidenceEvent]


class MinuteCurve(BaseModel):
    """The highest level of each minute of an hour."""

    begins: str
    minutes: list[Whole]


class Explanation(BaseModel):
    """When a maximum was reached, and who was there; computed from the events."""

    account: str
    series: str
    max: Whole
    at: str | None = Field(description="The first second with the maximum, local time.")
    seconds_at_max: Whole
    agrees: bool = Field(description="Whether the rollups have the same maximum.")
    sessions: list[PresentSession]
    rollups: Whole = Field(description="The maximum that the rollups have.")
    curve: MinuteCurve | None = Field(description="The hour of it; null where nothing is present.")
    made_from: dict[str, Any] = Field(description="What the answer was made from.")


class OtherCounts(BaseModel):
    """Other ways to bill the same curve; computed from the events."""

    max: Whole
    sustained: dict[str, Whole] = Field(
        description="Minutes to the most sessions for so many minutes in a row."
    )
    accumulated: dict[str, Whole] = Field(
        description="Minutes to the most sessions for so many minutes in all."
    )
    percentile: dict[str, Whole] = Field(
        description="Percentiles over the highest level of each minute."
    )
    time_average: Share
    seconds: Whole = Field(description="The seconds of the period up to the as-of instant.")
    made_from: dict[str, Any] = Field(description="What the answer was made from.")


class Capacity(BaseModel):
    """What a licence of so many sessions would have meant."""

    sessions: Whole
    started: Whole
    refused: Whole
    seconds_above: Whole
    episodes: Whole
    longest: Whole
