"""Outputs that cannot show every character: what they get, and that nothing breaks."""

import io
import os
import subprocess
import sys

import click
import pytest
from rich.console import Console
from rich.panel import Panel

from interaction_usage.commands.encoding import adapt_output
from interaction_usage.commands.terminal import curve

TEXT = "“Rückruf” … 回電 →"


class Terminal(io.BytesIO):
    """Bytes on their way to a terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def shown(encoding: str, monkeypatch: pytest.MonkeyPatch, raw: io.BytesIO, **env: str) -> str:
    """Return what click and rich write to an output of this encoding."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", None)
    adapt_output(env)
    click.echo(TEXT)
    Console(width=20, color_system=None).print(Panel(curve([0, 1, 4, 8], 4)))
    sys.stdout.flush()
    written = raw.getvalue()
    sys.stdout = sys.__stdout__
    return written.decode(encoding)


def test_ascii_gets_the_nearest_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes and frames have one; a name is escaped, so that no two become the same."""
    text, *frame = shown("ascii", monkeypatch, io.BytesIO()).splitlines()
    assert text == '"R\\xfcckruf" ... \\u56de\\u96fb ->'
    assert frame == ["+" + "-" * 18 + "+", "|  .=@" + " " * 13 + "|", "+" + "-" * 18 + "+"]


def test_another_encoding_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latin-1 has the ü, and no ellipsis."""
    text = shown("latin-1", monkeypatch, io.BytesIO()).splitlines()[0]
    assert text == '"Rückruf" ... \\u56de\\u96fb ->'


@pytest.mark.parametrize(
    ("raw", "env", "is_plain"),
    [
        (Terminal(), {"LC_ALL": "C"}, True),
        (Terminal(), {"LANG": "POSIX"}, True),
        (Terminal(), {"LANG": "C.UTF-8"}, False),
        (Terminal(), {"LC_ALL": "de_DE.UTF-8", "LANG": "C"}, False),
        (Terminal(), {}, False),
        (io.BytesIO(), {"LC_ALL": "C"}, False),  # `LC_ALL=C sort` wants the names as they are
    ],
)
def test_a_terminal_of_the_c_locale_gets_ascii(
    raw: io.BytesIO, env: dict[str, str], is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though Python writes UTF-8 there."""
    assert shown("utf-8", monkeypatch, raw, **env).isascii() is is_plain


@pytest.mark.servers
def test_a_command_writes_ascii_where_nothing_else_is_allowed() -> None:
    """Help has an ellipsis; the error quotes what was typed."""
    command = [sys.executable, "-m", "interaction_usage.commands.main", "export"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for arguments in (["--help"], ["Rückruf", "--month", "‘2026’"]):
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True)
        assert (done.stdout + done.stderr).isascii(), done
        assert b"Traceback" not in done.stderr
