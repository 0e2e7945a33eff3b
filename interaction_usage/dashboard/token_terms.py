"""What may be asked of a new token: its label, and when it expires. Pure.

The command and the page take the same words: `30d`, `2027-01-31` or `never`.
"""

import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

_DAY: Final = 86_400
#: Days after which a token may expire at most.
MOST_DAYS: Final = 3660
#: Characters of a label.
MOST_LABEL: Final = 100


def label_of(text: str) -> str:
    """Return *text* as a label, which logs and terminals can show. Raises ValueError."""
    label = text.strip()
    if len(label) > MOST_LABEL or any(
        unicodedata.category(each) in ("Cc", "Cs", "Cn", "Zl", "Zp") for each in label
    ):
        raise ValueError(f"a label has at most {MOST_LABEL} characters and no control characters")
    return label


def expiry_of(text: str, now: int) -> int | None:
    """Return the second from which on a token is worthless; None for never. Raises ValueError."""
    if text == "never":
        return None
    if found := re.fullmatch(r"([1-9][0-9]{0,8})d", text):
        expires = now + int(found[1]) * _DAY
    else:
        try:
            day = datetime.combine(date.fromisoformat(text), time.min, UTC)
            expires = int((day + timedelta(days=1)).timestamp())
        except (ValueError, OverflowError):
            raise ValueError(f"{text!r} is not an expiry like 30d, 2027-01-31 or never") from None
        if expires <= now:
            raise ValueError(f"{text} is in the past")
    if expires > now + (MOST_DAYS + 1) * _DAY:
        raise ValueError(f"at most {MOST_DAYS:,} days; or never")
    return expires
