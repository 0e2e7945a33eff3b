"""Refused events in the API: by cause, by id, with their bytes, replayed; each account its own."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from interaction_usage import settings
from interaction_usage.commands.refusing import DashboardRefusals
from interaction_usage.dashboard.tokens import Role
from interaction_usage.servers.mock_broker import mock_broker
from stream_app.broker import spans
from stream_app.dead_letter_log import DeadLetterLog
from tests.support.event_lines import event, flow
from tests.support.filling import fill
from tests.support.refusing import refuse
from tests.support.serving import Dashboard, dashboard

CAUSE = {"reason": "invalid-data", "cause": "data.application is not valid: invalid enum value …"}
REFUSED = [
    ("usage.flows", event("run-1", "flow.run", {"flow": "f", "application": "fax"})),
    ("usage.flows", event("run-2", "flow.run", {"flow": "f", "application": "telex"})),
    ("usage.flows", event("run-3", "flow.run", {"flow": "f", "application": "fax"},
                          subject="rival")),
    ("usage.flows", b"\xff", [("content-type", b"application/cloudevents+json"),
                              ("ce_subject", b"acme"), ("secret", b"of the platform")]),
    ("usage.sessions", event("s-1/start", "session.started",
                             {"session": "s-1", "application": "desk"})),
]  # fmt: skip


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """Yield an embedded broker with some dead letters."""
    with mock_broker() as running:
        refuse(running.bootstrap, REFUSED)
        yield running.bootstrap


@pytest.fixture(scope="module")
def refusals(broker: str) -> DashboardRefusals:
    """Return what reads them."""
    return DashboardRefusals(settings.Settings(kafka=broker))


@pytest.fixture(scope="module")
def served(redis_url: str, refusals: DashboardRefusals) -> Iterator[Dashboard]:
    """Yield a dashboard of two accounts with an event each."""
    fill(redis_url, [flow(1, subject="acme"), flow(2, subject="rival")])
    with dashboard(redis_url, refused=refusals) as running:
        yield running


def of(served: Dashboard, account: str, **query: str) -> Any:
    """Return what the token of an account is answered."""
    answer = served.get(f"/accounts/{account}/refused-events", served.token(account), **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_operator_sees_all_by_cause(served: Dashboard) -> None:
    """With what to do; what could not be decoded is of nobody."""
    found = served.get_json("/refused-events")
    assert (found["total"], found["replayed"], found["is_complete"]) == (5, 0, True)
    first = found["groups"][0]
    assert (first["records"], first["accounts"]) == (4, ["acme", "rival"])
    assert first["cause"] == CAUSE["cause"]
    assert first["to_do"] == "The sentence names the member; see Types in docs/events.md."
    assert {group["reason"] for group in found["groups"]} == {"invalid-data", "malformed"}


def test_an_account_s_token_sees_what_is_surely_of_the_account(served: Dashboard) -> None:
    """Not a record that was not decoded, though a header names the account."""
    [group] = of(served, "acme")["groups"]
    assert (group["records"], group["accounts"]) == (3, ["acme"])
    [other] = of(served, "rival")["groups"]
    assert (other["records"], other["sample"]["id"]) == (1, "run-3")
    operator = served.get_json("/accounts/acme/refused-events")
    assert operator["total"] == 4


def test_an_event_is_found_by_id(served: Dashboard) -> None:
    """With the sentence that says why; that of another account is none."""
    [record] = of(served, "acme", id=" run-1 ")["found"]
    assert record["sentence"] == "data.application is not valid: invalid enum value 'fax'"
    assert (record["origin"], record["is_open"]) == ("usage.flows/0/0", True)
    assert of(served, "acme", id="run-3")["found"] == []
    [other] = served.get_json("/refused-events", id="run-3")["found"]
    assert other["account"] == "rival"


def test_the_bytes_of_a_record(served: Dashboard) -> None:
    """An operator sees key and headers, an account the value alone, and of no other account."""
    whole = served.get_json("/refused-events/record", origin="usage.flows/0/3")
    assert (whole["key"], whole["value"]) == ("key", "\\xff")
    assert ["secret", "of the platform"] in whole["headers"]
    token, path = served.token("acme"), "/accounts/acme/refused-events/record"
    own = served.get(path, token, origin="usage.flows/0/0").json()
    assert (own["key"], own["headers"]) == (None, [])
    assert '"fax"' in own["value"]
    for origin in ("usage.flows/0/2", "usage.flows/0/3", "usage.flows/9/9", "nonsense"):
        assert served.get(path, token, origin=origin).status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MANAGER])
def test_replay_and_the_other_accounts_are_for_operators(served: Dashboard, role: Role) -> None:
    """403; and another account is as if it were none."""
    token = served.token("acme", role=role)
    assert served.get("/refused-events", token).status_code == 403
    assert served.get("/refused-events/record", token, origin="usage.flows/0/0").status_code == 403
    assert served.get("/accounts/rival/refused-events", token).status_code == 404
    with served.client(token) as client:
        assert client.post("/api/refused-events/replay", json=CAUSE).status_code == 403
    browser = served.client()
    browser.post("/login", data={"token": token})
    assert browser.get("/refused").status_code == 403
    assert browser.get("/accounts/acme/refused").status_code == 200
    browser.post("/login", data={"token": served.token()})  # without the form key of a page
    assert browser.post("/api/refused-events/replay", json=CAUSE).status_code == 403


def test_where_sessions_are_hidden_no_id_and_no_value_names_one(
    redis_url: str, refusals: DashboardRefusals
) -> None:
    """Of an event without a session both are shown."""
    with dashboard(redis_url, refused=refusals, hides_sessions=True) as hiding:
        path, token = "/accounts/acme/refused-events", hiding.token("acme")
        [group] = hiding.get(path, token).json()["groups"]
        assert (group["sample"]["type"], group["sample"]["id"]) == ("usage.session.started", None)
        shown = hiding.get(f"{path}/record", token, origin="usage.sessions/0/4").json()
        assert (shown["value"], shown["record"]["id"]) == (None, None)
        shown = hiding.get(f"{path}/record", token, origin="usage.flows/0/0").json()
        assert shown["record"]["id"] == "run-1"
        assert shown["value"]
        assert hiding.get_json(path)["groups"][0]["sample"]["id"] == "s-1/start"


def test_a_cause_is_replayed_once(served: Dashboard, broker: str) -> None:
    """Of one account alone if one is given; what was replayed is not open any more."""
    with served.client(served.token()) as client:
        done = client.post("/api/refused-events/replay", json={**CAUSE, "account": "rival"})
        assert done.json() == {"replayed": 1, "problems": []}
        assert of(served, "rival")["total"] == 0
        assert of(served, "rival", id="run-3")["found"][0]["is_open"] is False
        again = client.post("/api/refused-events/replay", json={**CAUSE, "account": "rival"})
        assert again.status_code == 409
        assert of(served, "acme")["total"] == 3
    assert sum(span.end for span in spans(broker, ["usage.flows"]).values()) == 1


def test_only_what_is_new_is_read(broker: str) -> None:
    """Of very many only the newest are kept, which it says."""
    log = DeadLetterLog(broker)
    before = len(log.refusals().records)
    refuse(broker, [("usage.flows", b"new")], 100)
    assert len(log.refusals().records) == before  # some seconds old at most
    assert len(log.refusals(fresh=True).records) == before + 1
    few = DeadLetterLog(broker, most=2).refusals()
    assert len(few.records) <= 2
    assert not few.is_complete


def test_without_kafka_it_says_so_and_names_it_to_operators_alone(redis_url: str) -> None:
    """503, with when to try again."""
    away = DashboardRefusals(settings.Settings(kafka="127.0.0.1:1"))
    with dashboard(redis_url, refused=away) as running:
        answer = running.get("/refused-events", running.token())
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        began = time.monotonic()
        customer = running.get("/accounts/acme/refused-events", running.token("acme"))
        assert customer.status_code == 503
        assert "127.0.0.1" not in customer.text
        assert time.monotonic() - began < 1.5  # nobody waits for what was just found to be away
    with dashboard(redis_url) as running:
        assert running.get("/refused-events", running.token()).status_code == 409
