"""The shapes that several answers have."""

from typing import Annotated

from pydantic import BaseModel, Field

Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0)]


class Completeness(BaseModel):
    """Whether a report has everything that was published."""

    status: str = Field(
        description="`issued`; `open`: the period has not ended; `provisional`: it has, and all "
        "that is published is counted; `incomplete`: something published may be missing."
    )
    complete_to: str | None = Field(
        description="Everything published before it is counted or refused; null if unknown."
    )
    pending: Whole | None = Field(
        description="Events of all accounts that were waiting a moment ago; null if unknown."
    )
    refused: Whole = Field(
        description="Events of the account in these days that lie in dead letters, not replayed."
    )
    reasons: list[str] = Field(description="Why it is incomplete, a sentence each.")
    accepted: list[str] = Field(description="What is missing and was accepted, a sentence each.")


class Sentence(BaseModel):
    """What went wrong, in a sentence."""

    detail: str
