"""The API against its own OpenAPI document, with requests made up by schemathesis."""

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.event_lines import traffic
from tests.support.examples import examples
from tests.support.filling import fill
from tests.support.serving import Dashboard

#: Requests made up for each operation.
EXAMPLES = examples(40)


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of two busy accounts."""
    fill(redis_url, traffic(500, 1, accounts=2))
    return served


@pytest.fixture(scope="module")
def document(served: Dashboard) -> Any:
    """Return the OpenAPI document as the server gives it."""
    return served.client().get("/openapi.json").json()


def test_the_document_has_what_is_promised(document: Any) -> None:
    """Every address that programs rely on."""
    below = {
        "", "/report", "/usage.xls", "/dashboard/usage", "/dashboard/heat",
        "/dashboard/applications", "/dashboard/concurrency", "/dashboard/resolution",
        "/dashboard/connectivity", "/live", "/live/stream",
    }  # fmt: skip
    paths = {f"/api/accounts/{{account}}{path}" for path in below} | {"/api/accounts"}
    assert paths <= set(document["paths"])
    assert set(document["paths"]["/api/accounts/{account}"]) == {"get", "put"}
    query = {
        each["name"]
        for each in document["paths"]["/api/accounts/{account}/report"]["get"]["parameters"]
    }
    assert {"from", "to", "tz"} <= query
    assert {"/healthz", "/readyz"} <= set(document["paths"])
    assert all(
        path.startswith(("/api/", "/healthz", "/readyz"))
        and content["summary"]
        and content.get("description")
        for path, methods in document["paths"].items()
        for content in methods.values()
    )


def test_the_documentation_page_has_every_operation(served: Dashboard, document: Any) -> None:
    """With no script and nothing from outside; it needs no login."""
    text = served.client().get("/docs").text
    for path, methods in document["paths"].items():
        assert path in text
        for content in methods.values():
            assert f'id="{content["operationId"]}"' in text


def test_no_request_makes_the_server_fail(served: Dashboard, document: Any) -> None:
    """No 5xx and no answer that the document does not describe, whatever is asked."""
    import schemathesis  # here, for it takes seconds that the collection of other tests would pay

    schema = schemathesis.openapi.from_dict(document)
    headers = {"Authorization": f"Bearer {served.token()}"}
    checked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/live/stream"):
            continue  # it never ends; test_live.py reads it
        strategy = operation.as_strategy()
        for known in (True, False):
            checked += _try(served, strategy, headers, known)
    assert checked > 20 * EXAMPLES


def _try(served: Dashboard, strategy: Any, headers: dict[str, str], known: bool) -> int:
    """Send requests of *strategy*, of an account that is *known* or of any; return how many."""
    import schemathesis
    from hypothesis import given

    count = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def run(case: Any) -> None:
        nonlocal count
        count += 1
        if known and "account" in (case.path_parameters or {}):
            case.path_parameters["account"] = "account-1"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = case.call(base_url=served.url, headers=headers)
        # This server was started without Kafka, so it has no evidence, and says so.
        if answer.status_code == 501 and b"no evidence" in answer.content:
            return
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        case.validate_response(
            answer,
            checks=[
                schemathesis.checks.not_a_server_error,
                schemathesis.specs.openapi.checks.status_code_conformance,
                schemathesis.specs.openapi.checks.content_type_conformance,
                schemathesis.specs.openapi.checks.response_schema_conformance,
            ],
        )

    run()
    return count
