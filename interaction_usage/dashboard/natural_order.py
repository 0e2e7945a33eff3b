"""The order in which people expect names: numbers in them by their value. Pure."""

import re
from typing import Final

_NUMBERS: Final = re.compile(r"([0-9]+)")


def natural_key(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return what sorts *text* so that "Branch 2" comes before "Branch 10", in any case."""
    pieces = _NUMBERS.split(text.casefold())
    return tuple(
        (False, int(piece), "") if number % 2 else (True, 0, piece)
        for number, piece in enumerate(pieces)
        if piece
    )
