"""What an operator may mistype: said in a sentence, with the exit code that scripts rely on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Usage = Callable[..., Result]

#: Half of a surrogate pair is what Python makes of an argument that is not UTF-8.
BYTES = "\udcff"


@pytest.mark.parametrize(
    "arguments",
    [
        *[("watch", account) for account in ("", "bad id", BYTES, "a\0b", "..", "x" * 3000)],
        *[("account", "show", account) for account in ("", "bad id", BYTES, ".")],
        *[("token", "create", "--account", account) for account in ("", "bad id", BYTES)],
        *[("watch", "acme", "--seconds", text) for text in ("nan", "inf", "0", "soon", "1e9")],
        *[("lag", "--until-zero", text) for text in ("nan", "inf", "-1", "1e400", "")],
        *[("send", "-", "--patience", text) for text in ("nan", "inf", "0", "1e300")],
        *[("demo", "--seconds", text) for text in ("nan", "inf", "0")],
        *[("dead-letters", "show", text) for text in ("x", "usage.flows/-1/0", "a/٣/0", BYTES)],
        ("dead-letters", "list", "--limit", "0"),
        ("export", "--all", "--month", "2026-10", "-d", ""),
        ("account", "set", "acme", "--name", BYTES),
        ("account", "set", "acme", "--timezone", BYTES),
        ("exprot",),
        ("account", "lst"),
    ],
)
def test_wrong_usage_is_exit_code_2_before_anything_is_connected_to(
    usage: Usage, arguments: tuple[str, ...]
) -> None:
    """One line that begins with Error, and no trace."""
    done = usage(*arguments, redis="redis://127.0.0.1:1/0")
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error: ")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lag", "--until-zero", "soon"), "'soon' is not a number of seconds from 0 to 864,000"),
        (("lag", "--until-zero", "-5"), "'-5' is not a number of seconds from 0 to 864,000"),
        (("export", "acme", "--month", "9000-01"), "and nowhere is it later than "),
        (("gaps",), "gaps [OPTIONS] COMMAND [ARGS]...\n\n  List"),
        (
            ("correct", "session", "acme", "agnt", "s", "--remove"),
            "Invalid value for 'APPLICATION'",
        ),
        (("account", "set", "acme", "--timezone", "Nowhere"), "Invalid value for '--timezone': "),
        (("export", "acme", "--month", "2026-10", "--tz", "Nowhere"), "Invalid value for '--tz': "),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    usage: Usage, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    """In words, and in the words of the command."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    done = usage(*arguments)
    assert done.exit_code == 2, done.output
    assert says in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("export", "--all", "--month", "2026-10", "-d", "file"),
            "'file' cannot be a folder",
        ),
        (("export", "--all", "--month", "2026-10", "-d", "file/sub"), "cannot be a folder"),
        (("export", "--all", "--month", "2026-10", "-d", "a\0b"), "cannot be the name of a file"),
        (("export", "acme", "--month", "2026-10", "-o", "file/x.xls"), "Not a directory"),
        (("export", "acme", "--month", "2026-10", "-o", "folder/"), "like folder/usage.xls."),
        (("export", "acme", "--month", "2026-10", "-o", "x" * 300), "File name too long"),
        (("dev", "--data", "file/sub"), "file/sub/redis': Not a directory."),
        (("token", "revoke", BYTES), "There is no token"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(
    usage: Usage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    """It names what is in the way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert usage("account", "set", "acme").exit_code == 0
    done = usage(*arguments)
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert says in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    "arguments",
    [("\x1b[31m",), ("account", "\x1b[31m"), ("export", "acme", "\x1b[31m"), ("lag", "--\x1b")],
)
def test_what_was_mistyped_is_quoted_and_not_obeyed(
    usage: Usage, arguments: tuple[str, ...]
) -> None:
    """A script may have got it from somebody else."""
    done = usage(*arguments)
    assert done.exit_code == 2
    assert "\x1b" not in done.output
    assert "[31m" in done.stderr or "No such option" in done.stderr


@pytest.mark.parametrize("length", [240, 80])
def test_a_long_name_is_a_name(usage: Usage, tmp_path: Path, length: int) -> None:
    """What a file system takes (255 bytes) is taken, in any script."""
    name = ("回" if length == 80 else "x") * length + ".xls"
    assert usage("account", "set", "acme").exit_code == 0
    done = usage("export", "acme", "--month", "2026-10", "-o", str(tmp_path / name))
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == [name]
