"""Why an explanation cannot be given, beside what evidence and reports raise themselves.

ExplanationError     the root
├─ EventsUnavailableError  the events cannot be read now
└─ AccountChangingError    the account changes faster than it can be compared
"""


class ExplanationError(Exception):
    """An explanation that cannot be given; the message is one sentence without a full stop."""


class EventsUnavailableError(ExplanationError):
    """The events cannot be read: neither archive nor Kafka gives them."""


class AccountChangingError(ExplanationError):
    """What is counted of an account changed at every attempt to read it."""

    def __init__(self, account: str) -> None:
        super().__init__(
            f"account {account} changes too often to be compared; ask for a period that has ended"
        )
        self.account = account
