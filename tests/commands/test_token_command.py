"""`usage token`: made once, listed without the secret, revoked."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result
from redis.client import Redis

from interaction_usage.dashboard import tokens
from interaction_usage.store import account_settings, keys
from tests.commands.conftest import NOWHERE
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_token(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.delete(keys.TOKENS, keys.TOKENS_USED)
        account_settings.put(MemoryLedger(redis), "acme")


def rows(usage: Usage) -> list[dict[str, Any]]:
    """Return the list of tokens as programs get it."""
    found: list[dict[str, Any]] = json.loads(usage("token", "list", "--json").stdout)
    return found


def days_from_now(instant: str) -> float:
    """Return how many days lie between now and *instant*."""
    return (datetime.fromisoformat(instant) - datetime.now(UTC)).total_seconds() / 86_400


def test_a_token_is_the_last_word_and_never_seen_again(usage: Usage) -> None:
    """`usage token create … | awk '{print $NF}'` gives it; the list has its id only."""
    made = usage("token", "create", "--account", "acme", "--label", "Jane, Acme")
    token = made.stdout.split()[-1]
    assert re.fullmatch(r"usage_[\w-]{43}", token)
    assert "acme (viewer)" in made.stdout
    listed = usage("token", "list").stdout
    assert token not in listed
    id_, account, role, label, created, expires, used = listed.rstrip("\n").split("\t")
    assert re.fullmatch(r"[0-9a-f]{10}", id_)
    assert (account, role, label, used) == ("acme", "viewer", "Jane, Acme", "never")
    assert abs(days_from_now(created)) < 0.01
    assert days_from_now(expires) == pytest.approx(365, abs=0.01)


def test_the_list_for_programs(usage: Usage, redis_url: str) -> None:
    """Ids, accounts (null for operators), roles, labels and instants."""
    usage("token", "create", "--account", "acme", "--role", "manager")
    made = usage("token", "create", "--operator", "--expires", "never").stdout.split()[-1]
    with Redis.from_url(redis_url) as redis:
        tokens.authenticate(redis, made, 1_900_000_000)
    found = sorted(rows(usage), key=lambda row: row["role"])
    assert [(row["account"], row["role"]) for row in found] == [
        ("acme", "manager"), (None, "operator"),
    ]  # fmt: skip
    assert [row["last_used"] for row in found] == [None, "2030-03-17T17:46:40Z"]
    assert found[1]["expires"] is None
    assert set(found[0]) == {
        "id", "account", "role", "label", "created", "expires", "last_used",
    }  # fmt: skip


def test_when_it_expires(usage: Usage) -> None:
    """After so many days, at the end of a day in UTC, or never; the list says what has expired."""
    usage("token", "create", "--operator", "--expires", "30d")
    assert days_from_now(rows(usage)[0]["expires"]) == pytest.approx(30, abs=0.01)
    day = (datetime.now(UTC) + timedelta(days=9)).date()
    made = usage("token", "create", "--operator", "--expires", f"{day}").stdout
    assert f"expires {day + timedelta(days=1)}T00:00:00Z" in made


def test_the_list_marks_what_has_expired(usage: Usage, redis_url: str) -> None:
    """It stays there until it is revoked."""
    with Redis.from_url(redis_url) as redis:
        tokens.create(MemoryLedger(redis), "acme", 1_600_000_000, expires=1_700_000_000)
    assert "\texpired 2023-11-14T22:13:20Z\t" in usage("token", "list").stdout


@pytest.mark.parametrize(
    "expires", ["0d", "-1d", "30", "d", "soon", "", "2020-01-01", "3662d", "999999999d",
                "9999-12-31", "2027-02-30", "٣٠d"],
)  # fmt: skip
def test_an_end_that_cannot_be(usage: Usage, expires: str) -> None:
    """Wrong usage, and no token."""
    assert usage("token", "create", "--operator", f"--expires={expires}").exit_code == 2
    assert rows(usage) == []


@pytest.mark.parametrize("label", ["two\nlines", "x" * 101, "\x1b[31m", "\x00"])
def test_a_label_that_cannot_be(usage: Usage, label: str) -> None:
    """It is shown in terminals and on pages."""
    assert usage("token", "create", "--operator", "--label", label).exit_code == 2


def test_for_an_account_that_does_not_exist(usage: Usage) -> None:
    """A typing mistake makes no token, unless it is meant."""
    done = usage("token", "create", "--account", "acmee")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: There is no account 'acmee': it has no events and was never set up. "
        "Did you mean 'acme'? To create the token anyway, pass --force.\n"
    )
    assert rows(usage) == []
    assert usage("token", "create", "--account", "acmee", "--force").exit_code == 0


def test_a_role_is_an_accounts(usage: Usage) -> None:
    """An operator has none to choose."""
    assert usage("token", "create", "--operator", "--role", "viewer").exit_code == 2
    assert usage("token", "create", "--account", "acme", "--role", "operator").exit_code == 2


def test_revoked_by_the_id(usage: Usage) -> None:
    """It is gone from the list, and cannot be revoked twice."""
    usage("token", "create", "--operator")
    (row,) = json.loads(usage("token", "list", "--json").stdout)
    assert "operators" in usage("token", "revoke", row["id"]).stdout
    assert usage("token", "list").stdout == ""
    again = usage("token", "revoke", row["id"])
    assert again.exit_code == 1
    assert again.stderr.startswith(f"Error: There is no token '{row['id']}'")


def test_an_id_must_name_one_token(usage: Usage, redis_url: str) -> None:
    """An empty one, or what two of them begin with, revokes neither."""
    with Redis.from_url(redis_url) as redis:
        ledger = MemoryLedger(redis)
        for _ in range(17):  # of 17 hexadecimal digits, two are the same
            tokens.create(ledger, None, 1_700_000_000)
        digests = [name.decode() for name in redis.hkeys(keys.TOKENS)]
    shared = next(d[0] for d in digests if sum(e[0] == d[0] for e in digests) > 1)
    for given, answer in (
        ("", "There is no token ''"),
        (shared, f"token ids begin with '{shared}'"),
    ):
        done = usage("token", "revoke", given)
        assert done.exit_code == 1
        assert answer in done.stderr
    assert len(usage("token", "list").stdout.splitlines()) == 17


@pytest.mark.parametrize("arguments", [[], ["--operator", "--account", "acme"]])
def test_for_whom_must_be_said(usage: Usage, arguments: list[str]) -> None:
    """Exactly one of both."""
    done = usage("token", "create", *arguments)
    assert done.exit_code == 2
    assert "--account ACCOUNT or --operator" in done.stderr


def test_an_id_that_cannot_be(usage: Usage) -> None:
    """A typing mistake makes no token."""
    assert usage("token", "create", "--account", "a b").exit_code == 2
    assert "no token yet" in usage("token", "list").stderr


@pytest.mark.usefixtures("quickly")
def test_without_kafka_no_token_is_made_or_revoked(usage: Usage, redis_url: str) -> None:
    """What is printed must be valid, and what was revoked must stay so."""
    with Redis.from_url(redis_url) as redis:
        tokens.create(MemoryLedger(redis), None, 1_700_000_000)
    before = usage("token", "list", "--json").stdout
    first = json.loads(before)[0]["id"]
    for arguments in (("create", "--operator"), ("revoke", first)):
        done = usage("token", *arguments, kafka=NOWHERE)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.endswith("nothing was changed.\n")
    assert usage("token", "list", "--json").stdout == before
