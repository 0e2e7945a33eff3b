"""The command line itself: help, typos, and how little is imported."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import Result

from interaction_usage.commands.main import COMMANDS, GROUPS, main

Usage = Callable[..., Result]


def every_command() -> Iterator[list[str]]:
    """Yield the words of each command and subcommand."""
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, sub] for sub in command.commands)


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_command_has_help_with_an_example(usage: Usage, words: list[str]) -> None:
    """`--help` shows a line to copy."""
    done = usage(*words, "--help")
    assert done.exit_code == 0
    assert "Example" in done.stdout
    assert "..." not in done.stdout.partition("\nCommands:")[2]  # nothing is cut
    assert "\n    usage " in done.stdout or "\n    USAGE_KAFKA" in done.stdout


def test_every_command_is_in_one_group(usage: Usage) -> None:
    """And the list of `usage --help` has all of them, each under the title of its group."""
    assert Counter(name for names in GROUPS.values() for name in names) == Counter([*COMMANDS])
    shown = usage("--help").stdout
    for title, names in GROUPS.items():
        part = shown.partition(f"{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines() if line[2] != " "] == [*names]


def test_help_has_colours_on_a_terminal_unless_they_are_not_wanted(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe gets plain text; `NO_COLOR` is honoured."""
    assert "\x1b[" not in usage("lag", "--help").stdout
    assert "\x1b[36m\x1b[1mOptions:" in usage("lag", "--help", color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in usage("lag", "--help", color=True).stdout


def test_a_mistyped_command_is_answered_with_the_nearest(usage: Usage) -> None:
    """Exit code 2, as for all wrong usage."""
    done = usage("exprot")
    assert done.exit_code == 2
    assert "Did you mean `usage export`?" in done.stderr


@pytest.mark.parametrize("needless", ["faust", "confluent_kafka", "xlsxwriter", "rich"])
def test_export_imports_nothing_it_does_not_need(needless: str) -> None:
    """Its start is what an operator waits for."""
    code = (
        "import sys; from interaction_usage.commands.main import main;"
        "main.get_command(None, 'export');"
        "import interaction_usage.store.reads, interaction_usage.reports.build;"
        f"sys.exit('{needless}' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
