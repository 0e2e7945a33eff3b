"""The name of whoever runs a command, where it is recorded."""

import getpass
from typing import Final

MOST_CHARACTERS: Final = 100


def user_name() -> str:
    """Return the name of the user, or `unknown`."""
    try:
        return getpass.getuser()[:MOST_CHARACTERS]
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
