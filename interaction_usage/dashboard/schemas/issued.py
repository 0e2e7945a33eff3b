"""The shapes of issued reports."""

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from interaction_usage.dashboard.schemas.shared import Whole


class IssuedReport(BaseModel):
    """An issued report, and whether it would be another one now."""

    model_config = ConfigDict(populate_by_name=True)

    number: str = Field(examples=["acme-000001"])
    account: str
    first: str = Field(alias="from", description="First local day.")
    to: str = Field(description="Last local day, inclusive.")
    timezone: str
    issued_at: str
    revises: str | None = Field(description="The number of the report that it revises.")
    revised_by: str | None = Field(description="The number of the report that revises it.")
    changed: Whole | None = Field(
        description="How many of its numbers would be others now than what is billed, adjustments "
        "included; null where that is not known: it is revised, or many newer ones are."
    )
    adjusts: list[str] = Field(description="The numbers of the reports that it adjusts.")
    adjusted_by: list[str] = Field(description="The numbers of the reports that adjust it.")


class IssueOrder(BaseModel):
    """A report to issue."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    first: date = Field(alias="from", description="First local day.")
    to: date = Field(description="Last local day, inclusive.")
    revises: str | None = Field(None, max_length=140, description="The report that it replaces.")
    gap: bool = Field(False, description="Leave out time beside it that is on no report.")
    overlap: bool = Field(False, description="Bill time that is on an issued report already.")


class IssuedNumber(BaseModel):
    """The number of an issued report."""

    number: str
    new: bool = Field(description="Whether it was issued now; otherwise it was before.")


class Obstacle(BaseModel):
    """What keeps a report from being issued."""

    kind: str = Field(description="`NotFinished`, `PeriodGap`, `PeriodOverlap` or `Revision`.")
    sentence: str


class IssuePreview(BaseModel):
    """What would be issued."""

    number: str
    issued: bool = Field(description="Whether it is issued already.")
    timezone: str
    obstacles: list[Obstacle]
    report: dict[str, Any] = Field(description="The report, as it would be issued.")


class DifferentCell(BaseModel):
    """A value that is another now."""

    path: str = Field(examples=["flow_runs.total"])
    issued: Any
    now: Any


class IssuedDifference(BaseModel):
    """What an issued report would say now."""

    number: str
    changed: bool
    cells: list[DifferentCell]
