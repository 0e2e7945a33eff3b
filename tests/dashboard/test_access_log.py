"""The access log: who asked for what, without anything that is a secret."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from interaction_usage import logs
from interaction_usage.dashboard import access_log
from interaction_usage.store import account_settings
from tests.support.serving import Dashboard, dashboard

Lines = Callable[[int], list[str]]


@pytest.fixture
def served(redis_url: str) -> Iterator[Dashboard]:
    """Yield a dashboard with one account."""
    with dashboard(redis_url) as running:
        account_settings.put(running.ledger, "acme")
        yield running


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that returns so many lines that were logged, without the times."""
    caplog.set_level(logging.INFO, access_log.__name__)

    def written() -> list[str]:
        return [r.getMessage() for r in caplog.records if r.name == access_log.__name__]

    def read(count: int) -> list[str]:
        deadline = time.monotonic() + 5  # a line is written when its answer is out
        while len(found := written()) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(found) == count
        return [" ".join((*line.split()[:3], line.split()[-1])) for line in found]

    return read


def test_each_answer_is_a_line(served: Dashboard, lines: Lines) -> None:
    """With the token's id, by which it can be revoked, and never with the token or the query."""
    token = served.token()
    assert served.get("/accounts/acme", token).status_code == 200
    assert served.get("/accounts", "usage_s3cret", q="s3cret").status_code == 401
    with served.client() as client:
        form = client.post("/login?t=s3cret", data={"token": token})
        assert form.status_code == 303
        assert client.get("/").status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/" + "x" * 300).status_code == 404
    found = lines(5)
    [known] = {line.split()[-1] for line in found} - {"-"}
    assert token not in known
    assert found[:4] == [
        f"GET /api/accounts/acme 200 {known}",
        "GET /api/accounts 401 -",
        "POST /login 303 -",
        f"GET / 200 {known}",
    ]
    [long] = found[4:]
    assert long == f"GET /{'x' * 199}… 404 {long.split()[-1]}"


def test_it_can_be_turned_off(
    served: Dashboard, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """By the level of the log."""
    caplog.set_level(logging.WARNING, access_log.__name__)
    assert served.get("/accounts", served.token()).status_code == 200
    assert lines(0) == []


def test_the_lines_have_a_bound_of_their_own() -> None:
    """Each request is a line, where anything else is cut to five a minute; a flood is cut, too."""
    assert access_log.__name__ == logs.ACCESS
    now = [0.0]
    bounded = logs.RateFilter(lambda: now[0])

    def record(name: str) -> logging.LogRecord:
        return logging.LogRecord(name, logging.INFO, name, 1, "GET", (), None)

    passed = [bounded.filter(record(logs.ACCESS)) for _ in range(logs.ACCESS_LINES + 7)]
    assert passed == [True] * logs.ACCESS_LINES + [False] * 7
    assert sum(bounded.filter(record("another")) for _ in range(50)) == logs.LINES
    now[0] = logs.SPAN_S + 1
    following = record(logs.ACCESS)
    assert bounded.filter(following)
    assert following.getMessage() == "GET (and 7 times more)"
