"""`usage token`: made once, listed without the secret, revoked."""

import json
import re
from collections.abc import Callable

import pytest
from click.testing import Result
from redis.client import Redis

from rollups import keys

Usage = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_token(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.delete(keys.TOKENS)


def test_a_token_is_the_last_word_and_never_seen_again(usage: Usage) -> None:
    """`usage token create … | awk '{print $NF}'` gives it; the list has its id only."""
    made = usage("token", "create", "--account", "acme")
    token = made.stdout.split()[-1]
    assert re.fullmatch(r"usage_[\w-]{43}", token)
    assert "acme" in made.stdout
    listed = usage("token", "list").stdout
    assert token not in listed
    assert re.fullmatch(r"[0-9a-f]{10}  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  account acme\n", listed)


def test_the_list_for_programs(usage: Usage) -> None:
    """Ids, accounts (null for operators) and instants."""
    usage("token", "create", "--account", "acme")
    usage("token", "create", "--operator")
    rows = json.loads(usage("token", "list", "--json").stdout)
    assert sorted(row["account"] or "" for row in rows) == ["", "acme"]
    assert {tuple(row) for row in rows} == {("id", "account", "created")}


def test_revoked_by_its_id(usage: Usage) -> None:
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
    for _ in range(17):  # of 17 hexadecimal digits, two are the same
        usage("token", "create", "--operator")
    with Redis.from_url(redis_url) as redis:
        digests = [name.decode() for name in redis.hkeys(keys.TOKENS)]
    shared = next(d[0] for d in digests if sum(e[0] == d[0] for e in digests) > 1)
    for given, told in (("", "There is no token ''"), (shared, f"tokens begin with '{shared}'")):
        done = usage("token", "revoke", given)
        assert done.exit_code == 1
        assert told in done.stderr
    assert len(usage("token", "list").stdout.splitlines()) == 17


@pytest.mark.parametrize("arguments", [[], ["--operator", "--account", "acme"]])
def test_for_whom_must_be_said(usage: Usage, arguments: list[str]) -> None:
    """Exactly one of both."""
    done = usage("token", "create", *arguments)
    assert done.exit_code == 2
    assert "--account ACCOUNT, or --operator" in done.stderr


def test_an_id_that_cannot_be(usage: Usage) -> None:
    """A typing mistake makes no token."""
    assert usage("token", "create", "--account", "a b").exit_code == 2
    assert "no token yet" in usage("token", "list").stderr
