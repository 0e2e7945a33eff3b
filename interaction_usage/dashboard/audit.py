"""What operators do that no report shows: a line of the log for each, whatever else is logged.

Each says who, by the label and the id of their token (never the token), and what. These lines have
the access log's bound, and not that of other lines (`logs`): none of them is to be missing.
"""

import logging

from interaction_usage.dashboard.auth import Asker

log = logging.getLogger(__name__)


def note(asker: Asker, what: str) -> None:
    """Log that *asker* did *what*."""
    log.info("%s (%s) %s", asker.author.name, asker.author.token or "no token", what)
