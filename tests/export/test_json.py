"""The JSON document as orjson reads it back."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.json_renderer import render
from export.text import encodable
from rollups.catalog import APPLICATIONS, SERIES
from tests.export import samples


def test_the_members_are_the_contract() -> None:
    """Exactly the members that programs rely on, with the sample's values."""
    document = orjson.loads(render(samples.report()))

    concurrency = document.pop("concurrency")
    assert set(document.pop("sessions")) == set(APPLICATIONS)
    assert document == {
        "account": "acme",
        "name": "Acme Assurances",
        "from": "2026-10-01",
        "to": "2026-10-31",
        "timezone": "Europe/Paris",
        "as_of": "2026-11-01T09:00:00Z",
        "flow_runs": {
            "total": 82_701,
            "by_application": {
                "agent": 18_420,
                "ticket-guidance": 7_311,
                "mobile-web": 52_094,
                "web-self-service": 4_876,
            },
        },
        "assistance": {"call-now": 1_204, "callback": 388, "chat": 2_951, "email": 97},
        "dnis": {"numbers_purchased": 12, "call_minutes": 6_482.125},
        "sms": {"messages_with_link": 3_270},
        "completeness": {
            "status": "provisional",
            "complete_to": "2026-11-01T08:59:58Z",
            "pending": 0,
            "refused": 3,
            "reasons": [],
            "accepted": [],
        },
    }
    assert list(concurrency) == list(SERIES)


def test_sessions_have_two_members() -> None:
    """By application: how many were started, and how many of these have no stop."""
    assert orjson.loads(render(samples.report()))["sessions"] == {
        "agent": {"started": 41_310, "without_stop": 12},
        "ticket-guidance": {"started": 6_120, "without_stop": 0},
        "mobile-web": {"started": 58_774, "without_stop": 903},
        "web-self-service": {"started": 0, "without_stop": 0},
    }


def test_sessions_that_nobody_counted_are_null() -> None:
    """0 would be a wrong number."""
    report = samples.report(counts=samples.counts()._replace(has_sessions=False))
    unknown = {"started": None, "without_stop": None}
    assert orjson.loads(render(report))["sessions"] == dict.fromkeys(APPLICATIONS, unknown)


def test_a_series_has_four_members() -> None:
    """The average is the unrounded quotient; the busiest hour has its offset."""
    assert orjson.loads(render(samples.report()))["concurrency"]["mobile-web"] == {
        "max": 1_204,
        "average": 88_211 / 702,
        "reported_hours": 702,
        "busiest_hour": "2026-10-25T02:00:00+01:00",
    }


def test_a_series_without_sessions_is_zero_and_null() -> None:
    """Nothing reported: 0, 0, 0 and no busiest hour."""
    assert orjson.loads(render(samples.report()))["concurrency"]["web-self-service"] == {
        "max": 0,
        "average": 0,
        "reported_hours": 0,
        "busiest_hour": None,
    }


def test_what_does_not_apply_is_null() -> None:
    """`dnis` and `sms` are null where the account has no such service."""
    document = orjson.loads(render(samples.report(dnis=False, sms=False)))

    assert (document["dnis"], document["sms"]) == (None, None)


def test_as_of_is_in_utc_whatever_zone_it_came_in() -> None:
    """An as-of instant given in Paris time is written with a Z, to the microsecond."""
    instant = datetime(2026, 11, 1, 9, 0, 0, 250_000, tzinfo=UTC).astimezone(samples.PARIS)

    assert orjson.loads(render(samples.report(as_of=instant)))["as_of"] == (
        "2026-11-01T09:00:00.250000Z"
    )


def test_the_file_is_indented_and_ends_the_last_line() -> None:
    """A person can read it, and `cat` leaves the prompt on a line of its own."""
    data = render(samples.report())

    assert data.startswith(b'{\n  "account": "acme",\n')
    assert data.endswith(b"}\n")


def test_breakdowns_change_nothing() -> None:
    """The document has the same members with and without breakdowns."""
    assert render(samples.with_breakdowns()) == render(samples.report())


@pytest.mark.parametrize("name", [*samples.AWKWARD, *samples.FORMULAS])
def test_awkward_names_are_read_back(name: str) -> None:
    """JSON carries every character but half a surrogate pair."""
    assert orjson.loads(render(samples.report(name=name)))["name"] == encodable(name)


@given(st.text(max_size=200))
def test_any_name_is_read_back(name: str) -> None:
    """Whatever an account is called is what a program reads."""
    assert orjson.loads(render(samples.report(name=name)))["name"] == encodable(name)
