"""A mistyped ACCOUNT: each command that takes one answers in the same words, with a similar one."""

from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import Result
from redis import Redis

from interaction_usage.commands.account_id import check_id
from interaction_usage.commands.main import main
from interaction_usage.store import keys

Usage = Callable[..., Result]

SENTENCE = (
    "Error: There is no account 'acmee': it has no events and was never set up. "
    "Did you mean 'acme'?"
)
DAY = ("--from", "2026-10-01", "--to", "2026-10-01")
WHY = ("--reason", "a test")
#: What each command needs beside the account.
REST: dict[str, tuple[str, ...]] = {
    "account show": (),
    "account history": (),
    "alerts deliveries": (),
    "alerts list": (),
    "alerts set": ("--series", "agent-sessions", "--above", "25", "--to", "a@example.com"),
    "capacity": ("--sessions", "10", *DAY),
    "concurrency": DAY,
    "correct event": ("--source", "s", "--id", "i", *WHY),
    "correct list": (),
    "correct session": ("agent", "s", "--remove", *WHY),
    "explain": DAY,
    "export": DAY,
    "reports issue": DAY,
    "reports list": (),
    "reports preview": DAY,
    "sessions": DAY,
    "token create": (),
    "verify": DAY,
    "watch": ("--once",),
}


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Parameter]]:
    """Yield the name of each command below *group* that takes an account, and that parameter."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield from (
                (" ".join((*names, name)), each)
                for each in command.params
                if each.callback is check_id
            )


OF_ACCOUNTS = dict(commands(main))


@pytest.fixture(autouse=True)
def accounts(usage: Usage, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one account, acme, in a deployment that can send e-mail."""
    monkeypatch.setenv("USAGE_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("USAGE_SMTP_FROM", "usage@example.com")
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    assert usage("account", "set", "acme").exit_code == 0


def test_this_table_has_every_command_that_takes_an_account() -> None:
    """All but the one that makes accounts, and one that asks no Redis."""
    assert OF_ACCOUNTS.keys() - {"account set", "alerts secret"} == REST.keys()


@pytest.mark.parametrize("command", REST)
def test_a_mistyped_account_is_answered_with_a_similar_one(usage: Usage, command: str) -> None:
    """In the same words everywhere."""
    parameter = OF_ACCOUNTS[command]
    account = ("--account", "acmee") if isinstance(parameter, click.Option) else ("acmee",)
    done = usage(*command.split(), *account, *REST[command])
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert done.stderr.startswith(SENTENCE)


def test_a_new_account_that_resembles_another(usage: Usage) -> None:
    """It is made, and whoever mistyped it can see that."""
    done = usage("account", "set", "acmee")
    assert done.exit_code == 0
    assert done.stderr == "'acmee' is a new account; there is also 'acme'.\n"
    assert usage("account", "set", "acmee").stderr == ""


def test_the_number_of_a_report_of_a_mistyped_account(usage: Usage, redis_url: str) -> None:
    """Among the accounts that have reports."""
    with Redis.from_url(redis_url) as redis:
        redis.sadd(keys.REPORTS, "acme")
    done: Any = usage("reports", "show", "acmee-000001")
    assert done.exit_code == 1
    assert "none was issued for 'acmee'; did you mean one of 'acme'?" in done.stderr
