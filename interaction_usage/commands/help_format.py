"""How help looks on a terminal: headings and names stand out, unless `NO_COLOR` is set.

click leaves the colours out where the output is no terminal. Its own formatter is kept and not
replaced by a library's: rich takes longer to import than `usage export` takes to start.
"""

import os
from collections.abc import Sequence

import click


class HelpFormatter(click.HelpFormatter):
    """click's formatter, with colours."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line that shows how a command is used."""
        super().write_usage(_styled(prog, bold=True), args, _styled(prefix or "Usage: ", fg="cyan"))

    def write_heading(self, heading: str) -> None:
        """Write a heading, such as `Options:`."""
        self.write(f"{'':>{self.current_indent}}{_styled(f'{heading}:', fg='cyan', bold=True)}\n")

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names, such as those of options, beside what is said of each."""
        styled = [(_styled(name, bold=True), text) for name, text in rows]
        super().write_dl(styled, col_max, col_spacing)


class Subcommands(click.Group):
    """A group that says of each subcommand its whole first sentence; click cuts it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, _first_sentence(command.help or "")))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return f"{paragraph.partition('. ')[0].removesuffix('.')}."


def _styled(text: str, *, fg: str | None = None, bold: bool = False) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=fg, bold=bold)
