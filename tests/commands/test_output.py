"""Output that cannot be written: one sentence, or none where nobody reads."""

import os
import subprocess

import pytest
from redis.client import Redis

from interaction_usage.store import account_settings
from tests.support.memory_ledger import MemoryLedger
from tests.support.system import USAGE

WRITING = [
    ("--help",),
    ("export", "--help"),
    ("account", "list"),
    ("account", "list", "--json"),
    ("account", "show", "acme"),
    ("account", "show", "acme", "--json"),
    ("account", "set", "acme"),
    ("dead-letters", "list", "--json"),
    ("lag",),
    ("lag", "--json"),
    ("token", "create", "--operator"),
    ("token", "list"),
    ("token", "list", "--json"),
    ("watch", "acme", "--once", "--json"),
    *(
        ("export", "acme", "--month", "2026-10", "-o", "-", "--format", name)
        for name in ("xls", "xlsx", "csv", "json")
    ),
]


@pytest.fixture(scope="module")
def environment(redis_url: str, broker: str) -> dict[str, str]:
    """Return the environment of a command for which everything else is well."""
    environment = {**os.environ, "USAGE_KAFKA": broker, "USAGE_REDIS": redis_url}
    with Redis.from_url(redis_url) as redis:
        account_settings.put(MemoryLedger(redis), "acme", name="Acme Ltd")
    command = [*USAGE, "send", "-"]
    line = b'{"specversion":"1.0","id":"1","source":"t","type":"usage.flow.run","subject":"acme"}\n'
    subprocess.run(
        command, input=line, env=environment, timeout=60, capture_output=True, check=False
    )  # refused, but the topics are there now
    return environment


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_full_disk_is_said_in_a_sentence(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    """Exit code 1, and no trace; Redis is not blamed for it."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*USAGE, *arguments], env=environment, stdout=full,
            stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    expected = b"Error: The output could not be written: No space left on device.\n"
    assert done.stderr == expected


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_it_without_a_word(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    """As `… | head -1` does."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*USAGE, *arguments], env=environment, stdout=theirs,
        stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b"")


def _with_closed_output(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f"{' '.join([*USAGE, *arguments])} >&-"]
    return subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)


def test_a_report_for_an_output_that_is_closed_is_refused(environment: dict[str, str]) -> None:
    """`>&-` leaves nowhere to write to."""
    done = _with_closed_output("export", "acme", "--month", "2026-10", "-o", "-", env=environment)
    assert done.returncode == 1
    assert done.stderr == b"Error: Standard output is closed; name a file with -o.\n"


@pytest.mark.parametrize("arguments", [("account", "list"), ("export", "--help"), ("--version",)])
def test_whatever_else_is_for_an_output_that_is_closed_fails(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    """With a sentence, and not as if it had been written."""
    done = _with_closed_output(*arguments, env=environment)
    assert done.returncode == 1
    assert done.stderr == b"Error: The output could not be written: Bad file descriptor.\n"
