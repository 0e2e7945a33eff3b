"""An account's settings: the name, the time zone, and which report sections apply."""

from typing import Final, NamedTuple, cast
from unicodedata import category

from interaction_usage.store import account_history, keys
from interaction_usage.store.account_history import COMMAND, Author
from interaction_usage.store.client import Client
from interaction_usage.store.errors import InvalidAccountSettingError
from rollups.local_time import zone

#: Control characters, halves of a surrogate pair, ends of lines and of paragraphs.
_NEVER_IN_NAMES: Final = {"Cc", "Cs", "Zl", "Zp"}
#: Spaces, and characters that only shape others.
_INVISIBLE: Final = {"Zs", "Cf", "Mn"}


class AccountSettings(NamedTuple):
    """An account's settings; the defaults are those of an account without any."""

    name: str
    timezone: str = "UTC"  #: IANA name
    dnis: bool = True  #: whether the DNIS section of the report applies
    sms: bool = True  #: whether the Outgoing SMS section applies


def get(redis: Client, account: str) -> AccountSettings:
    """Return the settings of *account*, whether it exists or not."""
    return _read(account, cast(dict[bytes, bytes], redis.hgetall(keys.settings(account))))


def put(
    redis: Client,
    account: str,
    *,
    name: str | None = None,
    timezone: str | None = None,
    dnis: bool | None = None,
    sms: bool | None = None,
    author: Author = COMMAND,
) -> AccountSettings:
    """Set what is not None, keep the rest; the account exists from then on. Return its settings.

    Changes are recorded with their *author* (see `account_history`). Raises
    InvalidAccountSettingError, or UnknownZone.
    """
    given: dict[str, str] = {}
    if name is not None:
        given["name"] = _checked_name(name.strip())
    if timezone is not None:
        given["timezone"] = zone(timezone).key
    for field, applies in (("dnis", dnis), ("sms", sms)):
        if applies is not None:
            given[field] = str(int(applies))
    defaults = {"name": account, "timezone": "UTC", "dnis": "1", "sms": "1"}
    account_history.change(redis, account, author, given, defaults)
    redis.sadd(keys.SETTINGS_ACCOUNTS, account)
    return get(redis, account)


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


def is_valid_id(account: str) -> bool:
    """Return whether *account* can be an account id: 1 to 128 of `A-Z a-z 0-9 . _ : -`.

    `.` and `..` cannot: no page's address and no folder could be named after them.
    """
    return (
        1 <= len(account) <= 128
        and account not in {".", ".."}
        and account.isascii()
        and all(character.isalnum() or character in "._:-" for character in account)
    )


def get_many(redis: Client, accounts: list[str]) -> list[AccountSettings]:
    """Return the settings of each of *accounts*, in one round trip."""
    pipe = redis.pipeline(transaction=False)
    for account in accounts:
        pipe.hgetall(keys.settings(account))
    return [_read(account, raw) for account, raw in zip(accounts, pipe.execute(), strict=True)]


def _read(account: str, raw: dict[bytes, bytes]) -> AccountSettings:
    stored = {name.decode(): value.decode() for name, value in raw.items()}
    return AccountSettings(
        stored.get("name", account),
        stored.get("timezone", "UTC"),
        stored.get("dnis", "1") == "1",
        stored.get("sms", "1") == "1",
    )
