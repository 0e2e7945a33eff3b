"""`usage account`: set, show, list."""

from collections.abc import Callable

import orjson
import pytest
from click.testing import Result

Usage = Callable[..., Result]


def test_what_is_set_is_kept_and_what_is_not_given_stays(usage: Usage) -> None:
    """Each `set` changes what it names only."""
    usage("account", "set", "acme", "--name", "Acme Ltd", "--timezone", "Europe/Paris")
    usage("account", "set", "acme", "--no-sms")
    shown = orjson.loads(usage("account", "show", "acme", "--json").stdout)
    assert shown == {
        "account": "acme", "name": "Acme Ltd", "timezone": "Europe/Paris", "dnis": True,
        "sms": False,
    }  # fmt: skip


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
        (("bad id",), "is no account id"),
        (("é",), "is no account id"),
        (("x" * 129,), "is no account id"),
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
