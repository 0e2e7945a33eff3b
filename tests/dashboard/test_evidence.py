"""The API of evidence: the answers of the vectors, who may ask, and what a visitor cannot do."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from interaction_usage.evidence.errors import EvidenceTimeoutError
from tests.evidence.test_vectors import FOLDER
from tests.support.event_lines import event
from tests.support.filling import fill
from tests.support.serving import Dashboard, dashboard

#: A session without a stop, and how an operator mended that.
SESSION = {"session": "lost", "application": "agent"}
WHY = {"reason": "the stop was lost <i>", "actor": "jane"}
STOPPED = {**SESSION, **WHY, "start": "2026-10-01T09:00:00Z", "stop": "2026-10-01T09:20:00Z"}
LINES = [
    event("m/1", "session.started", SESSION, subject="mended", time="2026-10-01T09:00:00Z"),
    event("m/2", "session.corrected", STOPPED, subject="mended", time="2026-10-02T09:00:00Z"),
    *(FOLDER / "basics.ndjson").read_bytes().splitlines(),
    *(FOLDER / "unfinished.ndjson").read_bytes().splitlines(),
]
CASES = [
    case
    for name in ("basics", "unfinished")
    for case in json.loads((FOLDER / f"{name}.evidence.json").read_text())
]
DAY = {"from": "2026-10-01", "to": "2026-10-01", "as_of": "2027-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def served(redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard over two vectors that hides sessions from accounts."""
    fill(redis_url, LINES)
    with dashboard(redis_url, lines=LINES, hides_sessions=True) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['account']}-{case['from']}")
def test_the_answers_of_the_vectors(served: Dashboard, case: dict[str, Any]) -> None:
    """All three, as the command gives them."""
    query = {name: case[name] for name in ("from", "to", "tz", "as_of", "series")}
    found = served.get_json(f"/accounts/{case['account']}/explain", **query)
    assert found["agrees"]
    members = ("application", "session", "inferred", "corrected")
    sessions = [{name: each[name] for name in members} for each in found["sessions"]]
    assert {**case["explain"], "sessions": sessions} == case["explain"]
    assert all(found[name] == case["explain"][name] for name in ("max", "at", "seconds_at_max"))
    found = served.get_json(f"/accounts/{case['account']}/concurrency", **query)
    assert {name: found[name] for name in case["concurrency"]} == case["concurrency"]
    licences = ",".join(str(row["sessions"]) for row in case["capacity"])
    path = f"/accounts/{case['account']}/capacity"
    assert served.get_json(path, **query, sessions=licences) == case["capacity"]


def test_one_hour_minute_by_minute(served: Dashboard) -> None:
    """The hour that has an instant: its maximum, its curve, who was there."""
    found = served.get_json("/accounts/acme/explain", **DAY, hour="2026-10-01T10:30:00Z")
    assert (found["max"], found["at"]) == (3, "2026-10-01T10:11:00+00:00")
    assert found["curve"]["begins"] == "2026-10-01T10:00:00+00:00"
    assert found["curve"]["minutes"] == [1] * 10 + [2, 3] + [2] * 8 + [1] * 10 + [0] * 30
    found = served.get_json("/accounts/acme/explain", **DAY, hour="2026-10-01T09:10:00Z")
    assert (found["max"], found["agrees"]) == (1, True)
    assert [each["session"] for each in found["sessions"]] == ["A"]


def test_a_correction_says_why_and_who_made_it(served: Dashboard) -> None:
    """And no other event has these members."""
    found = served.get_json("/accounts/mended/explain", **DAY)
    [session] = found["sessions"]
    assert session["corrected"]
    [correction] = session["events"]
    assert (correction["reason"], correction["actor"]) == ("the stop was lost <i>", "jane")
    plain = served.get_json("/accounts/acme/explain", **DAY)["sessions"]
    assert all("reason" not in each for session in plain for each in session["events"])


def test_an_account_asks_for_itself_and_sees_no_session(served: Dashboard) -> None:
    """Its own account only; how many were there, and when, but not which."""
    token = served.token("acme")
    found = served.get("/accounts/acme/explain", token, **DAY).json()
    assert found["max"] == 3
    assert [(each["session"], each["events"]) for each in found["sessions"]] == [(None, [])] * 3
    for path in ("explain", "concurrency", "capacity"):
        answer = served.get(f"/accounts/open/{path}", token, **DAY, sessions="1")
        assert answer.status_code == 404
        assert served.get(f"/accounts/acme/{path}", **DAY, sessions="1").status_code == 401


def test_sessions_that_were_open_for_long(served: Dashboard) -> None:
    """With how each ended; an account's token sees when, and not which."""
    query = {"from": "2026-10-10", "to": "2026-10-12", "as_of": "2026-11-01T00:00:00Z"}
    path = "/accounts/open/long-sessions"
    found = served.get_json(path, **query, longer="86400", state="limit")
    assert "never-stops" in [each["session"] for each in found["sessions"]]
    assert all(each["seconds"] == 86_400 for each in found["sessions"])
    assert found["total"] == len(found["sessions"])
    own = served.get("/accounts/open/long-sessions", served.token("open"), **query, longer="0")
    assert own.json()["total"] >= found["total"]
    assert {each["session"] for each in own.json()["sessions"]} == {None}
    other = served.get("/accounts/open/long-sessions", served.token("acme"), **query)
    assert other.status_code == 404
    for wrong in ({"longer": "-1"}, {"longer": "x"}, {"state": "gone"}):
        answer = served.get("/accounts/open/long-sessions", served.token(), **query, **wrong)
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("explain", {"series": "agents"}),
        ("explain", {"hour": "noon"}),
        ("explain", {"tz": "localtime"}),
        ("concurrency", {"from": "2026-10-02"}),
        ("capacity", {"sessions": "ten"}),
        ("capacity", {"sessions": "1,,2"}),
        ("capacity", {"sessions": "9999999"}),
        ("capacity", {"sessions": ",".join(map(str, range(200)))}),
        ("capacity", {}),
    ],
)
def test_what_is_wrong_is_named(served: Dashboard, path: str, query: dict[str, str]) -> None:
    """As for reports: 422, and the member of the query."""
    answer = served.get(f"/accounts/acme/{path}", served.token(), **{**DAY, **query})
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["loc"][-1] in ("series", "hour", "tz", "from", "sessions")


def test_without_the_packages_it_says_so(redis_url: str) -> None:
    """What to install."""
    with dashboard(redis_url) as plain:
        answer = plain.get("/accounts/acme/explain", plain.token(), **DAY)
    assert answer.status_code == 501
    assert "interaction-usage[archive]" in answer.json()["detail"]


def test_nobody_waits_for_a_slow_explanation(
    served: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are answered meanwhile, another explanation waits its turn; too slow is a 503."""
    explainer = served.app.state.explainer

    def slow(*_: Any) -> Any:
        time.sleep(1.5)
        raise EvidenceTimeoutError(20)

    monkeypatch.setattr(explainer, "concurrency", slow)
    import threading

    answers: list[Any] = []
    token, path = served.token(), "/accounts/acme/concurrency"
    asking = threading.Thread(target=lambda: answers.append(served.get(path, token, **DAY)))
    asking.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert served.get("/accounts/acme/report", token, **DAY).status_code == 200
    assert time.monotonic() - began < 1
    asking.join()
    assert answers[0].status_code == 503
    assert "ask for fewer days" in answers[0].json()["detail"]
