"""Why a report cannot be made.

ReportError            the root
├─ PeriodError         the days, alone or in their time zone, cannot be a report's
├─ TimeZoneError       the requested time zone does not exist
├─ AccountZoneError    the account's own time zone is no longer usable
└─ UnknownAccountError the account does not exist
"""


class ReportError(ValueError):
    """A report that cannot be made; the message is one sentence without a full stop."""


class PeriodError(ReportError):
    """Days that no report can cover."""


class TimeZoneError(ReportError):
    """A requested time zone that does not exist."""


class AccountZoneError(ReportError):
    """An account whose own time zone is no longer usable, as earlier versions accepted more."""

    def __init__(self, account: str, reason: str) -> None:
        super().__init__(reason)
        self.account = account


class UnknownAccountError(ReportError):
    """An account that does not exist."""

    def __init__(self, account: str) -> None:
        super().__init__(f"there is no account {account!r}")
        self.account = account
