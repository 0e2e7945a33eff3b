"""Where `usage export` writes: whole or not at all, by the umask, and not through planted links."""

import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from click.testing import Result

from interaction_usage.commands import files
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.files import make_folder, replace_file, write_target
from tests.support.caught_up import caught_up
from tests.support.memory_ledger import MemoryLedger
from tests.support.system import USAGE

MONTH = ("--month", "2026-10")
STRANGER = 54_321
Usage = Callable[..., Result]
Process = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True, scope="module")
def _accounts(redis_url: str) -> None:
    from redis.client import Redis

    from interaction_usage.store import account_settings

    with Redis.from_url(redis_url) as redis:
        caught_up(redis)
        for name in ("acme", "bluebird"):
            account_settings.put(MemoryLedger(redis), name)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask of this process for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make *path* another user's, as far as this process can tell."""
    if os.geteuid() == 0:
        os.lchown(path, STRANGER, STRANGER)
    else:
        monkeypatch.setattr(files.os, "geteuid", lambda: STRANGER)


def mode(path: Path) -> int:
    """Return the permissions of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


# ------------------------------------------------------------------------ planted links


def test_a_link_under_a_name_that_can_be_guessed_is_not_written_through(
    usage: Usage, tmp_path: Path
) -> None:
    """A name made from the process id was: in a container that id is 1."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / f"usage.json.{os.getpid()}.tmp").symlink_to(victim)
    done = usage("export", "acme", *MONTH, "-o", str(folder / "usage.json"))
    assert done.exit_code == 0, done.output
    assert victim.read_text() == "precious"
    assert not (folder / "usage.json").is_symlink()


def test_the_files_of_all_accounts_replace_links(process: Process, tmp_path: Path) -> None:
    """They are named after accounts, so everybody can plant one; nothing behind it is touched."""
    victim, folder = tmp_path / "victim", tmp_path / "reports"
    victim.write_text("precious")
    folder.mkdir()
    (folder / "acme.json").symlink_to(victim)
    os.mkfifo(folder / "bluebird.json")
    command = process("export", "--all", *MONTH, "--format", "json", "-d", str(folder))
    _, stderr = command.communicate(timeout=60)
    assert command.returncode == 0, stderr
    assert victim.read_text() == "precious"
    for name in ("acme", "bluebird"):
        path = folder / f"{name}.json"
        assert stat.S_ISREG(path.lstat().st_mode)
        assert orjson.loads(path.read_bytes())["account"] == name


@pytest.mark.parametrize("plant", ["link", "pipe"])
def test_what_another_user_planted_is_refused(
    usage: Usage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    """The kernel refuses this in /tmp only; and a link that is resolved first escapes it there."""
    victim, target = tmp_path / "victim", tmp_path / "usage.json"
    victim.write_text("precious")
    if plant == "link":
        target.symlink_to(victim)
    else:
        os.mkfifo(target)
    give_away(target, monkeypatch)
    done = usage("export", "acme", *MONTH, "-o", str(target))
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "of another user" in done.stderr
    assert victim.read_text() == "precious"


def test_a_folder_behind_another_users_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reports of all accounts do not go where somebody else wants them."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "reports"
    link.symlink_to("elsewhere")
    make_folder(link)
    give_away(link, monkeypatch)
    with pytest.raises(CommandError, match="another user"):
        make_folder(link)


def test_links_that_lead_in_a_circle_are_said(usage: Usage, tmp_path: Path) -> None:
    """In one sentence, before anything is read."""
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    done = usage("export", "acme", *MONTH, "-o", str(tmp_path / "a.json"))
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)


def test_a_link_to_a_file_that_is_not_there_makes_it(tmp_path: Path) -> None:
    """As a shell's `>` does; relative links start at their own folder."""
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to("folder/new")
    write_target(str(link), b"report")
    assert (tmp_path / "folder" / "new").read_bytes() == b"report"


def test_an_open_file_of_proc_is_written_to(redis_url: str) -> None:
    """/dev/stdout leads to a pipe without a name."""
    done = subprocess.run(
        [*USAGE, "export", "acme", *MONTH, "--format", "json",
         "-o", "/dev/stdout"],
        env={**os.environ, "USAGE_REDIS": redis_url}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert orjson.loads(done.stdout)["account"] == "acme"


# ------------------------------------------------------------------------------ modes


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_new_file_has_the_mode_that_the_umask_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, expected: int, unnamed: bool
) -> None:
    """A bill that is nobody else's business stays so, from its first byte on."""
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with umask(mask):
        replace_file(tmp_path / "usage.xls", b"report")
    assert mode(tmp_path / "usage.xls") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["usage.xls"]


def test_a_file_that_is_replaced_keeps_the_mode(usage: Usage, tmp_path: Path) -> None:
    """Whoever could read the last report can read this one, and nobody else."""
    target = tmp_path / "usage.json"
    target.write_text("old")
    target.chmod(0o640)
    with umask(0o022):
        assert usage("export", "acme", *MONTH, "-o", str(target)).exit_code == 0
    assert mode(target) == 0o640


def test_the_mode_of_another_users_file_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that everybody may write, planted under the report's name, would open it to all."""
    target = tmp_path / "usage.json"
    target.write_text("planted")
    target.chmod(0o666)
    give_away(target, monkeypatch)
    with umask(0o027):
        replace_file(target, b"report")
    assert mode(target) == 0o640


# ----------------------------------------------------------------- at once, and cut short


def test_exports_into_one_folder_at_once_never_meet(process: Process, tmp_path: Path) -> None:
    """To one name and to several: each file is whole, and nothing else is left."""
    commands = [
        process("export", account, *MONTH, "-o", str(tmp_path / name))
        for account in ("acme", "bluebird")
        for name in ("same.json", f"{account}.json")
    ]
    for command in commands:
        _, stderr = command.communicate(timeout=60)
        assert command.returncode == 0, stderr
    found = {path.name: orjson.loads(path.read_bytes()) for path in tmp_path.iterdir()}
    assert set(found) == {"same.json", "acme.json", "bluebird.json"}
    assert {name: found[name]["account"] for name in ("acme.json", "bluebird.json")} == {
        "acme.json": "acme", "bluebird.json": "bluebird",
    }  # fmt: skip
    assert found["same.json"]["account"] in ("acme", "bluebird")


def test_a_file_that_does_not_fit_leaves_the_old_one(redis_url: str, tmp_path: Path) -> None:
    """And no part of the new one beside it."""
    target = tmp_path / "usage.xls"
    target.write_text("old")
    done = subprocess.run(
        [*USAGE, "export", "acme", *MONTH, "-o", str(target)],
        env={**os.environ, "USAGE_REDIS": redis_url, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.decode().endswith("could not be written: File too large.\n")
    assert done.stderr.count(b"\n") == 1
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["usage.xls"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_ended_while_it_writes_leaves_nothing(
    redis_url: str, sent: signal.Signals
) -> None:
    """Not even when it is killed: until the file is whole it has no name."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        code = (
            "import os, sys\n"
            "from interaction_usage.commands.main import main\n"
            f"os.fsync = lambda _: os.kill(os.getpid(), {int(sent)})\n"
            f"main(['export', 'acme', *{MONTH!r}, '-o', {folder + '/usage.xls'!r}])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "USAGE_REDIS": redis_url},
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == (-9 if sent == signal.SIGKILL else 1)
        assert os.listdir(folder) == []
    if sent == signal.SIGTERM:
        assert done.stderr.startswith(b"Error: Stopped; ")
