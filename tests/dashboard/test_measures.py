"""`/metrics` of the dashboard: for operators alone, with no label that visitors can choose."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from interaction_usage import monitoring
from tests.dashboard.test_probes import until
from tests.support.serving import Dashboard


def values(served: Dashboard, token: str | None = None) -> dict[tuple[str, ...], float]:
    """Return what is reported: name and labels, in the order of their names, to number."""
    answer = served.client(token or served.token()).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == monitoring.CONTENT_TYPE
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.mark.parametrize(("account", "status"), [(None, 401), ("acme", 403)])
def test_whoever_is_no_operator_learns_nothing(
    served: Dashboard, account: str | None, status: int
) -> None:
    """Neither without a token nor with an account's; the answer is no page."""
    token = served.token(account) if account else None
    answer = served.client(token).get("/metrics")
    assert answer.status_code == status
    assert list(answer.json()) == ["detail"]


def test_answers_are_counted_by_route_and_not_by_path(served: Dashboard) -> None:
    """No account and nothing that a visitor made up is a label."""
    client = served.client(served.token())
    for path in ("/api/accounts/acme/live", "/api/accounts/rival/live", "/made-up", "/healthz"):
        client.get(path)
    found = values(served)
    assert found["usage_http_requests_total", "404", "/api/accounts/{account}/live"] == 2
    assert found["usage_http_requests_total", "404", "other"] == 1
    assert found["usage_http_requests_total", "200", "/healthz"] >= 1
    assert found["usage_http_request_seconds_count", "/healthz"] >= 1
    assert not any(word in label for key in found for label in key for word in ("acme", "made-up"))


def test_it_says_whether_redis_answers_and_workers_run(served: Dashboard) -> None:
    """Without a worker, what is shown may be out of date."""
    until(lambda: values(served).get(("usage_dashboard_redis_up",)) == 1)
    found = values(served)
    assert found["usage_workers",] == 0
    assert found["usage_dashboard_stale",] == 1


def test_every_metric_of_the_dashboard_is_reported(served: Dashboard) -> None:
    """As it is defined."""
    until(lambda: values(served).get(("usage_dashboard_redis_up",)) == 1)
    text = served.client(served.token()).get("/metrics").text
    for row in monitoring.DASHBOARD:
        assert f"# TYPE {row.name} {row.kind}\n" in text
