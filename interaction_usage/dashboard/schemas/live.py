"""The shapes of the live stream and of health."""

from pydantic import BaseModel, Field

from interaction_usage.dashboard.schemas.shared import Share, Whole


class LiveSeries(BaseModel):
    """A series at this second."""

    now: Whole = Field(description="Sessions present at this second.")
    peak: Whole = Field(description="The most at any second of this hour so far.")
    peak_at: str | None = Field(description="The first second with that peak.")
    open: Whole = Field(description="Sessions that were begun and not stopped.")
    open_long: Whole = Field(description="Of these, those for longer than `long_after`.")
    oldest_began: str | None = Field(description="When the oldest of those began.")


class ClockHour(BaseModel):
    """An hour of the account's wall clock."""

    first: str = Field(alias="from")
    to: str


class Curve(BaseModel):
    """Sessions present at each second, up to `as_of`."""

    first: int = Field(alias="from", description="The first second, since 1970-01-01T00:00:00Z.")
    levels: dict[str, list[int]]


class Alive(BaseModel):
    """That the server runs."""

    status: str = Field(description="`alive`.")


class Ready(BaseModel):
    """Whether the server can answer."""

    status: str = Field(description="`ready` or `not-ready`.")
    reasons: list[str] = Field(description="Why it cannot; empty if it can.")


class Stream(BaseModel):
    """How the stream of all accounts is; for operators, and null for an account's token."""

    workers: Whole | None
    events_per_second: Share | None
    lag: Whole | None = Field(description="Events not counted yet; null if unknown.")


class Stale(BaseModel):
    """Why the numbers may be older than they look."""

    reason: str = Field(
        description="`redis-away`, `layout` (the rollups are of another version), `no-worker`, "
        "`worker-waits`, `kafka-away` (no broker answers), `kafka-denied` (a right is missing), "
        "`topic-missing`, `lag`, or for operators `gaps`."
    )
    message: str


class Live(BaseModel):
    """The current hour, as it happens."""

    account: str
    as_of: str
    timezone: str
    hour: ClockHour
    series: dict[str, LiveSeries]
    curve: Curve
    long_after: dict[str, int] = Field(
        description="Seconds after which an open session is one for long, by application."
    )
    stream: Stream
    stale: Stale | None
    warnings: list[str] = Field(
        description="What may become trouble later, such as topics that Kafka deletes events from; "
        "for operators, and empty for an account's token."
    )
