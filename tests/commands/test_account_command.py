"""`usage account`: set, show, list."""

import re
from collections.abc import Callable

import orjson
import pytest
from click.testing import Result
from redis.client import Redis

from interaction_usage.store import account_settings
from tests.commands.conftest import NOWHERE
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]


def test_what_is_set_is_kept_and_what_is_not_given_stays(usage: Usage) -> None:
    """Each `set` changes what it names only."""
    usage("account", "set", "acme", "--name", "Acme Ltd", "--timezone", "Europe/Paris")
    usage("account", "set", "acme", "--no-sms")
    shown = orjson.loads(usage("account", "show", "acme", "--json").stdout)
    assert shown == {
        "account": "acme", "name": "Acme Ltd", "timezone": "Europe/Paris", "dnis": True,
        "sms": False, "late_usage": "revise",
    }  # fmt: skip
    usage("account", "set", "acme", "--late-usage", "adjust")
    said = usage("account", "show", "acme").stdout
    assert "Late usage an adjustment in the next report" in said


def test_an_account_exists_once_it_was_set_and_not_before(usage: Usage) -> None:
    """The defaults are the id as name, UTC, both sections."""
    assert usage("account", "show", "plain").exit_code == 1
    assert usage("account", "set", "plain").exit_code == 0
    assert (
        "Name       plain\nTime zone  UTC\nSections   DNIS, SMS"
        in usage("account", "show", "plain").stdout
    )
    assert "plain\tplain\tUTC\tDNIS, SMS" in usage("account", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bad id",), "is not a valid account id"),
        (("é",), "is not a valid account id"),
        (("x" * 129,), "is not a valid account id"),
        (("a", "--timezone", "Paris"), "Did you mean Europe/Paris?"),
        (("a", "--timezone", "localtime"), "Did you mean UTC?"),
        (("a", "--timezone", "posix/Asia/Tokyo"), "Did you mean Asia/Tokyo?"),
        (("a", "--name", ""), "1 to 200 printable characters"),
        (("a", "--name", "x" * 201), "1 to 200 printable characters"),
        (("a", "--name", "two\nlines"), "1 to 200 printable characters"),
    ],
)
def test_what_an_account_cannot_be_is_wrong_usage(
    usage: Usage, arguments: tuple[str, ...], says: str
) -> None:
    """Nothing is set then."""
    done = usage("account", "set", *arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())
    assert usage("account", "show", "a").exit_code == 1


def test_the_history_says_what_was_set(usage: Usage) -> None:
    """Newest first, in words and for programs, a page at a time."""
    usage("account", "set", "kept", "--name", "Kept Ltd", "--timezone", "Asia/Kathmandu")
    usage("account", "set", "kept", "--no-dnis", "--name", "Kept Ltd")
    lines = usage("account", "history", "kept").stdout.splitlines()
    assert [line.split("\t")[1:] for line in lines] == [
        ["command", "dnis", "on → off"],
        ["command", "timezone", "UTC → Asia/Kathmandu"],
        ["command", "name", "kept → Kept Ltd"],
    ]
    found = orjson.loads(usage("account", "history", "kept", "--format", "json").stdout)
    assert set(found[0]) == {"id", "at", "by", "token", "field", "from", "to"}
    assert (found[0]["from"], found[0]["to"], found[0]["token"]) == (True, False, None)
    page = usage("account", "history", "kept", "--limit", "1", "--before", found[0]["id"])
    assert page.stdout.endswith("UTC → Asia/Kathmandu\n")
    assert f"--before {found[1]['id']}" in page.stderr


def test_a_history_that_is_none(usage: Usage) -> None:
    """Of no account, of one that was never changed, before what is no id."""
    assert usage("account", "history", "nobody").exit_code == 1
    usage("account", "set", "never")
    done = usage("account", "history", "never")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "never been changed" in done.stderr
    assert usage("account", "history", "never", "--format", "json").stdout == "[]\n"
    assert usage("account", "history", "never", "--before", "0-0").exit_code == 2


def test_what_a_time_zone_moves_is_said_before_it_is_set(usage: Usage) -> None:
    """On stderr; a new account has no bills that could move."""
    assert usage("account", "set", "moved", "--timezone", "Etc/GMT+12").stderr == ""
    done = usage("account", "set", "moved", "--timezone", "Pacific/Kiritimati")
    assert "begin 26 hours earlier than in Etc/GMT+12" in done.stderr
    assert done.stderr.count("are on both bills.") == 2
    assert "Time zone  Pacific/Kiritimati" in done.stdout
    assert usage("account", "set", "moved", "--timezone", "Pacific/Kiritimati").stderr == ""


def test_a_list_shows_accounts_of_one_name_with_their_ids(usage: Usage) -> None:
    """Whatever they are called."""
    for id_, name in (("one", "Twin Ltd"), ("two", "Twin Ltd")):
        usage("account", "set", id_, "--name", name)
    rows = [line.split("\t")[:2] for line in usage("account", "list").stdout.splitlines()]
    assert {row[0] for row in rows if "Ltd" in row[1]} >= {"one", "two"}


@pytest.mark.usefixtures("quickly")
def test_without_kafka_nothing_is_set(usage: Usage, redis_url: str) -> None:
    """One sentence, exit code 1, and the account is as it was; showing it needs no Kafka."""
    with Redis.from_url(redis_url) as redis:
        account_settings.put(MemoryLedger(redis), "firm", name="Firm Ltd")
    done = usage("account", "set", "firm", "--name", "Other", kafka=NOWHERE)
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: Kafka at 127.0.0.1:1: .+; nothing was changed\.\n", done.stderr)
    assert "Firm Ltd" in usage("account", "show", "firm", kafka=NOWHERE).stdout
