"""The shapes of refused events in the API, for OpenAPI."""

from pydantic import BaseModel, ConfigDict, Field

from interaction_usage.dashboard.schemas.shared import Whole


class RefusedRecord(BaseModel):
    """A refused record."""

    origin: str = Field(description="Topic, partition and offset, which name it.")
    reason: str
    sentence: str = Field(description="What is wrong with it.")
    to_do: str = Field(description="How to fix it.")
    refused_at: str
    account: str | None = Field(description="Its `subject`; null where that cannot be read.")
    id: str | None
    source: str | None
    type: str | None
    time: str | None
    is_open: bool = Field(description="Whether it is not counted: not replayed, or refused again.")
    refusals: Whole
    replays: Whole
    left_out: str | None = Field(description="What was too large to keep; null: all is there.")


class RefusedGroup(BaseModel):
    """Open records that were refused for one cause."""

    reason: str
    cause: str = Field(description="What is wrong, without what differs from event to event.")
    means: str
    to_do: str
    records: Whole
    accounts: list[str] = Field(description="Some of the accounts whose events these are.")
    first_at: str
    last_at: str
    sample: RefusedRecord = Field(description="The newest of them.")


class RefusedEvents(BaseModel):
    """What was refused, by reason and cause, the most first."""

    total: Whole = Field(description="Open records.")
    groups: list[RefusedGroup]
    replayed: Whole = Field(description="Records that were replayed and not refused since.")
    is_complete: bool = Field(description="Whether all dead letters were looked at.")
    found: list[RefusedRecord] = Field(description="Those with the id that was asked for.")


class RefusedContent(BaseModel):
    """A refused record with its bytes, as text."""

    record: RefusedRecord
    key: str | None
    headers: list[tuple[str, str | None]]
    value: str | None
    is_cut: bool = Field(description="Whether there is more than is shown.")


class ToReplay(BaseModel):
    """Which open records to publish again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=100)
    cause: str = Field(min_length=1, max_length=2000, description="As a group has it.")
    account: str | None = Field(
        None, max_length=128, description="Only records of this account; null: of all."
    )


class Replayed(BaseModel):
    """What was published again."""

    replayed: Whole
    problems: list[str] = Field(description="What was not, and why; empty if all was.")
