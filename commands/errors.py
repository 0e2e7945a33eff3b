"""The one way in which a command fails: exit code 1 and one line on stderr."""

import click


class Failure(click.ClickException):
    """A failure said in one sentence."""

    exit_code = 1
