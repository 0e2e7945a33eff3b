"""The API of accounts: their list, settings, history, and time zones."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from redis.client import Redis

from interaction_usage.dashboard import changes
from interaction_usage.dashboard.activity import Usage
from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.days_with_usage import days_with_usage
from interaction_usage.dashboard.directory import Directory, DirectoryError, Found, matches
from interaction_usage.dashboard.errors import InvalidValueError, RequestError
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.natural_order import natural_key
from interaction_usage.dashboard.schemas import accounts as shapes
from interaction_usage.dashboard.schemas.shared import Sentence
from interaction_usage.dashboard.views import shown
from interaction_usage.store import account_history, account_settings
from interaction_usage.store.errors import InvalidAccountSettingError
from interaction_usage.store.reads import Rollups
from rollups.local_time import UnknownZone, offset_at, zone, zone_names
from rollups.zone_change import ZoneChange, zone_change
from rollups.zone_search import also_called

#: Accounts on one page of their list: by default, and at most.
DEFAULT_ACCOUNTS: Final = 100
MAX_ACCOUNTS: Final = 1000

router = APIRouter()


@router.get(
    "/accounts", response_model=list[shapes.ListedAccount], tags=["Accounts"],
    responses={200: {"headers": {
        "Link": {
            "description": "The address of the next page, `rel=\"next\"`, if there is one.",
            "schema": {"type": "string"},
        },
        "X-Total-Count": {
            "description": "How many accounts there are on all pages.",
            "schema": {"type": "integer"},
        },
    }}},
)  # fmt: skip
def list_accounts(
    request: Request,
    asker: Allowed,
    search: Annotated[
        str, Query(max_length=200, description="Only accounts with this in their name, id or zone.")
    ] = "",
    cursor: Annotated[
        str, Query(max_length=128, description="Only accounts whose ids come after this one.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_ACCOUNTS)] = DEFAULT_ACCOUNTS,
    sort: Annotated[
        Literal["id", "name", "last_counted", "flow_runs"],
        Query(description="By id; by name, numbers by their value; or what has the most first."),
    ] = "id",
) -> Response:
    """The accounts that you may see, a page at a time, with what is new of each."""
    redis: Redis = request.app.state.redis
    if asker.account is None:
        found = _page(request, search, cursor, limit, sort)
        news = request.app.state.activity.of(found.accounts)
    else:
        found = _own(redis, asker.account, search, cursor)
        news = [None for _ in found.accounts]  # nobody reads all accounts for the one of a token
    known = account_settings.get_many(redis, list(found.accounts))
    answer = json_answer(
        [
            {"account": name, **kept._asdict(), **_news(usage)}
            for name, kept, usage in zip(found.accounts, known, news, strict=True)
        ]
    )
    answer.headers["X-Total-Count"] = str(found.total)
    if found.more:
        query = urlencode(
            {"search": search, "cursor": found.accounts[-1], "limit": limit, "sort": sort}
        )
        answer.headers["Link"] = f'</api/accounts?{query}>; rel="next"'
    return answer


def _own(redis: Redis, account: str, search: str, cursor: str) -> Found:
    """Return the one account that its token may see, if it is asked for."""
    exists = Rollups.live(redis).exists(account) and account > cursor
    own = (
        [account]
        if exists and matches(search, account, account_settings.get(redis, account))
        else []
    )
    return Found(own, len(own), False)


def _news(usage: Usage | None) -> dict[str, Any]:
    last = usage and usage.last_counted
    return {
        "last_counted": None if last is None else shown(datetime.fromtimestamp(last, UTC)),
        "flow_runs": usage and usage.flow_runs,
        "is_known": usage is not None,
    }


def _rank(request: Request, sort: str) -> Callable[[str, str], Any] | None:
    """Return what accounts are sorted by, given their ids and names; None for the id alone."""
    if sort == "id":
        return None
    if sort == "name":
        return lambda _account, name: natural_key(name)
    place = Usage._fields.index(sort)
    known = request.app.state.activity.everything()

    def rank(account: str, _name: str) -> int:
        value = known[account][place] if account in known else None
        return 1 if value is None else -value

    return rank


def _page(request: Request, search: str, cursor: str, limit: int, sort: str) -> Found:
    directory: Directory = request.app.state.directory
    try:
        return directory.page(search, cursor, limit, _rank(request, sort))
    except DirectoryError:
        raise RequestError(
            503, "The list of accounts is still being read; try again in a moment.",
            {"Retry-After": "2"},
        ) from None  # fmt: skip


@router.get("/similar-accounts", response_model=list[str], tags=["Accounts"])
def similar_accounts(
    request: Request,
    asker: Allowed,
    search: Annotated[str, Query(min_length=1, max_length=200, description="A name or an id.")],
) -> Response:
    """The ids of accounts whose id or name is much like what was searched; the best first."""
    directory: Directory = request.app.state.directory
    return json_answer(directory.similar(search) if asker.account is None else [])


@router.get("/accounts/{account}", response_model=shapes.AccountDetails, tags=["Accounts"])
def get_account(request: Request, account: str, asker: Allowed) -> Response:
    """One account."""
    return json_answer(_details(visible_rollups(request, account, asker), account, asker))


@router.put(
    "/accounts/{account}", response_model=shapes.AccountDetails, tags=["Accounts"],
    responses={
        403: {
            "model": Sentence,
            "description": "Your token may not change this, or another site's page asked.",
        },
        429: {
            "model": Sentence,
            "description": "Too many wrong tokens, requests at once, or changes.",
        },
    },
)  # fmt: skip
def put_account(
    request: Request, account: str, change: shapes.AccountChange, asker: AllowedToChange
) -> Response:
    """Set what is given of an account and keep the rest; it exists from then on.

    A manager's token may set name and time zone of its account, an operator's everything.
    """
    asker.must_see(account)
    given = change.model_dump(exclude_none=True)
    _must_be_allowed(request, account, asker, given)
    state = request.app.state
    if not state.changing.acquire(blocking=False):
        raise BusyError(503, "The server is busy with changes; try again in a moment.")
    try:
        account_settings.put(state.ledger, account, **given, author=asker.author)
    except UnknownZone as error:
        raise InvalidValueError(("body", "timezone"), str(error)) from None
    except InvalidAccountSettingError as error:
        raise InvalidValueError(("body", "name"), str(error)) from None
    finally:
        state.changing.release()
    return json_answer(_details(Rollups.live(state.redis), account, asker))


def _must_be_allowed(
    request: Request, account: str, asker: Asker, given: Mapping[str, object]
) -> None:
    """Raise RequestError unless *asker* may set the fields *given* of *account* now."""
    if asker.is_operator:
        return
    if not asker.role.may_change:
        raise RequestError(403, "This token may view the account, but not change its settings.")
    if not asker.role.may_change.issuperset(given):
        raise RequestError(
            403,
            "This token may change the name and the time zone; what applies to the account, DNIS "
            "and SMS, is set by an operator.",
        )
    visible_rollups(request, account, asker)  # only an operator makes accounts
    if wait := changes.seconds_to_wait(request.app.state.redis, account):
        minutes = -(-wait // 60)
        raise RequestError(
            429,
            f"These settings were changed {changes.MOST} times within an hour; try again in "
            f"{minutes} {'minute' if minutes == 1 else 'minutes'}.",
            {"Retry-After": str(wait)},
        )


def _details(rollups: Rollups, account: str, asker: Asker) -> dict[str, Any]:
    return {
        "account": account,
        **account_settings.get(rollups.redis, account)._asdict(),
        "counted": rollups.has_events(account),
        "session_limits": rollups.limits(),
        "may_change": sorted(asker.role.may_change),
    }


@router.get("/accounts/{account}/history", response_model=shapes.AccountHistory, tags=["Accounts"])
def account_changes(
    request: Request,
    account: str,
    asker: Allowed,
    limit: Annotated[int, Query(ge=1, le=changes.MOST_SHOWN, description="At most so many.")] = 50,
    before: Annotated[
        str | None, Query(max_length=40, description="Only changes before this id.")
    ] = None,
) -> Response:
    """Every change of the account's settings, newest first."""
    rollups = visible_rollups(request, account, asker)
    try:
        found = account_history.read(rollups.redis, account, limit, before)
    except ValueError as error:
        raise InvalidValueError(("query", "before"), str(error)) from None
    rows = [changes.members(each, for_operator=asker.is_operator) for each in found]
    return json_answer({"changes": rows, "next": found[-1].id if len(found) == limit else None})


@router.get(
    "/accounts/{account}/timezone-change", response_model=shapes.ZoneChange, tags=["Accounts"]
)
def timezone_change(
    request: Request,
    account: str,
    asker: Allowed,
    to: Annotated[str, Query(max_length=100, description="IANA name of the new time zone.")],
) -> Response:
    """What another time zone would do to days and bills; nothing is changed."""
    rollups = visible_rollups(request, account, asker)
    now = account_settings.get(rollups.redis, account).timezone
    try:
        new = zone(to)
    except UnknownZone as error:
        raise InvalidValueError(("query", "to"), str(error)) from None
    try:
        change = zone_change(int(time.time()), zone(now), new)
    except UnknownZone:  # it was set when such a name was taken: there is nothing to compare with
        change = ZoneChange(now, new.key, ())
    months = [
        {
            "before": f"{edge.before:%Y-%m}", "month": f"{edge.month:%Y-%m}",
            "ended": shown(datetime.fromtimestamp(edge.ended, UTC)),
            "begins": shown(datetime.fromtimestamp(edge.begins, UTC)), "seconds": edge.seconds,
        }
        for edge in change.edges
    ]  # fmt: skip
    return json_answer(
        {"from": change.old, "to": change.new, "months": months, "sentences": change.sentences()}
    )


@router.get(
    "/accounts/{account}/days-with-usage", response_model=shapes.DaysWithUsage, tags=["Accounts"]
)
def known_days(request: Request, account: str, asker: Allowed) -> Response:
    """The first and the last local day with usage."""
    rollups = visible_rollups(request, account, asker)
    found = days_with_usage(rollups.redis, account, datetime.now(UTC)) or (None, None)
    return json_answer({"first": found[0], "last": found[1]})


@router.get("/timezones", response_model=list[shapes.Zone], tags=["Accounts"])
def list_timezones(asker: Allowed) -> Response:
    """Every IANA time zone, with its offset now."""
    return json_answer(_zones(int(time.time()) // 60))


@lru_cache(maxsize=1)
def _zones(minute: int) -> list[dict[str, Any]]:
    """Return every zone in that minute; to read 600 files for each request is too much."""
    return [
        {
            "name": name,
            "offset": offset_at(minute * 60, zone(name)),
            "also": also_called(name),
        }
        for name in sorted(zone_names())
    ]
