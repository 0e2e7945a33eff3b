"""The shapes of accounts and their settings."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Account(BaseModel):
    """An account and its settings."""

    account: str = Field(description="The account id.")
    name: str = Field(description="The name on the report; the id if never set.")
    timezone: str = Field(description="IANA time zone of its days.", examples=["Europe/Paris"])
    dnis: bool = Field(description="Whether the DNIS section of the report applies.")
    sms: bool = Field(description="Whether the Outgoing SMS section of the report applies.")
    late_usage: Literal["revise", "adjust"] = Field(
        description="What becomes of usage that comes, or is corrected, after its report was "
        "issued: an operator may revise the report, or the next one has an adjustment."
    )


class ListedAccount(Account):
    """An account in the list, with what is new of it; some seconds old."""

    last_counted: str | None = Field(
        description="When an event was last counted; null: not for 35 days, or never."
    )
    flow_runs: int | None = Field(description="Flow runs of this month so far.")
    is_known: bool = Field(description="Whether these two were read yet.")


class AccountDetails(Account):
    """An account, with what the deployment says of it."""

    counted: bool = Field(description="Whether any event was counted for it.")
    session_limits: dict[str, int] = Field(
        description="Seconds after which a session without a stop ends, by application. A setting "
        "of the deployment; it cannot be changed here."
    )
    may_change: list[str] = Field(description="The settings that your token may change.")


class AccountChange(BaseModel):
    """What to set of an account; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(None, description="1 to 200 printable characters.")
    timezone: str | None = Field(None, description="IANA name.", examples=["Europe/Paris"])
    dnis: bool | None = None
    sms: bool | None = None
    late_usage: Literal["revise", "adjust"] | None = None


class SettingChange(BaseModel):
    """One setting of an account that got another value."""

    id: str = Field(description="For `before`; ids grow with time.")
    at: str
    by: str = Field(
        description="The label of the token, or its role where it has none; `command` for `usage "
        "account set`. For an account's token `operator` stands for all operators."
    )
    token: str | None = Field(description="The id of the token, as `usage token list` shows it.")
    field: str
    old: str | bool = Field(alias="from")
    new: str | bool = Field(alias="to")


class AccountHistory(BaseModel):
    """Changes of an account's settings, newest first."""

    changes: list[SettingChange]
    next: str | None = Field(description="The `before` of the next page; null on the last one.")


class MonthEdge(BaseModel):
    """The edge between a month in the old time zone and the next one in the new time zone."""

    before: str = Field(description="The month that ends.", examples=["2026-10"])
    month: str = Field(description="The month that begins.", examples=["2026-11"])
    ended: str = Field(description="When the first ends, in the old time zone.")
    begins: str = Field(description="When the second begins, in the new time zone.")
    seconds: int = Field(
        description="How much later it begins: so much time is on no bill; below 0, on both."
    )


class ZoneChange(BaseModel):
    """What another time zone would do to days and bills."""

    old: str = Field(alias="from")
    new: str = Field(alias="to")
    months: list[MonthEdge]
    sentences: list[str] = Field(description="The same for people; empty where the zone stays.")


class DaysWithUsage(BaseModel):
    """From when to when an account has usage."""

    first: date | None = Field(description="The first local day with usage; null if there is none.")
    last: date | None


class Zone(BaseModel):
    """A time zone."""

    name: str = Field(description="IANA name.")
    offset: int = Field(description="Its offset from UTC now, in seconds.")
    also: str = Field(description="Its country, and former names of it.")
