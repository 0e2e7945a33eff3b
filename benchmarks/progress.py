"""What a benchmark is doing, on the standard error: one that is silent looks stuck."""

import sys
import time

_BEGAN = time.monotonic()


def say(sentence: str) -> None:
    """Print *sentence* with the seconds since the start of the process."""
    print(f"[{time.monotonic() - _BEGAN:5.0f} s] {sentence}", file=sys.stderr, flush=True)
