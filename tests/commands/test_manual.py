"""What people look up besides `--help`: the manual page, the version, what a shell completes."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from interaction_usage.commands.main import COMMANDS, main
from interaction_usage.commands.manual import manual
from interaction_usage.settings import VARIABLES
from interaction_usage.store.keys import LAYOUT

PAGE = Path(__file__).parents[2] / "docs" / "man" / "usage.1"
Usage = Callable[..., Result]


def test_the_manual_page_is_current() -> None:
    """`make docs` writes it again."""
    assert PAGE.read_text("utf-8") == manual()


def test_the_manual_page_has_everything() -> None:
    """Each command and each setting, and lines that the format takes as they are."""
    page = manual().replace(r"\-", "-")
    for command in COMMANDS:
        assert re.search(rf"^\.SS usage {command}\b", page, re.MULTILINE)
    for variable in VARIABLES:
        assert rf"\fB{variable}\fR" in page
    requests = set(re.findall(r"^\.(\w+)", page, re.MULTILINE))
    assert requests == {"TH", "SH", "SS", "TP", "PP", "B", "nf", "fi"}
    assert not re.search(r"^'", page, re.MULTILINE)


def test_the_manual_page_can_be_shown(need: Callable[[str, str], str]) -> None:
    """By groff, without a warning."""
    groff = need("groff", "the manual page")
    shown = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8", str(PAGE)], capture_output=True, check=True, timeout=30
    )
    assert shown.stderr == b""
    assert b"usage metering" in shown.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version(usage: Usage, option: str) -> None:
    """Of the package, and of what it reads in Redis."""
    shown = usage(option).stdout
    assert re.fullmatch(rf"usage, version \d+\.\d+\.\d+\S*, layout {LAYOUT}\n", shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(usage: Usage, shell: str) -> None:
    """It asks `usage` itself what may follow."""
    done = usage("completion", shell)
    assert done.exit_code == 0
    assert f"_USAGE_COMPLETE={shell}_complete" in done.stdout


def test_a_shell_without_a_script(usage: Usage) -> None:
    """Wrong usage, and which there are."""
    done = usage("completion", "csh")
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "dea", ["dead-letters"]),
        ([], "--v", ["--version"]),
        (["account"], "s", ["set", "show"]),
        (["export"], "--req", ["--require-complete"]),
        (["completion"], "z", ["zsh"]),
    ],
)
def test_what_is_completed(words: list[str], incomplete: str, expected: list[str]) -> None:
    """Commands, their subcommands, options and choices."""
    found = ShellComplete(main, {}, "usage", "_USAGE_COMPLETE").get_completions(words, incomplete)
    assert [each.value for each in found] == expected
