"""The shapes of tokens in the API, for OpenAPI."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Token(BaseModel):
    """A token: whom it lets see what. Itself it is stored nowhere."""

    id: str = Field(description="By which it is listed and revoked.")
    account: str | None = Field(description="The one account it is for; null for an operator's.")
    role: Literal["viewer", "manager", "operator"]
    label: str
    created: str
    expires: str | None = Field(description="The instant from which on it is refused; null: never.")
    expired: bool
    last_used: str | None = Field(description="To a minute; null: never.")
    yours: bool = Field(description="Whether this request was made with it.")


class NewToken(Token):
    """A token that was just created."""

    token: str = Field(description="The token itself, shown this once.")


class TokenWanted(BaseModel):
    """A token to create."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["viewer", "manager", "operator"] = "viewer"
    account: str | None = Field(
        None, max_length=128, description="The one account it is for; null for an operator's."
    )
    label: str = Field("", max_length=400, description="Who uses it.")
    expires: str = Field(
        "365d", max_length=40,
        description="Days like `30d`, the last day (UTC) like `2027-01-31`, or `never`.",
    )  # fmt: skip


class Tokens(BaseModel):
    """All tokens, the newest first."""

    tokens: list[Token]
