"""The errors of alerts.

AlertError
├── InvalidRuleError       a rule that cannot be watched; it names the member
├── RuleNotFoundError      there is no rule with this id
├── ForbiddenAddressError  a webhook's host is inside, and not allowed
└── LeaseLostError         another process evaluates now
"""


class AlertError(Exception):
    """The root of these errors."""


class InvalidRuleError(AlertError):
    """A rule that cannot be watched."""

    def __init__(self, member: str, sentence: str) -> None:
        super().__init__(sentence)
        self.member = member


class RuleNotFoundError(AlertError):
    """There is no rule with this id."""


class ForbiddenAddressError(AlertError):
    """A webhook's host has an address that must not be asked."""


class LeaseLostError(AlertError):
    """Another process evaluates now."""
