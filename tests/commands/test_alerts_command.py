"""`usage alerts`: set, list and remove rules; what is wrong is said in a sentence."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from redis.client import Redis
from standardwebhooks.webhooks import Webhook

from interaction_usage.servers.mock_broker import mock_broker
from tests.commands.conftest import NOWHERE
from tests.support.alert_samples import HOOK, some_alerts
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.memory_ledger import MemoryLedger

Usage = Callable[..., Result]
TO = ("--to", HOOK)


@pytest.fixture
def broker() -> Iterator[str]:
    """Yield the address of a broker of the test's own: what was set is in it for ever."""
    with mock_broker() as running:
        yield running.bootstrap


@pytest.fixture(autouse=True)
def known(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an account with an event, and a secret."""
    monkeypatch.setenv("USAGE_ALERTS_SECRET", "a secret of the tests, long enough")
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    fill(redis_url, [flow(1)])


def test_rules_are_set_listed_and_removed(usage: Usage) -> None:
    """Each share of an allowance is a rule; the same again is the same."""
    set_ = ("alerts", "set", "acme", "--counter", "runs", "--allowance", "1,000", *TO)
    done = usage(*set_)
    first, second = (line.split("  ")[0] for line in done.stdout.splitlines())
    assert "Flow runs: 800 or more this month (80 % of 1,000)" in done.stdout
    assert usage(*set_).stdout == done.stdout
    listed = json.loads(usage("alerts", "list", "acme", "--json", kafka=NOWHERE).stdout)
    assert {each["id"] for each in listed} == {first, second}
    assert {each["status"] for each in listed} == {"unknown"}
    removed = usage("alerts", "remove", first)
    assert removed.stdout.startswith(f"Removed: {first}, Flow runs: 800")
    wrong = usage("alerts", "remove", second, "zzz")
    assert (wrong.exit_code, "Nothing was removed." in wrong.stderr) == (1, True)
    assert len(json.loads(usage("alerts", "list", "--json").stdout)) == 1


def test_what_was_given_up_and_sent_is_listed(usage: Usage, redis_url: str) -> None:
    """As a table, without the query of a URL; the attempts newest first."""
    with Redis.from_url(redis_url) as redis:
        some_alerts(MemoryLedger(redis))
    [line] = usage("alerts", "list", "--failed", kafka=NOWHERE).stdout.splitlines()
    assert line.split("\t")[-1] == "1 given up"
    rows = usage("alerts", "deliveries", "acme", kafka=NOWHERE).stdout.splitlines()
    assert len(rows) == 3


def test_a_dry_run_needs_no_kafka_and_sets_nothing(usage: Usage) -> None:
    """It says how often the rule would have fired."""
    rule = ("--counter", "runs", "--above", "1", *TO)
    done = usage("alerts", "set", "acme", *rule, "--dry-run", kafka=NOWHERE)
    assert "in the last 90 days" in done.stderr
    assert json.loads(usage("alerts", "list", "--json").stdout) == []


def test_the_secret_verifies_with_the_library(usage: Usage) -> None:
    """Another account has another one."""
    secrets = {usage("alerts", "secret", name).stdout.strip() for name in ("acme", "other")}
    assert len(secrets) == 2
    for secret in secrets:
        Webhook(secret)


def test_while_the_secret_is_changed_there_are_two(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one first: it is the one to give to receivers."""
    before = usage("alerts", "secret", "acme").stdout.strip()
    monkeypatch.setenv("USAGE_ALERTS_PREVIOUS_SECRET", "a secret of the tests, long enough")
    monkeypatch.setenv("USAGE_ALERTS_SECRET", "another secret of the tests, long enough")
    done = usage("alerts", "secret", "acme")
    new, old = done.stdout.split()
    assert old == before != new
    assert "Give the receiver the first one" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("acme",), "Give exactly one of --series"),
        (("acme", "--series", "agent"), "--series needs --above"),
        (("acme", "--counter", "run", "--above", "1"), "did you mean runs?"),
        (("acme", "--counter", "runs", "--above", "1.5"), "counted in whole numbers"),
        (("acme", "--counter", "runs"), "--counter needs --above or --allowance"),
        (("acme", "--silent-for", "30"), "like 10m or 2h"),
        (("acme", "--silent-for", "30m", "--above", "3"), "--above goes with"),
        (("acme", "--maximum", "agent", "--above", "3", "--for", "5m"), "--for goes with"),
        (("acme", "--lag", "5"), "leave out the account"),
        (("--series", "agent", "--above", "5"), "is about an account; name it"),
        (("acme", "--stale-for", "5m"), "leave out the account"),
        (("acme", "--counter", "runs", "--allowance", "9", "--at", "x%"), "like 80 or 80%"),
        (("--lag", "0"), "whole number above 0"),
        (("acme", "--counter", "runs", "--above", "1e3"), "like 10,000 or 2.5"),
        (("--stale-for", "0m"), "like 10m or 2h"),
        (("nobody", "--series", "agent", "--above", "5"), "There is no account 'nobody'"),
    ],
)
def test_a_wrong_rule_is_refused(usage: Usage, arguments: tuple[str, ...], sentence: str) -> None:
    """Before anything is published."""
    done = usage("alerts", "set", *arguments, *TO)
    assert done.exit_code in (1, 2)
    assert sentence in done.stderr


def test_where_nothing_can_be_sent_no_rule_is_set(
    usage: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable that is missing is named; a test needs a process that sends it."""
    rule = ("alerts", "set", "acme", "--series", "agent", "--above", "5", "--to")
    assert "USAGE_SMTP_HOST is not set" in usage(*rule, "ops@example.com").stderr
    rule_id = usage(*rule, HOOK).stdout.split()[0]
    assert "No `usage alerts run` is running" in usage("alerts", "test", rule_id).stderr
    for address in ("https://127.0.0.1/hook", "https://[::ffff:10.0.0.1]/hook"):
        assert "is inside; USAGE_ALERTS_ALLOWED_NETWORKS" in usage(*rule, address).stderr
    assert "webhook is a URL like" in usage(*rule, "https://[::1/hook").stderr
    monkeypatch.delenv("USAGE_ALERTS_SECRET")
    assert "USAGE_ALERTS_SECRET is not set" in usage(*rule, HOOK).stderr
