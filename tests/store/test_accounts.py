"""What an operator says of an account is kept, checked, and defaulted."""

import pytest
from redis.client import Redis

from interaction_usage.store import account_settings
from interaction_usage.store.account_settings import AccountSettings
from interaction_usage.store.account_table import is_valid_id
from interaction_usage.store.errors import InvalidAccountSettingError
from interaction_usage.store.reads import Rollups
from rollups.local_time import UnknownZone
from tests.support.memory_ledger import MemoryLedger


def test_an_account_nobody_set_has_defaults(redis: Redis) -> None:
    """Its id as name, UTC, both sections apply; and asking does not make it exist."""
    assert account_settings.get(redis, "acme") == AccountSettings(
        "acme", "UTC", dnis=True, sms=True
    )
    assert not Rollups.live(redis).exists("acme")


def test_what_is_not_said_is_kept(redis: Redis, ledger: MemoryLedger) -> None:
    """Each setting changes alone."""
    account_settings.put(ledger, "acme", name="Acme Ltd", timezone="Europe/Paris")
    account_settings.put(ledger, "acme", sms=False)
    assert account_settings.put(ledger, "acme", dnis=False) == AccountSettings(
        "Acme Ltd", "Europe/Paris", dnis=False, sms=False
    )
    account_settings.put(ledger, "acme", sms=True, name="Rückruf 🛟")
    assert account_settings.get(redis, "acme") == AccountSettings(
        "Rückruf 🛟", "Europe/Paris", dnis=False, sms=True
    )


def test_an_account_exists_once_it_was_set(redis: Redis, ledger: MemoryLedger) -> None:
    """Also when nothing but its id was said."""
    assert account_settings.put(ledger, "quiet") == AccountSettings("quiet")
    account_settings.put(ledger, "named", name="Named")
    assert Rollups.live(redis).accounts() == ["named", "quiet"]
    assert Rollups.live(redis).exists("named")
    assert Rollups.live(redis).exists("quiet")
    assert not Rollups.live(redis).exists("other")


@pytest.mark.parametrize(
    "name",
    [
        "می\u200cخواهم",  # Persian: a zero-width non-joiner
        "ශ්\u200dරී",  # Sinhala: a zero-width joiner
        "שלום (Acme)",
        "שלום\u200f!",  # a right-to-left mark
        "👩\u200d🔧 Repairs",  # an emoji of two
        "Acme\u202e",  # shown isolated
        "No\u00a0break",
        "soft\u00adhyphen",
        "e\u0301",
        "\U0001fae9",  # newer than this Python knows
        "\ue000",  # of private use
    ],
)
def test_ordinary_spellings_are_kept(ledger: MemoryLedger, name: str) -> None:
    """Whatever a person or a company is called."""
    assert account_settings.put(ledger, "acme", name=name).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "   ", "a\nb", "a\x00b", "x" * 201, "a\u2028b", "a\u2029b", "\x1b[1m", "a\x7fb"),
        *("a\x85b", "\ud800", "a\udfff", "\ufffe", "\uffff", "\ufdd0", "\U0010ffff"),
        *("\u200c", " \u200b \u202e"),  # of which nothing can be seen
    ],
)
def test_a_name_that_would_break_a_report_is_refused(
    redis: Redis, ledger: MemoryLedger, name: str
) -> None:
    """And the account keeps the one it had."""
    account_settings.put(ledger, "acme", name="Acme")
    with pytest.raises(InvalidAccountSettingError, match="1 to 200 printable"):
        account_settings.put(ledger, "acme", name=name)
    assert account_settings.get(redis, "acme").name == "Acme"


def test_a_name_loses_the_spaces_around_it(ledger: MemoryLedger) -> None:
    """200 characters remain 200."""
    assert account_settings.put(ledger, "acme", name=f" {'x' * 200} ").name == "x" * 200


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "CEST+2", "../UTC"])
def test_a_zone_that_does_not_exist_is_refused(
    redis: Redis, ledger: MemoryLedger, zone: str
) -> None:
    """Nothing is set then, the rest of the call included."""
    with pytest.raises(UnknownZone):
        account_settings.put(ledger, "acme", name="Acme", timezone=zone)
    assert account_settings.get(redis, "acme") == AccountSettings("acme")
    assert Rollups.live(redis).accounts() == []


def test_many_are_read_at_once(redis: Redis, ledger: MemoryLedger) -> None:
    """In the order asked for, set or not."""
    account_settings.put(ledger, "b", name="Bee", dnis=False)
    assert account_settings.get_many(redis, ["a", "b"]) == [
        AccountSettings("a"),
        AccountSettings("b")._replace(name="Bee", dnis=False),
    ]
    assert account_settings.get_many(redis, []) == []


@pytest.mark.parametrize(
    ("account", "valid"),
    [
        ("a", True),
        ("A-Z.a_z:0-9", True),
        ("x" * 128, True),
        ("", False),
        ("x" * 129, False),
        ("a b", False),
        ("a\n", False),
        ("{a}", False),
        ("a/b", False),
        (".", False),
        ("..", False),
        ("...", True),
        (".a", True),
        ("ä", False),
        ("٣", False),
        ("ﬁ", False),
    ],
)
def test_what_an_account_id_may_be(account: str, valid: bool) -> None:
    """1 to 128 of A-Z a-z 0-9 . _ : - and nothing else."""
    assert is_valid_id(account) is valid
