"""Every change of an account's settings is kept with it, on every kind of Redis."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from interaction_usage.store import account_history, account_settings, keys
from interaction_usage.store.account_history import COMMAND, Author
from tests.support.memory_ledger import MemoryLedger

JANE = Author("jane", "3f9a0c52e1", is_operator=False)


def test_what_changed_is_kept_with_who_and_from_what(redis: Any, ledger: MemoryLedger) -> None:
    """Newest first; the value before a first change is the default."""
    account_settings.put(ledger, "acme", name="Acme Ltd", sms=False)
    account_settings.put(ledger, "acme", timezone="Europe/Paris", author=JANE)
    found = account_history.read(redis, "acme", 10)
    assert [(each.author, each.field, each.old, each.new) for each in found] == [
        (JANE, "timezone", "UTC", "Europe/Paris"),
        (COMMAND, "sms", True, False),
        (COMMAND, "name", "acme", "Acme Ltd"),
    ]
    assert found[0].second > 1_700_000_000


def test_what_stays_the_same_is_no_change(redis: Any, ledger: MemoryLedger) -> None:
    """Setting a value again, or a default, leaves no entry; the account exists anyway."""
    account_settings.put(ledger, "acme", name="acme", timezone="UTC", dnis=True)
    account_settings.put(ledger, "acme")
    assert account_history.read(redis, "acme", 10) == []
    assert redis.exists(keys.settings("acme"))


def test_of_changes_at_once_none_is_lost(redis: Any, ledger: MemoryLedger) -> None:
    """Each names the value of the one before it: the entries are one chain."""
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: account_settings.put(ledger, "acme", name=f"Name {n}"),
                range(100),
            )
        )
    found = account_history.read(redis, "acme", 1000)[::-1]
    assert len(found) == 100
    assert [each.old for each in found] == ["acme", *(each.new for each in found[:-1])]
    assert account_settings.get(redis, "acme").name == found[-1].new


def test_it_is_read_in_pages(redis: Any, ledger: MemoryLedger) -> None:
    """At most as many as asked for; the next page is before the last id."""
    for number in range(7):
        account_settings.put(ledger, "acme", name=f"Name {number}")
    first = account_history.read(redis, "acme", 3)
    then = account_history.read(redis, "acme", 10, before=first[-1].id)
    assert [each.new for each in first + then] == [f"Name {n}" for n in range(6, -1, -1)]


@pytest.mark.parametrize(
    "cursor", ["", "-", "+", "0-0", "00-0", "1", "x-1", "1-1 ", "9" * 30 + "-1"]
)
def test_what_is_no_id_is_refused(redis: Any, cursor: str) -> None:
    """Before Redis sees it."""
    with pytest.raises(ValueError, match="not the id of a change"):
        account_history.read(redis, "acme", 3, before=cursor)


def test_no_account_shares_the_history_of_another(redis: Any, ledger: MemoryLedger) -> None:
    """Ids may hold colons: an account that is named like a key of another is still its own."""
    account_settings.put(ledger, "acme", name="Acme")
    account_settings.put(ledger, "acme:history", name="Other")
    assert [each.new for each in account_history.read(redis, "acme", 9)] == ["Acme"]
    assert [each.new for each in account_history.read(redis, "acme:history", 9)] == ["Other"]
