"""Alerts in the API: who sees what, who sets, and what a preview says."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interaction_usage.alerts.book import Evaluator, encode_evaluator
from interaction_usage.dashboard.tokens import Role
from interaction_usage.store import alert_table
from tests.support.alert_samples import HOOK, some_alerts
from tests.support.event_lines import event
from tests.support.filling import fill
from tests.support.serving import Dashboard

PATH = "/api/accounts/acme/alerts"
LEVEL = {"kind": "level", "target": "agent", "threshold": 2, "to": HOOK}


def session(name: str, begin: datetime, minutes: int) -> list[bytes]:
    """Return a session's events."""
    data = {"session": name, "application": "agent"}
    stop = begin + timedelta(minutes=minutes)
    return [
        event(f"{name}-1", "session.started", data, time=begin.isoformat()),
        event(f"{name}-2", "session.stopped", data, time=stop.isoformat()),
    ]


@pytest.fixture
def acme(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of an account that had two sessions at once, ten days ago."""
    served.redis.flushall()
    served.ledger.topics.clear()
    then = datetime.now(UTC) - timedelta(days=10)
    fill(redis_url, session("a", then, 60) + session("b", then + timedelta(minutes=20), 5))
    return served


def test_an_operator_sets_and_removes_and_an_account_sees(acme: Dashboard) -> None:
    """Twice is once; a viewer reads its own and changes nothing; another account sees nothing."""
    with acme.client(acme.token()) as operator:
        [rule] = operator.post(PATH, json=LEVEL).raise_for_status().json()
        assert operator.post(PATH, json=LEVEL).json() == [rule]
        assert rule["sentence"] == "Agent Application: 2 or more at once"
        assert (rule["status"], rule["reason"]) == (
            "unknown", "No `usage alerts run` is running",
        )  # fmt: skip
    for role in (Role.VIEWER, Role.MANAGER):
        with acme.client(acme.token("acme", role=role)) as viewer:
            seen = viewer.get(PATH).json()
            assert [each["id"] for each in seen["rules"]] == [rule["id"]]
            assert viewer.post(PATH, json=LEVEL).status_code == 403
            assert viewer.delete(f"{PATH}/{rule['id']}").status_code == 403
            assert viewer.post(f"{PATH}/{rule['id']}/test").status_code == 403
            assert viewer.get(f"{PATH}/deliveries").json() == []
    with acme.client(acme.token("other")) as other:
        assert other.get(PATH).status_code == 404
    with acme.client(acme.token()) as operator:
        assert operator.post(f"{PATH}/{rule['id']}/test").status_code == 409
        assert operator.delete(f"{PATH}/{rule['id']}").json()["id"] == rule["id"]
        assert operator.delete(f"{PATH}/{rule['id']}").status_code == 404
        assert operator.get(PATH).json()["rules"] == []


def test_an_allowance_gives_a_rule_a_share(acme: Dashboard) -> None:
    """In the unit of the report."""
    wanted = {
        "kind": "counter",
        "target": "call.minutes",
        "allowance": 2.5,
        "to": "mailto:a@b.example",
    }
    with acme.client(acme.token()) as operator:
        found = operator.post(PATH, json=wanted).json()
        assert [(each["percent"], each["threshold"]) for each in found] == [(80, 2.0), (100, 2.5)]


def test_a_preview_says_when_it_would_have_fired(acme: Dashboard) -> None:
    """From the rollups; nothing is set."""
    with acme.client(acme.token()) as operator:
        [found] = operator.post(f"{PATH}/preview", json=LEVEL).json()
        assert found["times"] == 1
        assert found["stretches"][0]["value"] == 2
        for kind in ("maximum", "level"):
            more = {**LEVEL, "kind": kind, "threshold": 3}
            assert operator.post(f"{PATH}/preview", json=more).json()[0]["times"] == 0
        month = operator.post(f"{PATH}/preview", json={**LEVEL, "kind": "maximum"}).json()[0]
        assert month["times"] == 1
        assert operator.get(PATH).json()["rules"] == []


def test_a_webhook_inside_is_set_where_the_process_that_sends_allows_it(acme: Dashboard) -> None:
    """Where it does not say so, what the dashboard's own setting allows."""
    inside = {**LEVEL, "to": "http://10.1.2.3/hook"}

    def status(**said: Any) -> int:
        evaluator = Evaluator("here:1", int(time.time()), **said)
        alert_table.say(acme.redis, encode_evaluator(evaluator), 0)
        with acme.client(acme.token()) as operator:
            return operator.post(PATH, json=inside).status_code

    assert status(allowed_networks=("10.1.0.0/16",)) == 201
    assert status(allowed_networks=("10.2.0.0/16",)) == 422
    assert status(allowed_networks=()) == 422
    assert status() == 422
    with acme.client(acme.token()) as operator:
        [wrong] = operator.post(PATH, json=inside).json()["detail"]
    assert "USAGE_ALERTS_ALLOWED_NETWORKS" in wrong["msg"]


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"target": "agents"}, "target"),
        ({"threshold": None}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"to": "http://"}, "to"),
        ({"to": "https://127.0.0.1/hook"}, "to"),
        ({"to": "https://exa\0mple.com/hook"}, "to"),
        ({"to": "https://\u202eexample.com/hook"}, "to"),
        ({"to": "https://[fe80::1]/hook"}, "to"),
        ({"to": "https://0x0a.1/hook"}, "to"),
        ({"to": "http://example.com/hook"}, "to"),
        ({"allowance": 10}, "allowance"),
        ({"minutes": 0}, "minutes"),
        ({"kind": "lag"}, "kind"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_rule_is_refused_with_the_member(
    acme: Dashboard, changes: dict[str, object], member: str
) -> None:
    """So that the page marks the field."""
    with acme.client(acme.token()) as operator:
        answer = operator.post(PATH, json={**LEVEL, **changes})
    assert answer.status_code == 422
    assert {each["loc"][-1] for each in answer.json()["detail"]} == {member}


def test_what_is_for_operators_is_not_an_accounts(acme: Dashboard) -> None:
    """Rules about refused events, and the path and query of a URL, which may be secrets."""
    some_alerts(acme.ledger)
    with acme.client(acme.token()) as operator:
        operator.post(PATH, json={"kind": "refusals", "threshold": 1, "to": f"{HOOK}?key=secret"})
        operator.post(PATH, json={**LEVEL, "to": f"{HOOK}?key=secret"})
        every = operator.get(PATH).json()["rules"]
        assert {each["status"] for each in every} == {"ok", "triggered", "unknown"}
        assert len(operator.get(f"{PATH}/deliveries").json()) == 3
    with acme.client(acme.token("acme")) as viewer:
        seen = viewer.get(PATH)
        shown = seen.text + viewer.get(f"{PATH}/deliveries").text
        assert "secret" not in shown
        assert "/usage" not in shown
        assert "https://hooks.acme.example/…" in shown
        assert len(seen.json()["rules"]) == len(every) - 1
