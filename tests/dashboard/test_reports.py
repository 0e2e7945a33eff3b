"""The reports over the API: the numbers of the command, and those the events must give."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from interaction_usage.commands.main import main
from interaction_usage.reports.periods import MAX_DAYS
from tests.support import vector_files
from tests.support.event_lines import event, flow, traffic
from tests.support.filling import fill
from tests.support.serving import Dashboard

SERIES = ("agent-sessions", "agent", "ticket-guidance", "mobile-web", "web-self-service")


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard over the vectors, and two days of mixed traffic of two accounts."""
    for name in vector_files.NAMES:
        fill(redis_url, [line for _, line in vector_files.lines(name)], log=name)
    fill(redis_url, traffic(4000, 3, accounts=2), log="traffic")
    return served


def expected() -> Iterator[Any]:
    """Yield each report that a vector must give."""
    for name in vector_files.NAMES:
        yield from vector_files.expected(name)


CASES = list(expected())


def query(case: Any) -> dict[str, str]:
    """Return the query that asks for a vector's report."""
    within = case.period
    return {
        "from": str(within.first), "to": str(within.last), "tz": within.timezone,
        "as_of": case.as_of.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


def command(redis_url: str, case: Any, file_format: str, folder: Path) -> bytes:
    """Return the bytes that `usage export` writes for a vector's report."""
    asked = query(case)
    target = folder / f"usage.{file_format}"
    done = CliRunner().invoke(
        main,
        [
            "export", case.account, "--from", asked["from"], "--to", asked["to"], "--tz",
            asked["tz"], "--as-of", asked["as_of"], "-o", str(target),
        ],
        env={"USAGE_REDIS": redis_url},
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return target.read_bytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.account}-{case.period.first}")
def test_report_and_file_are_the_commands_byte_for_byte(
    served: Dashboard, redis_url: str, case: Any, tmp_path: Path
) -> None:
    """One code path: for the same as-of, what is downloaded is what the command writes."""
    with served.client(served.token()) as client:
        report = client.get(f"/api/accounts/{case.account}/report", params=query(case))
        file = client.get(f"/api/accounts/{case.account}/usage.xls", params=query(case))
    assert report.content == command(redis_url, case, "json", tmp_path)
    assert {name: report.json()[name] for name in case.report if name != "name"} == {
        name: document for name, document in case.report.items() if name != "name"
    }
    assert file.content == command(redis_url, case, "xls", tmp_path)
    assert file.headers["content-disposition"] == 'attachment; filename="usage.xls"'


def test_usage_and_resolution_of_a_vector(served: Dashboard) -> None:
    """The numbers of the first day, as one counts them in the file."""
    asked = {"from": "2026-10-01", "to": "2026-10-02", "tz": "UTC"}
    usage = served.get_json("/accounts/acme/dashboard/usage", **asked)
    assert [day["day"] for day in usage["days"]] == ["2026-10-01", "2026-10-02"]
    day = served.get_json("/accounts/acme/dashboard/resolution", **asked)["days"][0]
    assert day["begun"] == usage["days"][0]["begun"]
    assert day["turned"] == day["call-now"] + day["callback"] + day["chat"]
    assert day["share"] == day["turned"] / day["begun"]


# ------------------------------------------------------------ against the events themselves


def days_of(lines: list[dict[str, Any]], offset: int) -> dict[str, list[dict[str, Any]]]:
    """Return the events by their local day, *offset* minutes ahead of UTC."""
    from datetime import datetime

    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        local = datetime.fromisoformat(line["time"]) + timedelta(minutes=offset)
        found.setdefault(str(local.date()), []).append(line)
    return found


@pytest.mark.parametrize(
    ("tz", "offset"), [("UTC", 0), ("Asia/Kathmandu", 345), ("America/St_Johns", -150)]
)
def test_counts_per_day_are_those_of_the_events(served: Dashboard, tz: str, offset: int) -> None:
    """Each day's runs and clicks, counted again from the events, in zones off the hour."""
    lines = [json.loads(line) for line in traffic(4000, 3, accounts=2)]
    mine = [line for line in lines if line["subject"] == "account-0"]
    asked = {"from": "2026-09-30", "to": "2026-10-03", "tz": tz}
    whole = served.get_json("/accounts/account-0/dashboard", **asked)
    assert sum(day["begun"] for day in whole["usage"]["days"]) > 300
    by_day = days_of(mine, offset)
    for place, day in enumerate(whole["usage"]["days"]):
        these = by_day.get(day["day"], [])
        runs = [line["data"] for line in these if line["type"] == "usage.flow.run"]
        outcomes = Counter(run["outcome"] for run in runs)
        assert (day["begun"], day["abandoned"]) == (len(runs), outcomes["abandoned"])
        applications = whole["applications"]["days"][place]
        counted = Counter(run["application"] for run in runs)
        assert {name: applications[name] for name in SERIES[1:]} == {
            name: counted[name] for name in SERIES[1:]
        }
        clicks = Counter(
            line["data"]["service"] for line in these if line["type"] == "usage.assist.clicked"
        )
        document = whole["connectivity"]["days"][place]
        assert {name: document[name] for name in ("call-now", "callback", "chat", "email")} == {
            name: clicks[name] for name in ("call-now", "callback", "chat", "email")
        }


@pytest.mark.parametrize("tz", ["UTC", "Asia/Kathmandu"])
def test_the_flows_by_day_add_up_to_all_of_them(served: Dashboard, tz: str) -> None:
    """Every flow's days, added up, are the unfiltered days; every flow's total is its rank's."""
    asked = {"from": "2026-09-30", "to": "2026-10-03", "tz": tz}
    heat = served.get_json("/accounts/account-1/dashboard/heat", **asked)
    every = served.get_json("/accounts/account-1/dashboard/usage", **asked)
    sums: Counter[str] = Counter()
    for each in heat["flows"]:
        usage = served.get_json("/accounts/account-1/dashboard/usage", flow=each["flow"], **asked)
        total = usage["total"]
        assert (total["begun"], total["abandoned"]) == (each["runs"], each["abandoned"])
        for day in usage["days"]:
            sums[day["day"]] += day["begun"]
    assert len(heat["flows"]) == 30
    assert dict(sums) == {day["day"]: day["begun"] for day in every["days"]}


@pytest.mark.parametrize("by", ["hour", "week", "month"])
@pytest.mark.parametrize("tz", ["UTC", "Australia/Lord_Howe"])
def test_spans_add_up_to_the_days(served: Dashboard, by: str, tz: str) -> None:
    """Sums are sums of the days', maxima the highest; a week and a month end with the period."""
    # Tue 29  Wed 30 | Thu 1 ... Sat 3 : one week, two months; Lord Howe's clocks change on the 4th
    asked = {"from": "2026-09-29", "to": "2026-10-04", "tz": tz, "flow": "flow 1"}
    days = served.get_json("/accounts/account-0/dashboard", **asked)
    found = served.get_json("/accounts/account-0/dashboard", by=by, **asked)
    edges = {
        "week": [("2026-09-29", "2026-10-04")],
        "month": [("2026-09-29", "2026-09-30"), ("2026-10-01", "2026-10-04")],
    }
    spans = [(each["day"], each.get("last", each["day"])) for each in found["usage"]["days"]]
    if by == "hour":
        assert len(spans) == len({each["begins"] for each in found["usage"]["days"]})
        assert len(spans) == {"UTC": 144, "Australia/Lord_Howe": 144}[tz]
        assert days["usage"]["total"]["begun"] > 0
    else:
        assert spans == edges[by]

    def within(rows: list[dict[str, Any]], first: str, last: str) -> list[dict[str, Any]]:
        return [row for row in rows if first <= row["day"] <= last]

    names = {"usage": "begun", "resolution": "completed", "applications": "agent"}
    for view, name in (*names.items(), ("connectivity", "chat")):
        assert found[view]["total"] == days[view]["total"]
        for first, last in set(spans):
            sums = [
                sum(row[name] for row in within(each[view]["days"], first, last))
                for each in (days, found)
            ]
            assert sums[0] == sums[1]
    for series, curve in found["concurrency"]["series"].items():
        daily = days["concurrency"]["series"][series]
        assert sum(row["reported_hours"] for row in curve["days"]) == curve["reported_hours"]
        assert max(row["max"] for row in curve["days"]) == curve["max"]
        for first, last in set(spans):
            highest = [max(row["max"] for row in within(each["days"], first, last))
                       for each in (daily, curve)]  # fmt: skip
            assert highest[0] == highest[1]


def test_hours_are_for_a_month_at_most(served: Dashboard) -> None:
    """And the refusal says so beside the parameter."""
    asked = {"from": "2026-09-01", "to": "2026-10-02", "by": "hour"}
    answer = served.get("/accounts/account-0/dashboard", served.token(), **asked)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "by"]
    assert "at most 31 days, not 32" in answer.text


def test_clicks_are_not_reported_by_flow(served: Dashboard) -> None:
    """Runs of one flow held against the clicks of all would be a wrong number."""
    document = served.get_json(
        "/accounts/account-1/dashboard/resolution",
        flow="flow 1", **{"from": "2026-10-01", "to": "2026-10-02"},
    )  # fmt: skip
    assert document["total"]["begun"] > 0
    assert (
        document["total"]["turned"]
        is document["total"]["chat"]
        is document["days"][0]["share"]
        is None
    )


def test_concurrency_per_day_agrees_with_the_report(served: Dashboard) -> None:
    """The highest day is the report's maximum, its hour the busiest, and the map has the same."""
    asked = {"from": "2026-10-01", "to": "2026-10-03", "tz": "Asia/Kathmandu"}
    document = served.get_json("/accounts/account-0/dashboard/concurrency", **asked)
    report = served.get_json("/accounts/account-0/report", **asked)
    for series in SERIES:
        curve, days = document["series"][series], document["series"][series]["days"]
        assert {name: curve[name] for name in report["concurrency"][series]} == (
            report["concurrency"][series]
        )
        assert curve["max"] == max(day["max"] for day in days) > 0
        busiest = next(day for day in days if day["max"] == curve["max"])
        assert busiest["hour"] == curve["busiest_hour"]
        cells = document["heat"]["peaks"][series]
        assert [max(filter(None, row), default=0) for row in cells] == [d["max"] for d in days]
        assert sum(peak > 0 for row in cells for peak in row) == curve["reported_hours"]


def test_the_heat_map_over_changes_of_the_clocks(served: Dashboard, redis_url: str) -> None:
    """Spring leaves out an hour: None. In autumn one comes twice: the higher of both peaks."""
    sessions = [
        # 2026-10-25 in Paris has 02:00 twice: 00:00Z and 01:00Z. Two sessions in the second.
        ("2026-10-25T01:10:00Z", "2026-10-25T01:20:00Z"),
        ("2026-10-25T01:15:00Z", "2026-10-25T01:30:00Z"),
        ("2026-10-25T00:10:00Z", "2026-10-25T00:20:00Z"),
    ]
    lines = []
    for number, (start, stop) in enumerate(sessions):
        document = {"session": f"s{number}", "application": "agent"}
        for kind, when in (("started", start), ("stopped", stop)):
            lines.append(
                event(f"{number}{kind}", f"session.{kind}", document, time=when, subject="clocks")
            )
    fill(redis_url, lines, log="clocks")
    asked = {"tz": "Europe/Paris", "as_of": "2026-11-01T00:00:00Z"}
    autumn = served.get_json(
        "/accounts/clocks/dashboard/concurrency",
        **{"from": "2026-10-25", "to": "2026-10-25"}, **asked,
    )  # fmt: skip
    assert autumn["heat"]["peaks"]["agent"] == [[0, 0, 2, *[0] * 21]]
    assert autumn["series"]["agent"]["reported_hours"] == 2
    assert autumn["series"]["agent"]["days"][0] == {
        "day": "2026-10-25", "max": 2, "hour": "2026-10-25T02:00:00+01:00", "average": 1.5,
            "reported_hours": 2,
    }  # fmt: skip
    spring = served.get_json(
        "/accounts/clocks/dashboard/concurrency",
        **{"from": "2026-03-29", "to": "2026-03-29"}, **asked,
    )  # fmt: skip
    assert spring["heat"]["peaks"]["agent"] == [[0, 0, None, *[0] * 21]]


def test_beyond_a_thousand_flows_the_rest_is_one_exact_sum(
    served: Dashboard, redis_url: str
) -> None:
    """1,203 flows, flow n run n % 7 + 1 times: 1,000 are listed, 203 are `other`."""
    runs = {f"flow {number}": number % 7 + 1 for number in range(1203)}
    names = [name for name, times in runs.items() for _ in range(times)]
    fill(
        redis_url,
        [
            event(n, "flow.run", {"flow": name, "application": "agent"}, subject="many")
            for n, name in enumerate(names)
        ],
        log="many",
    )
    asked = {"from": "2026-10-01", "to": "2026-10-01"}
    heat = served.get_json("/accounts/many/dashboard/heat", **asked)
    assert len(heat["flows"]) == 1000
    assert heat["other"]["flows"] == 203
    assert heat["flow_count"] == 1203
    least = sorted(runs.values())[:203]
    assert heat["other"]["runs"] == sum(least)
    listed = sum(each["runs"] for each in heat["flows"])
    assert heat["total"]["runs"] == listed + heat["other"]["runs"] == sum(runs.values())
    few = served.get_json("/accounts/many/dashboard/heat", limit="3", **asked)
    assert few["other"]["runs"] + sum(each["runs"] for each in few["flows"]) == sum(runs.values())


def test_the_time_zone_moves_days(served: Dashboard, redis_url: str) -> None:
    """A run at 23:30 UTC is of the next day in Kathmandu; the account's own zone is the default."""
    fill(redis_url, [flow("late", time="2026-10-01T23:30:00Z", subject="moved")], log="moved")
    asked = {"from": "2026-10-01", "to": "2026-10-02"}
    days = served.get_json("/accounts/moved/dashboard/usage", **asked)["days"]
    assert [day["begun"] for day in days] == [1, 0]
    with served.client(served.token()) as client:
        done = client.put("/api/accounts/moved", json={"timezone": "Asia/Kathmandu"})
    assert done.status_code == 200
    days = served.get_json("/accounts/moved/dashboard/usage", **asked)["days"]
    assert [day["begun"] for day in days] == [0, 1]
    days = served.get_json("/accounts/moved/dashboard/usage", tz="UTC", **asked)["days"]
    assert [day["begun"] for day in days] == [1, 0]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"from": "2026-10-02", "to": "2026-10-01"}, "from", "reversed"),
        ({"from": "2999-10-02", "to": "2999-10-03"}, "from", "future"),
        ({"from": "1999-12-31", "to": "2000-01-01"}, "from", "2000-01-01"),
        ({"from": "0002-01-01", "to": "9998-12-31"}, "from", "2000-01-01"),
        ({"to": "0001-01-03"}, "from", "2000-01-01"),
        ({"as_of": "2026-10-02T00:00:00Z" + "0" * 100}, "as_of", "64"),
        ({"tz": "x" * 101}, "tz", "100"),
        ({"from": "2026-13-01"}, "from", "month"),
        ({"tz": "Mars/Olympus"}, "tz", "Europe/Paris"),
        ({"tz": "../../etc/passwd"}, "tz", "no time zone"),
        ({"as_of": "yesterday"}, "as_of", "RFC 3339"),
        ({"as_of": "9999-12-31T23:59:59-05:00"}, "as_of", ""),
        (
            {"from": "2006-10-01", "to": "2006-10-31", "tz": "America/St_Johns"},
            "from",
            "off the quarter",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_at_the_place(
    served: Dashboard, query: dict[str, str], field: str, words: str
) -> None:
    """422, the query's member, and a sentence."""
    answer = served.get("/accounts/acme/report", served.token(), **query)
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"][0]
    assert detail["loc"] == ["query", field]
    assert words in detail["msg"]


def test_a_range_has_an_end(served: Dashboard) -> None:
    """Ten years at most, or one request could read for minutes."""
    first = date(2026, 10, 1) - timedelta(days=MAX_DAYS)
    asked = {"from": str(first), "to": "2026-10-01"}
    assert served.get("/accounts/acme/report", served.token(), **asked).status_code == 422
    asked["from"] = str(first + timedelta(days=1))
    assert served.get("/accounts/acme/report", served.token(), **asked).status_code == 200


def test_two_years_hold_all_days(served: Dashboard) -> None:
    """731 days, each with 24 hours in the map."""
    asked = {"from": "2024-10-02", "to": "2026-10-02", "tz": "UTC"}
    document = served.get_json("/accounts/acme/dashboard", **asked)
    assert len(document["usage"]["days"]) == len(document["concurrency"]["heat"]["days"]) == 731
    assert {len(row) for row in document["concurrency"]["heat"]["peaks"]["agent"]} == {24}
