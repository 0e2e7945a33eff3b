"""Issued reports in the API: who sees them, who issues them, what differs since."""

from datetime import UTC, datetime
from hashlib import sha256

import httpx
import pytest

from interaction_usage.dashboard.late_usage import LateUsage
from interaction_usage.dashboard.tokens import Role
from interaction_usage.issued.adjusting import Answer
from interaction_usage.store import keys
from interaction_usage.store.issued_table import REPORTS as REPORTS_TOPIC
from tests.support.event_lines import event, flow
from tests.support.filling import fill
from tests.support.serving import Dashboard

OCTOBER = {"from": "2025-10-01", "to": "2025-10-31"}
REPORTS = "/accounts/acme/issued-reports"


@pytest.fixture
def empty(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with two runs in October."""
    served.redis.flushall()
    served.ledger.topics.clear()
    fill(redis_url, [flow(n, time="2025-10-05T12:00:00Z") for n in (1, 2)])
    return served


def issue(served: Dashboard, token: str | None = None, **body: object) -> httpx.Response:
    """Issue October, or something else."""
    with served.client(token or served.token()) as client:
        return client.post(f"/api{REPORTS}", json={**OCTOBER, **body})


def test_an_operator_issues_and_an_account_sees(empty: Dashboard) -> None:
    """Twice is once; the files are those of the manifest, for the account's own token too."""
    assert issue(empty).json() == {"number": "acme-000001", "new": True}
    again = issue(empty)
    assert (again.status_code, again.json()) == (201, {"number": "acme-000001", "new": False})
    viewer = empty.token("acme")
    [listed] = empty.get(REPORTS, viewer).json()
    assert (listed["number"], listed["changed"], listed["revised_by"]) == ("acme-000001", 0, None)
    manifest = empty.get(f"{REPORTS}/acme-000001/manifest", viewer).json()
    for path, name in (("", "json_sha256"), ("/usage.xls", "xls_sha256")):
        content = empty.get(f"{REPORTS}/acme-000001{path}", viewer).content
        assert sha256(content).hexdigest() == manifest[name]
    assert empty.get_json("/accounts/acme/report", **OCTOBER)["number"] == "acme-000001"


def test_late_usage_shows_and_a_revision_takes_it_in(empty: Dashboard, redis_url: str) -> None:
    """As cells, in the list, and as a metric; the revised report stays."""
    issue(empty)
    late = LateUsage(empty.redis)
    late.look()
    assert late.reports == 0
    data = {"minutes": 2.5}
    fill(redis_url, [event("late", "call.minutes", data, time="2025-10-31T23:59:59Z")])
    late.look()
    assert late.reports == 1
    [listed] = empty.get_json(REPORTS)
    assert listed["changed"] == 1
    found = empty.get_json(f"{REPORTS}/acme-000001/difference")
    assert found["cells"] == [{"path": "dnis.call_minutes", "issued": 0.0, "now": 2.5}]
    query = {**OCTOBER, "revises": "acme-000001"}
    assert empty.get_json(f"{REPORTS}/preview", **query)["obstacles"] == []
    assert issue(empty, revises="acme-000001").json()["number"] == "acme-000002"
    first, second = empty.get_json(REPORTS)
    assert (first["revised_by"], second["revises"]) == ("acme-000002", "acme-000001")
    late.look()
    assert late.reports == 0


def test_an_account_that_adjusts_has_late_usage_on_the_next_report(
    empty: Dashboard, redis_url: str
) -> None:
    """Seen before it is issued, in the list and in the report; then nothing differs any more.

    The preview has the number of events behind each difference, as the command's has.
    """
    events = Answer({"dnis.call_minutes": 1})
    issue(empty)
    data = {"minutes": 2.5}
    fill(redis_url, [event("late", "call.minutes", data, time="2025-10-31T23:59:59Z")])
    with empty.client(empty.token()) as client:
        client.put("/api/accounts/acme", json={"late_usage": "adjust"})
    november = {"from": "2025-11-01", "to": "2025-11-30"}
    cell = {
        "path": "dnis.call_minutes", "difference": 2.5, "billed": 0.0, "now": 2.5, "events": None,
    }  # fmt: skip
    empty.app.state.count_events = lambda questions: [events for _ in questions]
    [counted] = empty.get_json(f"{REPORTS}/preview", **november)["report"]["adjustments"]
    empty.app.state.count_events = None
    assert counted["cells"] == [cell | {"events": 1}]
    found = empty.get_json(f"{REPORTS}/preview", **november)["report"]["adjustments"]
    assert [(each["number"], each["cells"]) for each in found] == [("acme-000001", [cell])]
    assert issue(empty, **november).json()["number"] == "acme-000002"
    report = empty.get(f"{REPORTS}/acme-000002", empty.token("acme")).json()
    assert report["adjustments"] == found
    first, second = empty.get_json(REPORTS)
    assert (first["changed"], first["adjusted_by"]) == (0, ["acme-000002"])
    assert (second["changed"], second["adjusts"]) == (0, ["acme-000001"])
    late = LateUsage(empty.redis)
    late.look()
    assert late.reports == 0
    refused = issue(empty, revises="acme-000001")
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("acme-000002 bills what differs from it already")


@pytest.mark.parametrize("role", ["viewer", "manager"])
def test_only_an_operator_issues(empty: Dashboard, role: str) -> None:
    """403 for the account's own tokens, 404 for those of others, whatever is there."""

    token = empty.token("acme", role=Role(role))
    assert issue(empty, token).status_code == 403
    assert empty.get(f"{REPORTS}/preview", token, **OCTOBER).status_code == 403
    assert issue(empty, empty.token("rival")).status_code in (403, 404)
    issue(empty)
    other = empty.token("rival")
    for path in ("", "/acme-000001", "/acme-000001/usage.xls", "/acme-000001/manifest"):
        assert empty.get(f"{REPORTS}{path}", other).status_code == 404


def test_what_cannot_be_issued_is_refused_in_a_sentence(empty: Dashboard) -> None:
    """409 with why; 422 for what no report can be; 404 for what is not there."""
    issue(empty)
    december = {"from": "2025-12-01", "to": "2025-12-31"}
    refused = issue(empty, **december)
    assert refused.status_code == 409
    assert "would be on no report" in refused.json()["detail"]
    [obstacle] = empty.get_json(f"{REPORTS}/preview", **december)["obstacles"]
    assert obstacle["kind"] == "PeriodGap"
    assert issue(empty, **december, gap=True).json()["number"] == "acme-000002"
    today = datetime.now(UTC).date().isoformat()
    assert "has not ended" in issue(empty, **{"from": today, "to": today}).json()["detail"]
    assert issue(empty, revises="rival-000001").status_code == 422
    assert issue(empty, revises="acme-000009").status_code in (404, 409)
    assert issue(empty, **{"from": "2025-10-31", "to": "2025-10-01"}).status_code == 422
    assert empty.get(f"{REPORTS}/acme-000009", empty.token()).status_code == 404
    assert empty.get(f"{REPORTS}/nonsense", empty.token()).status_code == 404


def test_a_number_that_redis_lost_is_read_from_the_topic_again(empty: Dashboard) -> None:
    """Before another one is issued; what the topic has lost as well is no number to skip."""
    issue(empty)
    november, december = ({"from": f"2025-{n}-01", "to": f"2025-{n}-30"} for n in (11, 12))
    issue(empty, **november)
    lost = (keys.report_entries("acme"), keys.issued_report("acme", 1))
    empty.redis.hdel(lost[0], "1")
    empty.redis.delete(lost[1])
    assert issue(empty, **december, gap=True).json()["number"] == "acme-000003"
    assert [each["number"] for each in empty.get_json(REPORTS)] == [
        "acme-000001", "acme-000002", "acme-000003",
    ]  # fmt: skip
    empty.redis.hdel(lost[0], "1")
    del empty.ledger.topics[REPORTS_TOPIC.topic][0]
    refused = issue(empty, **{"from": "2025-09-01", "to": "2025-09-30"})
    assert refused.status_code == 409
    assert "acme-000001 was issued" in refused.json()["detail"]
