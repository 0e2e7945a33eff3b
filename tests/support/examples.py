"""How many examples a property test draws: all of them, or a fifth where QUICK is set.

`make pure` sets it, for the minute between two edits; `make test` draws all.
"""

import os
from typing import Final

IS_QUICK: Final = bool(os.environ.get("QUICK"))


def examples(count: int) -> int:
    """Return how many of *count* examples to draw."""
    return max(1, count // 5) if IS_QUICK else count
