"""Text that other people wrote is shown on a terminal as it is, and changes nothing there."""

import ast
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.client import Redis

from interaction_usage.commands import watch
from interaction_usage.commands.terminal import console, plain
from interaction_usage.store import account_settings, keys
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.memory_ledger import MemoryLedger

Process = Callable[..., "subprocess.Popen[bytes]"]
COMMANDS = Path(__file__).parents[2] / "interaction_usage" / "commands"

#: Names that rich or a terminal would make something else of.
NAMES = (
    "ACME [/b] GmbH",
    "[red]GmbH[eu]",
    "[link=http://x.invalid]here[/link]",
    "a :smile: b",
    "trailing \\",
    "\\[bold]",
    "[@click=app.bell]x[/]",
)


def on_a_terminal(process: Process, *arguments: str) -> tuple[int, str]:
    """Return the exit code of a command, and what it writes on a terminal 160 columns wide."""
    ours, theirs = pty.openpty()
    command = process(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, columns="160")
    os.close(theirs)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # how Linux tells its end
        while piece := terminal.read(65_536):
            shown += piece
    return command.wait(30), shown.decode()


@pytest.fixture
def process(redis_url: str) -> Process:
    """Return a function that starts `usage` on a terminal."""

    def start(
        *arguments: str, columns: str, stdin: int, stdout: int, stderr: int
    ) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ, "USAGE_REDIS": redis_url, "USAGE_KAFKA": "127.0.0.1:1",
            "COLUMNS": columns, "TERM": "xterm-256color",
        }  # fmt: skip
        command = [sys.executable, "-m", "interaction_usage.commands.main", *arguments]
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr)

    return start


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """Yield a client of the Redis of this module."""
    with Redis.from_url(redis_url) as client:
        yield client
        client.flushdb()


def test_names_stand_in_the_table_as_they_are(process: Process, redis: Redis) -> None:
    """Brackets are no markup and colons no emoji."""
    for number, name in enumerate(NAMES):
        account_settings.put(MemoryLedger(redis), f"a{number}", name=name)
    code, shown = on_a_terminal(process, "account", "list")
    assert code == 0, shown
    for number, name in enumerate(NAMES):
        assert re.search(rf"a{number} +{re.escape(name)} +UTC", shown)


def test_a_name_that_turns_the_line_around_leaves_the_others_alone(
    process: Process, redis: Redis
) -> None:
    """In a table and in lines: no character that sets a direction reaches the terminal."""
    account_settings.put(MemoryLedger(redis), "a", name="Acme \u202e\u2067 evil")
    for arguments in (("account", "list"), ("account", "show", "a")):
        code, shown = on_a_terminal(process, *arguments)
        assert code == 0
        assert "Acme \ufffd\ufffd evil" in shown


def test_a_name_that_was_never_checked_cannot_act_either(process: Process, redis: Redis) -> None:
    """A name is checked when it is set, and shown harmless whoever set it."""
    account_settings.put(MemoryLedger(redis), "a")
    redis.hset(keys.settings("a"), "name", "\x1b]0;x\x07")
    _, shown = on_a_terminal(process, "account", "list")
    assert "␛]0;x␇" in shown
    assert "\x1b]0" not in shown


def test_an_account_id_in_a_title_is_no_emoji() -> None:
    """`:` is a character of ids, and rich reads the titles of panels as markup."""
    look = {
        "account": "eu:smile:1", "timezone": "UTC", "stale": {"message": "[/b] \x1b[2J"},
        "hour": {"from": "2026-10-01T09:00:00Z", "to": "2026-10-01T10:00:00Z"},
        "series": {"agent": {"now": 1, "peak": 2, "peak_at": None, "open_long": 0}},
        "curve": {"levels": {"agent": [0, 1, 2]}},
        "completeness": {"reasons": ["[/i] \x1b[3J"]},
    }  # fmt: skip
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(watch.screen(look, 120), width=120)
    assert "eu:smile:1 · the hour from 09:00" in captured.get()
    assert "[/b] ␛[2J" in captured.get()
    assert "Incomplete: [/i] ␛[3J." in captured.get()


def test_a_line_shows_every_character() -> None:
    """Line ends and escapes as pictures, directions as what cannot be shown."""
    assert plain("a\nb\x1b[1m\u202ec\u2028d\x9b") == "a␊b␛[1m\ufffdc\ufffdd\ufffd"


@pytest.mark.parametrize("path", sorted(COMMANDS.glob("*.py")), ids=lambda path: path.stem)
def test_no_command_makes_a_console_or_markup_of_the_own(path: Path) -> None:
    """So that the next command's table is safe as well."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and path.stem != "terminal":
            assert node.module not in {"rich.console", "rich.markup", "rich.prompt"} or (
                {alias.name for alias in node.names} == {"Group"}
            )
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.search(r"\[/(bold|dim|cyan|red|green|yellow|b|i)?\]", node.value)
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name == "TextColumn":
                assert isinstance(node.args[0], ast.Constant | ast.Name)
            if name == "Panel":
                for keyword in node.keywords:
                    if keyword.arg in {"title", "subtitle"}:
                        assert not isinstance(keyword.value, ast.JoinedStr)


def test_a_person_replaces_a_report_only_with_force(
    process: Process, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """A file that is there stays as it is; where nobody sits at a terminal, it is replaced."""
    fill(redis_url, [flow("1")])
    report = tmp_path / "usage.csv"
    report.write_text("mine", "utf-8")
    command = ("export", "acme", "--month", "2026-10", "-o", str(report))
    code, shown = on_a_terminal(process, *command)
    assert (code, report.read_text("utf-8")) == (1, "mine")
    assert "exists; to replace it, pass --force." in shown
    code, _ = on_a_terminal(process, *command, "--force")
    assert code == 0
    assert "Usage Report" in report.read_text("utf-8")
