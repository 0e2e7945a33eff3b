"""Options that take seconds."""

import math
from typing import Any

import click

#: The longest time that an option takes: ten days.
_MAX_SECONDS = 864_000


class Seconds(click.FloatRange):
    """A number of seconds from *least* on; no `nan`, which is neither below nor above a bound."""

    name = "seconds"

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=_MAX_SECONDS)
        self._least = least

    def _describe_range(self) -> str:
        """Return nothing: nobody wants to read of `0<=x<=864000` in the help."""
        return ""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number that *value* is."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not self._least <= seconds <= _MAX_SECONDS:
            wanted = f"a number of seconds from {self._least:g} to {_MAX_SECONDS:,}"
            self.fail(f"{value!r} is not {wanted}", param, ctx)
        return seconds
