"""The list of accounts: what is new of each, its orders, and accounts that are much alike."""

import time
from datetime import UTC, datetime

import pytest

from interaction_usage.dashboard.natural_order import natural_key
from interaction_usage.store import account_settings
from interaction_usage.store.activity import last_counted
from interaction_usage.store.reads import Rollups
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

NOW = datetime.now(UTC).isoformat()


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of three accounts with flow runs of this month, and one without."""
    runs = {"b10": 3, "b2": 1, "b1": 2}
    lines = [
        flow(f"{account}-{number}", subject=account, time=NOW)
        for account, count in runs.items()
        for number in range(count)
    ]
    fill(redis_url, lines)
    for account, name in (("b10", "Branch 10"), ("b2", "branch 2"), ("quiet", "Branch 1")):
        account_settings.put(served.ledger, account, name=name)
    token = served.token()
    deadline = time.monotonic() + 10
    while not all(each["is_known"] for each in served.get("/accounts", token).json()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return served


def ids(served: Dashboard, **query: str) -> list[str]:
    """Return the ids that are listed."""
    return [each["account"] for each in served.get_json("/accounts", **query)]


def test_numbers_in_names_count_as_numbers() -> None:
    """Whatever their case, and however many digits they have."""
    names = ["Branch 10", "branch 9", "Branch 1", "10", "9", "", "a9b2", "a9b10", "9" * 200]
    assert sorted(names, key=natural_key) == [
        "", "9", "10", "9" * 200, "a9b2", "a9b10", "Branch 1", "branch 9", "Branch 10",
    ]  # fmt: skip


def test_what_is_new_of_each(served: Dashboard) -> None:
    """The flow runs of the month so far, and when something was last counted."""
    found = {each["account"]: each for each in served.get_json("/accounts")}
    assert {name: each["flow_runs"] for name, each in found.items()} == {
        "b1": 2, "b10": 3, "b2": 1, "quiet": 0,
    }  # fmt: skip
    assert found["quiet"]["last_counted"] is None
    assert all(found[name]["last_counted"] for name in ("b1", "b10", "b2"))


def test_the_orders(served: Dashboard) -> None:
    """By id, by name, by what is new; page by page; within a search."""
    assert ids(served) == ["b1", "b10", "b2", "quiet"]
    assert ids(served, sort="name") == ["b1", "quiet", "b2", "b10"]
    assert ids(served, sort="flow_runs") == ["b10", "b1", "b2", "quiet"]
    assert ids(served, sort="last_counted")[-1] == "quiet"
    assert ids(served, sort="name", search="branch", limit="2") == ["quiet", "b2"]
    assert ids(served, sort="name", search="branch", limit="2", cursor="b2") == ["b10"]
    answer = served.get("/accounts", served.token(), sort="flow_runs", limit="1")
    assert "sort=flow_runs" in answer.headers["link"]
    assert served.get("/accounts", served.token(), sort="size").status_code == 422


def test_a_new_run_is_noticed(served: Dashboard, redis_url: str) -> None:
    """Also where it is counted in the second in which the others were."""
    activity = served.app.state.activity
    fill(redis_url, [flow("again", subject="b2", time=NOW)], log="1")
    activity.look()
    assert activity.everything()["b2"].flow_runs == 2


def test_an_account_s_token_reads_no_others(served: Dashboard) -> None:
    """What is new of all accounts is for those who see all."""
    [own] = served.get("/accounts", served.token("b1")).json()
    assert (own["account"], own["is_known"], own["flow_runs"]) == ("b1", False, None)
    assert served.get("/similar-accounts", served.token("b1"), search="b11").json() == []


def test_accounts_are_found_by_their_zones(served: Dashboard) -> None:
    """By country, by city, and by a name of former times."""
    account_settings.put(served.ledger, "quiet", timezone="Asia/Kolkata")
    account_settings.put(served.ledger, "b2", timezone="America/New_York")
    deadline = time.monotonic() + 10
    while ids(served, search="india") != ["quiet"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert ids(served, search="calcutta") == ["quiet"]
    assert ids(served, search="new york") == ["b2"]


def test_days_with_usage(served: Dashboard, redis_url: str) -> None:
    """Local days, the first and the last; null where there is none."""
    moments = ("2026-03-03T23:30:00Z", "2026-05-01T10:00:00Z")
    fill(redis_url, [flow(at, subject="b7", time=at) for at in moments], log="b7")
    assert served.get_json("/accounts/b7/days-with-usage") == {
        "first": "2026-03-03", "last": "2026-05-01",
    }  # fmt: skip
    account_settings.put(served.ledger, "b7", timezone="Asia/Kathmandu")
    assert served.get_json("/accounts/b7/days-with-usage")["first"] == "2026-03-04"
    account_settings.put(served.ledger, "b7", timezone="Pacific/Pago_Pago")
    assert served.get_json("/accounts/b7/days-with-usage")["last"] == "2026-04-30"
    assert served.get_json("/accounts/quiet/days-with-usage") == {"first": None, "last": None}
    other = served.get("/accounts/b7/days-with-usage", served.token("b1"))
    assert other.status_code == 404


def test_similar_accounts(served: Dashboard) -> None:
    """By id or by name."""
    assert served.get_json("/similar-accounts", search="Brnch 10")[0] == "b10"
    assert served.get_json("/similar-accounts", search="quite") == ["quiet"]
    assert served.get_json("/similar-accounts", search="zzzzzz") == []


def test_nothing_was_counted_where_no_day_is_open(served: Dashboard) -> None:
    """An account that was only set, and one that does not exist."""
    found = last_counted(Rollups.live(served.redis), ["quiet", "b1", "nobody"])
    assert found[0] is None
    assert found[1]
    assert found[2] is None
    assert last_counted(Rollups.live(served.redis), []) == []
