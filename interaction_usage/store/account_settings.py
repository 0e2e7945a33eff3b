"""An account's settings: the name, the time zone, and which report sections apply."""

from typing import Final, Literal, NamedTuple, cast
from unicodedata import category

from interaction_usage.store import keys
from interaction_usage.store.account_history import COMMAND, Author
from interaction_usage.store.account_table import (
    ACCOUNTS,
    ChangeRecord,
    Field,
    change_record,
    defaults,
)
from interaction_usage.store.client import Client
from interaction_usage.store.errors import InvalidAccountSettingError
from interaction_usage.store.ledger import Ledger
from rollups.local_time import zone

#: Control characters, halves of a surrogate pair, ends of lines and of paragraphs.
_NEVER_IN_NAMES: Final = {"Cc", "Cs", "Zl", "Zp"}
#: Spaces, and characters that only shape others.
_INVISIBLE: Final = {"Zs", "Cf", "Mn"}


#: What becomes of usage that arrives, or is corrected, after its report was issued: an operator may
#: revise the report, or the account's next one has an adjustment.
LateUsage = Literal["revise", "adjust"]


class AccountSettings(NamedTuple):
    """An account's settings; the defaults are those of an account without any."""

    name: str
    timezone: str = "UTC"  #: IANA name
    dnis: bool = True  #: whether the DNIS section of the report applies
    sms: bool = True  #: whether the Outgoing SMS section applies
    late_usage: LateUsage = "revise"  #: what becomes of usage that comes after its report


def get(redis: Client, account: str) -> AccountSettings:
    """Return the settings of *account*, whether it exists or not."""
    return _read(account, cast(dict[bytes, bytes], redis.hgetall(keys.settings(account))))


def put(
    ledger: Ledger,
    account: str,
    *,
    name: str | None = None,
    timezone: str | None = None,
    dnis: bool | None = None,
    sms: bool | None = None,
    late_usage: LateUsage | None = None,
    author: Author = COMMAND,
) -> AccountSettings:
    """Set what is not None, keep the rest; the account exists from then on. Return its settings.

    Changes are recorded with their *author* (see `account_history`). What is so already is no
    change, and nothing is published. Raises InvalidAccountSettingError, UnknownZone or LedgerError.
    """
    given = check(name, timezone)
    if dnis is not None:
        given["dnis"] = str(int(dnis))
    if sms is not None:
        given["sms"] = str(int(sms))
    if late_usage is not None:
        given["late_usage"] = late_usage
    place, redis = ledger.sync(ACCOUNTS), ledger.redis
    stored = cast(dict[bytes, bytes], redis.hgetall(keys.settings(account)))
    before = defaults(account) | {field.decode(): value.decode() for field, value in stored.items()}
    if not stored or any(before[field] != value for field, value in given.items()):
        change = ChangeRecord(ledger.now_ms(), *author, given)
        # Behind what it changes, or that would not count.
        for record in (*ACCOUNTS.to_import(redis, account, place), change_record(account, change)):
            ledger.publish(ACCOUNTS, [record])
    return get(redis, account)


def check(name: str | None, timezone: str | None) -> dict[Field, str]:
    """Return those that are not None as they are stored.

    Raises InvalidAccountSettingError, or UnknownZone.
    """
    given: dict[Field, str] = {}
    if name is not None:
        given["name"] = _checked_name(name.strip())
    if timezone is not None:
        given["timezone"] = zone(timezone).key
    return given


def _checked_name(name: str) -> str:
    """Return *name* if an account can have it. Raises InvalidAccountSettingError.

    Characters without a width are ordinary spelling (Persian has zero-width non-joiners), and those
    that Unicode will add are allowed. Line ends are not.
    """
    rule = "a name has 1 to 200 printable characters"
    if not 1 <= len(name) <= 200:
        raise InvalidAccountSettingError(f"{rule}; this one has {len(name):,}")
    for character in name:
        kind = category(character)
        if kind in _NEVER_IN_NAMES or _is_noncharacter(ord(character)):
            raise InvalidAccountSettingError(f"{rule}; U+{ord(character):04X} is not one")
    if all(category(character) in _INVISIBLE for character in name):
        raise InvalidAccountSettingError(f"{rule}; no character of this one is visible")
    return name


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def get_many(redis: Client, accounts: list[str]) -> list[AccountSettings]:
    """Return the settings of each of *accounts*, in one round trip."""
    pipe = redis.pipeline(transaction=False)
    for account in accounts:
        pipe.hgetall(keys.settings(account))
    return [_read(account, raw) for account, raw in zip(accounts, pipe.execute(), strict=True)]


def _read(account: str, raw: dict[bytes, bytes]) -> AccountSettings:
    stored = {name.decode(): value.decode() for name, value in raw.items()}
    stored = defaults(account) | stored
    return AccountSettings(
        stored["name"], stored["timezone"], stored["dnis"] == "1", stored["sms"] == "1",
        "adjust" if stored["late_usage"] == "adjust" else "revise",
    )  # fmt: skip
