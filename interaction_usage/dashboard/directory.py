"""The accounts by id, and a search in them, without reading all of them for a request.

One thread keeps the ids, sorted, and the text that a search looks in. Each request asks whether
there are new accounts, which costs two commands, and waits a moment for them. A changed name or
zone is found by its new text once its turn has come, at `SLICE` accounts a second; what is shown of
an account is always read from Redis.
"""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, cast

from redis.client import Redis
from redis.exceptions import RedisError

from interaction_usage.dashboard.errors import DashboardError
from interaction_usage.store import account_settings, keys
from interaction_usage.store.account_settings import AccountSettings
from interaction_usage.store.errors import LayoutDiffersError
from interaction_usage.store.reads import Rollups
from rollups.zone_search import also_called

log = logging.getLogger(__name__)

#: Accounts whose names are read again in a second.
SLICE: Final = 2000

#: Accounts read in one round trip.
_CHUNK: Final = 500

#: Seconds that a request waits for what is new, and for the first list.
_PATIENCE_S: Final = 0.25
_FIRST_S: Final = 4.0

#: Seconds after the last request that names are kept fresh.
_IDLE_S: Final = 60.0

#: Accounts that are looked through for similar ones, how many of these are named, and how like they
#: must be.
_SIMILAR_OF: Final = 20_000
_MOST_SIMILAR, _LEAST_SIMILAR = 3, 0.6

#: The part of a core that reading the list of ids may take while it keeps changing.
_MOST_LOAD: Final = 0.1


class Found(NamedTuple):
    """A page of accounts."""

    accounts: Sequence[str]  #: ids, sorted
    total: int  #: how many there are on all pages
    more: bool  #: whether there are others after these


class DirectoryError(DashboardError):
    """The list of accounts is still being read."""


class _Signature(NamedTuple):
    """What is equal where the accounts are the same."""

    namespace: str
    named: int  #: accounts that an operator set
    counted: int  #: accounts that an event was counted for


class Directory:
    """Knows all accounts, for as long as it runs."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ids: list[str] = []
        self._texts: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._signature: _Signature | None = None
        self._place = 0  #: in the ids, from which names are read next
        self._asked_at = 0.0
        self._may_read_ids = 0.0
        self._news = threading.Condition()
        self._wake, self._over = threading.Event(), False
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._over = True
        self._wake.set()
        self._thread.join()

    def page(
        self, search: str, after: str, limit: int, rank: Callable[[str, str], Any] | None = None
    ) -> Found:
        """Return the first *limit* accounts after the id *after* that have *search* in their text.

        They are sorted by what *rank* returns of their id and name, and then by id. Raises
        RedisError, and DirectoryError while the first list is still being read.
        """
        now = time.monotonic()
        if now - self._asked_at > _IDLE_S:
            self._wake.set()
        self._asked_at = now
        self._wait_for(_signature_of(self._redis))
        wanted = _folded(search)
        ids, texts = self._ids, self._texts
        if wanted:
            ids = [each for each in ids if wanted in texts.get(each, each)]
        if rank is None:
            begin = bisect_right(ids, after) if after else 0
        else:
            names: dict[str, str] = self._names
            ids = sorted(ids, key=lambda each: (rank(each, names.get(each) or each), each))
            begin = ids.index(after) + 1 if after in ids else 0
        return Found(ids[begin : begin + limit], len(ids), begin + limit < len(ids))

    def similar(self, search: str) -> list[str]:
        """Return the ids of accounts whose id or name is much like *search*, the best first."""
        wanted = _folded(search)
        by_text = {name.casefold(): each for each, name in list(self._names.items())[:_SIMILAR_OF]}
        by_text |= {each.casefold(): each for each in self._ids[:_SIMILAR_OF]}
        near = get_close_matches(wanted, by_text, _MOST_SIMILAR, _LEAST_SIMILAR)
        return list(dict.fromkeys(by_text[text] for text in near))

    def _wait_for(self, wanted: _Signature) -> None:
        with self._news:
            if self._knows(wanted):
                return
            self._wake.set()
            patience = _PATIENCE_S if self._signature else _FIRST_S
            self._news.wait_for(lambda: self._knows(wanted), patience)
            if self._signature is None:
                raise DirectoryError

    def _knows(self, wanted: _Signature) -> bool:
        known = self._signature
        return known is not None and (
            known.namespace == wanted.namespace
            # Accounts never go.
            and known.named >= wanted.named
            and known.counted >= wanted.counted
        )

    def _run(self) -> None:
        while not self._over:
            self._wake.clear()
            pause = 1.0
            try:
                pause = self._read()
            except (RedisError, OSError, LayoutDiffersError):
                pass  # whoever asks for a page asks Redis too, and says it
            except Exception:
                log.exception("The list of accounts could not be read")
            self._wake.wait(pause)
            # A wake is for new accounts; while these keep coming, the list is read now and then.
            rest = self._may_read_ids - time.monotonic()
            if rest > 0 and not self._over:
                time.sleep(min(rest, 1.0))

    def _read(self) -> float:
        """Read what is new, and some names; return for how many seconds that will do."""
        began = time.monotonic()
        signature = _signature_of(self._redis)
        if signature != self._signature:
            ids = Rollups.live(self._redis).accounts()
            self._read_names([each for each in ids if each not in self._texts])
            with self._news:
                self._ids, self._signature = ids, signature
                self._news.notify_all()
            ended = time.monotonic()
            self._may_read_ids = ended + (ended - began) / _MOST_LOAD - (ended - began)
        if began - self._asked_at > _IDLE_S:
            return _IDLE_S
        if self._place >= len(self._ids):
            self._place = 0
        self._read_names(self._ids[self._place : self._place + SLICE])
        self._place += SLICE
        return 1.0

    def _read_names(self, ids: Sequence[str]) -> None:
        for begin in range(0, len(ids), _CHUNK):
            chunk = list(ids[begin : begin + _CHUNK])
            for account, kept in zip(
                chunk, account_settings.get_many(self._redis, chunk), strict=True
            ):
                self._texts[account] = _text(account, kept)
                self._names[account] = kept.name


def matches(search: str, account: str, kept: AccountSettings) -> bool:
    """Tell whether a search finds an account with the settings *kept*."""
    return _folded(search) in _text(account, kept)


def _text(account: str, kept: AccountSettings) -> str:
    zone = kept.timezone
    return _folded(f"{kept.name} {account} {zone} {zone.replace('_', ' ')} {also_called(zone)}")


def _folded(text: str) -> str:
    return text.strip().casefold()


def _signature_of(redis: Redis) -> _Signature:
    rollups = Rollups.live(redis)
    pipe = redis.pipeline(transaction=False)
    pipe.scard(keys.SETTINGS_ACCOUNTS)
    pipe.scard(rollups.keys.accounts)
    named, counted = cast(list[int], pipe.execute())
    return _Signature(rollups.keys.name, named, counted)
