"""`usage` itself: finds the subcommand and imports nothing else."""

import atexit
import errno
import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from interaction_usage.commands.encoding import adapt_output
from interaction_usage.commands.help_format import HelpFormatter

#: Subcommands in the order of `usage --help`: name, module, what it does.
COMMANDS = {
    "demo": (
        "interaction_usage.commands.demo",
        "Run the whole system on this machine, with live events.",
    ),
    "dev": ("interaction_usage.commands.dev", "Run a broker and Redis for development."),
    "worker": (
        "interaction_usage.commands.worker",
        "Run a worker: events from Kafka into the rollups.",
    ),
    "send": ("interaction_usage.commands.send", "Publish events from NDJSON files."),
    "lag": ("interaction_usage.commands.lag", "Show events published but not yet in the rollups."),
    "config": ("interaction_usage.commands.config", "Show the settings that are used here."),
    "doctor": ("interaction_usage.commands.doctor", "Check that everything is in place."),
    "export": ("interaction_usage.commands.export", "Write an account's Usage Report."),
    "explain": (
        "interaction_usage.commands.explain",
        "Show the events behind a number of a report.",
    ),
    "concurrency": (
        "interaction_usage.commands.concurrency",
        "Show other ways to bill the same concurrency.",
    ),
    "capacity": (
        "interaction_usage.commands.capacity",
        "Show what a licence of so many sessions would have meant.",
    ),
    "sessions": (
        "interaction_usage.commands.sessions",
        "List sessions that were open for long, or still are.",
    ),
    "verify": (
        "interaction_usage.commands.verify",
        "Verify reports: every number from the events against the rollups.",
    ),
    "reports": (
        "interaction_usage.commands.reports",
        "Issue reports, which never change, and compare them.",
    ),
    "watch": (
        "interaction_usage.commands.watch",
        "Show the current hour's concurrency live in the terminal.",
    ),
    "serve": ("interaction_usage.commands.serve", "Serve the dashboard and its API."),
    "token": ("interaction_usage.commands.token", "Manage access to the dashboard and its API."),
    "account": ("interaction_usage.commands.account", "Configure and show accounts."),
    "alerts": (
        "interaction_usage.commands.alerts",
        "Notify when usage crosses a threshold: rules, deliveries.",
    ),
    "dead-letters": (
        "interaction_usage.commands.dead_letters",
        "Inspect and replay refused events.",
    ),
    "correct": (
        "interaction_usage.commands.correct",
        "Take an event back, or correct a session.",
    ),
    "gaps": ("interaction_usage.commands.gaps", "List and accept what Kafka deleted uncounted."),
    "backup": ("interaction_usage.commands.backup", "Write everything a bill needs to a file."),
    "restore": ("interaction_usage.commands.backup", "Restore what `usage backup` wrote."),
    "upgrade": (
        "interaction_usage.commands.upgrade",
        "Upgrade the rollups of an earlier version.",
    ),
    "rebuild": (
        "interaction_usage.commands.rebuild",
        "Rebuild the rollups from the topics, or verify them.",
    ),
    "archive": (
        "interaction_usage.commands.archive",
        "Keep a copy of every record in Parquet files.",
    ),
    "completion": (
        "interaction_usage.commands.completion",
        "Print the completion script of a shell.",
    ),
}


#: The same by what they are for, as `usage --help` shows them.
GROUPS = {
    "Try and set up": ("demo", "dev", "config", "doctor", "completion"),
    "Count events": ("worker", "send", "lag"),
    "Report": ("export", "reports", "watch", "sessions", "serve", "alerts"),
    "Explain a number": ("explain", "concurrency", "capacity", "verify"),
    "Accounts and access": ("account", "token"),
    "Correct": ("correct", "dead-letters", "gaps"),
    "Operate": ("backup", "restore", "upgrade", "rebuild", "archive"),
}

#: After how many new objects Python looks for cycles among the youngest, and how often among older
#: ones. A command makes modules, events and answers, which are no garbage: with Python's numbers a
#: third of the time of `usage archive once` was spent on looking, a twelfth of `usage export`.
_COLLECTS_AFTER = 100_000, 20, 20

#: Errors of the system for an output that cannot be written to.
_OUTPUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF}
#: The exit code that Python gives a process whose last output could not be written.
_OUTPUT_LOST = 120


class Commands(click.Group):
    """A group that imports a subcommand's module when it is used, and prints errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; for a mistyped one, suggest the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean `usage {near[0]}`?" if near else " See `usage --help`."
            raise click.UsageError(f"There is no command `{args[0]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a subcommand without importing any, or an option."""
        found = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands in their groups, without importing them."""
        width = max(map(len, COMMANDS))
        for title, names in GROUPS.items():
            with formatter.section(title):
                # As wide as the longest of all, so that the groups are aligned.
                formatter.write_dl([(name.ljust(width), COMMANDS[name][1]) for name in names])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run `usage`; an error of the output or of a file becomes one line, too.

        A pipe without a reader ends it silently; click does that.
        """
        adapt_output()
        try:
            return super().main(*args, **extra)
        except OSError as error:
            with suppress(OSError):  # the standard error may be as full
                click.echo(f"Error: {_sentence(error)}", err=True)
            _give_up_output()
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; an invalid setting becomes one line."""
        from interaction_usage.commands.errors import CommandError
        from interaction_usage.commands.terminal import plain
        from interaction_usage.settings import InvalidSettingError

        try:
            return super().invoke(ctx)
        except InvalidSettingError as error:
            raise CommandError(str(error)) from None
        except click.exceptions.NoArgsIsHelpError:  # the help, with colours of its own
            raise
        except click.UsageError as error:  # it quotes what was typed
            error.message = "\n".join(map(plain, error.message.splitlines()))
            raise


def _sentence(error: OSError) -> str:
    why = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename!r}: {why}."
    if error.errno in _OUTPUT_ERRORS:
        return f"The output could not be written: {why}."
    return f"{why}."


def _give_up_output() -> None:
    """Discard what is left of the output: Python would write it once more when it exits."""
    with suppress(OSError, AttributeError, ValueError):
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)


def _show_version(ctx: click.Context, _option: click.Parameter, is_wanted: bool) -> None:
    if not is_wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    from interaction_usage.store.keys import LAYOUT

    click.echo(f"usage, version {version('interaction-usage')}, layout {LAYOUT}")
    ctx.exit()


click.Context.formatter_class = HelpFormatter


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False,
    callback=_show_version,
    help="Show the version, and the layout of the rollups that it reads.",
)  # fmt: skip
def main() -> None:
    """Usage metering for interaction platforms: Kafka events in, exact Usage Reports out.

    \b
    Example:
      usage export acme --from 2026-10-01 --to 2026-10-31
    """


def run() -> None:
    """Run `usage` as the process that it is, and end that at once when everything has ended.

    Threads of librdkafka may still run then. C's own `exit` takes OpenSSL away from under them: of
    40 workers whose certificate was refused, three ended with a segmentation fault.
    """
    code = 1

    def end() -> None:
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed
                stream.flush()
        except (OSError, ValueError):
            os._exit(_OUTPUT_LOST)
        os._exit(code)

    gc.set_threshold(*_COLLECTS_AFTER)
    atexit.register(end)  # before anything that a command registers, so it is called after that
    try:
        main()
    except SystemExit as ending:
        code = _exit_code(ending)
        raise


def _exit_code(ending: SystemExit) -> int:
    """Return the exit code that Python gives a process that ends so."""
    if ending.code is None:
        return 0
    return ending.code if isinstance(ending.code, int) else 1


if __name__ == "__main__":
    run()
