"""Numbers of things in sentences: `1 event is`, `1,200 events are`."""

from typing import Final

#: Verbs as they follow one thing, and several.
_SEVERAL: Final = {"is": "are", "was": "were", "has": "have", "matches": "match"}


def quantity(number: int, noun: str, verb: str = "") -> str:
    """Return *number* with its *noun*, which is given for one, and the *verb* that agrees."""
    words = [f"{number:,}", noun if number == 1 else f"{noun}s"]
    if verb:
        words.append(verb if number == 1 else _SEVERAL[verb])
    return " ".join(words)
