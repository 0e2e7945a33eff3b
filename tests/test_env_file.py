"""The file `.env`: what is taken from it, and what is said of one that is broken."""

from pathlib import Path

import pytest

from interaction_usage import env_file, settings
from interaction_usage.env_file import EnvFileError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(env_file.VARIABLE)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("USAGE_X=a:1,b:2", "a:1,b:2"),
        ("  export USAGE_X = a b  # why", "a b"),
        ("USAGE_X=redis://:p#w@h", "redis://:p#w@h"),  # a comment begins behind a space
        ("USAGE_X='a # ${b}'  # why", "a # ${b}"),
        (r'USAGE_X="a \"b\" \\ \n"', 'a "b" \\ \n'),
        ("USAGE_X='two\nlines'", "two\nlines"),
        ("\ufeffUSAGE_X=a\r", "a"),
        ("# USAGE_X=a\n\nUSAGE_X=b", "b"),
        ("A='\nUSAGE_X=not this'\nUSAGE_X=b\nPATH\nB=${A}", "b"),
        ("USAGE_X=", ""),
        ("USAGE_X=# nothing", ""),
    ],
)
def test_a_line_is_read(folder: Path, line: str, value: str) -> None:
    """As tools that read such files take it."""
    for end in ("", "\n"):
        (folder / ".env").write_text(line + end, "utf-8")
        assert env_file.below({}) == {"USAGE_X": value}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("A=1\nUSAGE_KAFKA s3cret", ".env, line 2: must be NAME=value"),
        ("USAGE_KAFKA", ".env, line 1: must be NAME=value"),
        ("s3cret:1", ".env, line 1: must be NAME=value"),
        ("A='1\n\nUSAGE_KAFKA=s3cret", ".env, line 1: the closing ' is missing"),
        ('\nUSAGE_X="s3cret\\"', '.env, line 2: the closing " is missing'),
        ("USAGE_X='a' s3cret", ".env, line 1: only a comment may follow the closing '"),
        ("USAGE_X=redis://:${s3cret}@h", ".env, line 1: ${…} is not replaced"),
        ("USAGE_X=1\nUSAGE_X=s3cret", ".env, line 2: USAGE_X is given twice"),
        ("USAGE_ENV_FILE=s3cret", ".env, line 1: USAGE_ENV_FILE cannot be set in a file"),
        ("USAGE_X=s3cret\0", ".env, line 1: has a character that no variable can have"),
        ("A=" + "s3cret" * 200_000, ".env is larger than 1 MiB"),
    ],
)
def test_what_is_broken_is_named_and_not_shown(folder: Path, text: str, sentence: str) -> None:
    """The line, so that it can be found, and nothing that is in it."""
    (folder / ".env").write_text(text)
    with pytest.raises(EnvFileError) as refused:
        env_file.below({})
    assert str(refused.value).startswith(sentence)
    assert "s3cret" not in str(refused.value)


def test_the_environment_comes_first(folder: Path) -> None:
    """A secret, too, in whichever of its forms; what is empty there is not set."""
    (folder / ".env").write_text("USAGE_A=1\nUSAGE_B=2\nUSAGE_P=3\nUSAGE_Q_FILE=4\nREDIS=5\n")
    there = {"USAGE_A": "x", "USAGE_B": "", "USAGE_P_FILE": "x", "USAGE_Q": "x"}
    assert env_file.below(there) == {"USAGE_B": "2"}


def test_which_file_is_read(folder: Path) -> None:
    """The one that is named and must exist; none if nothing is; `.env` if there is one."""
    assert env_file.below({}) == {}
    (folder / ".env").write_text("USAGE_A=1")
    (folder / "other").write_text("USAGE_A=2")
    assert env_file.below({})["USAGE_A"] == "1"
    assert env_file.below({env_file.VARIABLE: "other"})["USAGE_A"] == "2"
    assert env_file.below({env_file.VARIABLE: ""}) == {}
    with pytest.raises(EnvFileError, match="USAGE_ENV_FILE must be a file that can be read"):
        env_file.below({env_file.VARIABLE: "/nowhere/s3cret"})
    (folder / ".env").unlink()
    (folder / ".env").mkdir()  # a virtual environment
    assert env_file.below({}) == {}


def test_a_file_that_others_write_must_be_named(folder: Path) -> None:
    """Whoever writes it decides where passwords are sent; in /tmp that may be anybody."""
    (folder / ".env").write_text("USAGE_A=1")
    (folder / ".env").chmod(0o666)
    with pytest.raises(EnvFileError, match="can be written by everybody"):
        env_file.below({})
    assert env_file.below({env_file.VARIABLE: ".env"}) == {"USAGE_A": "1"}
    (folder / ".env").write_text("A=1")
    assert env_file.below({}) == {}


def test_settings_are_read_from_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the environment; and an invalid one says where it is."""
    monkeypatch.setenv("USAGE_GROUP", "mine")
    (folder / ".env").write_text("USAGE_GROUP=theirs\nUSAGE_PARTITIONS=3\nREDIS_PASSWORD=x\n")
    found = settings.read()
    assert (found.group, found.partitions) == ("mine", 3)
    assert settings.read({}).partitions == 12
    (folder / ".env").write_text("USAGE_PARTITIONS=s3cret\nUSAGE_PARTITION=1\n")
    first, second = map(str, settings.problems_of_process())
    assert first.startswith("unknown setting USAGE_PARTITION; did you mean USAGE_PARTITIONS?")
    assert second.endswith("from 1 to 10000 (it is in .env)")
    (folder / ".env").write_text("USAGE_PARTITIONS")
    with pytest.raises(settings.InvalidSettingError, match="line 1: must be NAME=value"):
        settings.read()
