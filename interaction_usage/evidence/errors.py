"""Why evidence cannot be given.

EvidenceError           the root
├─ EvidenceTimeoutError a question took longer than it may
└─ UnknownCounterError  no counter has this name
"""


class EvidenceError(Exception):
    """Evidence that cannot be given; the message is one sentence without a full stop."""


class EvidenceTimeoutError(EvidenceError):
    """A question took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the events of this period take longer than {seconds:g} s to read; ask for fewer days"
        )


class UnknownCounterError(EvidenceError):
    """A name that no counter has; `near` is the counter with the most similar one, if any."""

    def __init__(self, name: str, near: str | None) -> None:
        hint = f"; did you mean {near}?" if near else ""
        super().__init__(f"there is no counter {name!r}{hint}")
        self.near = near
