"""The one way in which a command fails: exit code 1 and one line on stderr."""

import click

from interaction_usage.commands.terminal import plain


class Failure(click.ClickException):
    """A failure said in one sentence."""

    exit_code = 1

    def format_message(self) -> str:
        """Return the sentence as one line, whatever the names in it are made of."""
        return plain(self.message)
