"""The shapes of sessions that were open for long in the API, for OpenAPI."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from interaction_usage.dashboard.schemas.shared import Whole


class LongSession(BaseModel):
    """A session that was open for long, or still is."""

    application: str
    session: str | None = Field(description="Null where a setting hides sessions from accounts.")
    start: str = Field(description="The first second at which it was present, local time.")
    stop: str | None = Field(description="The second after the last one; null while it is open.")
    state: Literal["open", "limit", "stopped"] = Field(
        description="`limit`: it has no stop, and ended when the session limit had passed."
    )
    corrected: bool = Field(description="Whether a correction replaced its start and stop.")
    seconds: Whole = Field(description="How long it was open, up to now if it is.")


class LongSessions(BaseModel):
    """Sessions that were open for long, the longest first; computed from the events."""

    account: str
    as_of: str
    total: Whole = Field(description="How many there are; at most 1,000 are listed.")
    sessions: list[LongSession]
    made_from: dict[str, Any] = Field(description="What the answer was made from.")
