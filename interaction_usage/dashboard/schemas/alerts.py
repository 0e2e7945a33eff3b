"""What the API of alerts takes and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["level", "maximum", "counter", "silence", "refusals"]


class RuleOrder(BaseModel):
    """A rule to set, or to preview."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = Field(
        description="`level`: sessions at once; `maximum` and `counter`: of the current month; "
        "`silence`: no events; `refusals`: events in dead letters."
    )
    target: str | None = Field(
        None, max_length=100, description="A series, or a counter such as `runs` or `clicks.chat`."
    )
    threshold: Annotated[float, Field(gt=0, le=10**12)] | None = Field(
        None, description="Reaching it is exceeding it. Not for `silence`, nor with `allowance`."
    )
    minutes: Annotated[int, Field(ge=1, le=1440)] | None = Field(
        None, description="How long a level must last, or how long nothing may come."
    )
    allowance: Annotated[float, Field(gt=0, le=10**12)] | None = Field(
        None, description="Of a counter: what was bought. A rule is set for each of `percents`."
    )
    percents: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        [80, 100], min_length=1, max_length=10
    )
    to: str = Field(
        max_length=2000, description="A webhook's `https://` URL, or `mailto:ops@example.com`."
    )
    label: str = Field("", max_length=200)


class AlertRule(BaseModel):
    """A rule with its state."""

    id: str
    account: str | None
    kind: str
    target: str | None
    threshold: float
    minutes: int | None
    allowance: float | None
    percent: int | None
    to: str
    label: str
    created: str
    by: str
    sentence: str = Field(description="What is watched, in words.")
    status: Literal["ok", "triggered", "unknown"]
    reason: str | None = Field(description="Why the status is unknown.")
    since: str
    value: float | None = Field(description="When the status last changed.")
    waiting: int = Field(description="Notifications that are not delivered yet.")
    failed: int = Field(description="Notifications that were given up after a day.")
    failed_at: str | None


class Alerts(BaseModel):
    """The rules of an account."""

    rules: list[AlertRule]
    evaluated: bool = Field(description="Whether a `usage alerts run` is running.")


class FiredStretch(BaseModel):
    """When a rule would have been triggered."""

    since: str
    to: str | None = Field(description="null: it still is")
    value: float | None


class RulePreview(BaseModel):
    """How often a rule would have fired in the last 90 days."""

    rule: str
    sentence: str
    times: int
    said: str = Field(description="The same in words.")
    stretches: list[FiredStretch] = Field(description="The last 50 of them.")


class AlertAttempt(BaseModel):
    """An attempt to deliver a notification."""

    id: str
    rule: str
    change: str
    to: str
    at: str
    number: int
    outcome: Literal["delivered", "failed", "given up"]
    answer: str
    next: str | None
