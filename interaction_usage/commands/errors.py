"""The error of the commands, which all others become: exit code 1 and one line on stderr."""

import click

from interaction_usage.commands.terminal import plain


class CommandError(click.ClickException):
    """A command failed; the message is one sentence for the user."""

    exit_code = 1

    def format_message(self) -> str:
        """Return the sentence as one line, whatever the names in it are made of."""
        return plain(self.message)
