"""The storage goes away while the archive is written: it waits, says so once, and goes on."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from interaction_usage.archive.location import Location
from interaction_usage.servers.ports import free_port
from tests.faults.flaky_link import FlakyLink
from tests.kafka.test_archive import values
from tests.support.event_lines import flow
from tests.support.s3 import s3_server
from tests.support.system import USAGE, System

Eventually = Callable[..., None]


class Running:
    """A process `usage archive run`, and what is published while it runs."""

    def __init__(self, system: System, place: str, eventually: Eventually) -> None:
        self._system, self.location, self._eventually = system, Location(place), eventually
        self._port, self.log = free_port(), system.folder / "archive.log"
        self.published: list[bytes] = []
        system.variables |= {
            "USAGE_ARCHIVE": place, "USAGE_ARCHIVE_INTERVAL": "1",
            "USAGE_HEALTH_PORT": f"127.0.0.1:{self._port}",
        }  # fmt: skip

    @contextmanager
    def started(self) -> Iterator[None]:
        """Run it until the end; it ends by itself."""
        with self.log.open("wb") as errors:
            command = [*USAGE, "archive", "run"]
            process = subprocess.Popen(command, env=self._system.environment, stderr=errors)
        try:
            self.publish()
            self._eventually(lambda: self.reasons() == [], "it archives", 100)
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0, self.log.read_text("utf-8")

    def publish(self) -> None:
        """Publish some more events."""
        first = len(self.published)
        lines = [flow(number) for number in range(first, first + 20)]
        self._system.usage("send", "-", stdin=b"\n".join(lines))
        self.published += lines

    def reasons(self) -> list[str]:
        """Return why it is not ready, as `/readyz` says."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5):
                return []
        except urllib.error.HTTPError as error:
            found: list[str] = json.loads(error.read())["reasons"]
            return found
        except OSError as error:
            return [str(error)]

    def waits(self, words: str) -> None:
        """Wait until it says that it waits, with these *words*."""
        self._eventually(lambda: words in " ".join(self.reasons()), words, 60)

    def has_everything(self) -> None:
        """Wait until it goes on; each record is there, and once."""
        self._eventually(lambda: self.reasons() == [], "it goes on", 60)
        expected = sorted(self.published)
        self._eventually(lambda: len(values(self.location)) >= len(expected), "all is there", 60)
        assert values(self.location) == expected

    def said(self, words: str) -> int:
        """Return in how many lines of its log *words* are."""
        return sum(words in line for line in self.log.read_text("utf-8").splitlines())


def test_a_folder_that_vanishes_and_comes_back(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    """No archive is created in the place of the one that is away: it would begin at 0."""
    running = Running(system, str(tmp_path / "archive"), eventually)
    with running.started():
        os.rename(tmp_path / "archive", tmp_path / "away")
        running.waits("not there any more")  # though nothing is to be written
        running.publish()
        running.waits("there is no archive at")
        assert not (tmp_path / "archive").exists()
        os.rename(tmp_path / "away", tmp_path / "archive")
        running.has_everything()
    assert running.said("Archiving is paused") == 2
    assert running.said("Created a new archive") == 1


@pytest.fixture
def disk(tmp_path: Path, leave_out: Callable[[str], None]) -> Iterator[Path]:
    """Yield a disk of its own, a small one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if mounted(folder, "size=1m", "tmpfs"):
        leave_out("a small disk, which only root can mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def mounted(folder: Path, options: str, *source: str) -> int:
    """Mount *folder*; return the exit code."""
    what = ["-t", *source, *source] if source else []
    done = subprocess.run(["mount", *what, "-o", options, folder], capture_output=True, check=False)
    return done.returncode


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with suppress(OSError), path.open("wb") as file:
        while True:
            os.write(file.fileno(), bytes(1024))


def test_a_disk_that_is_full_and_one_that_is_read_only(
    system: System, disk: Path, eventually: Eventually
) -> None:
    """Nothing is there by half, and nothing twice."""
    running = Running(system, str(disk / "archive"), eventually)
    with running.started():
        fill(disk / "filling")
        running.publish()
        running.waits("No space left on device")
        (disk / "filling").unlink()
        running.has_everything()
        assert mounted(disk, "remount,ro") == 0
        running.publish()
        running.waits("Read-only file system")
        assert mounted(disk, "remount,rw") == 0
        running.has_everything()
    assert running.said("Archiving is paused") == 2


def test_s3_that_is_down(
    system: System, need: Callable[[str, str], str], eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Connections break at each request, also between the request and its answer."""
    moto = need("moto_server", "the archive in S3")
    with s3_server(moto) as server, FlakyLink(server.port, 1, lambda _: None) as link:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        running = Running(system, f"{server.bucket}/storage", eventually)
        system.variables |= server.variables(link.port)
        with running.started():
            link.loss = 1.0
            running.publish()
            running.waits("Storage: s3://archives/storage: ")
            link.loss = 0.3
            running.publish()
            link.loss = 0.0
            running.has_everything()
    assert 1 <= running.said("Archiving is paused") <= 4
