"""`usage correct` on Apache Kafka, with a worker and Redis: found, shown, published, counted."""

import json
from typing import Any

import pytest

from interaction_usage import settings
from interaction_usage.commands.correcting import DashboardCorrections
from interaction_usage.dashboard.tokens import Role
from tests.support import vector_files
from tests.support.serving import dashboard

MONTH = ("2026-10-01", "2026-10-31")
LATER = "2026-12-01T00:00:00Z"


def event(name: str, kind: str, time: str, **data: Any) -> bytes:
    """Return an event of acme on 12 October 2026."""
    return json.dumps(
        {
            "specversion": "1.0", "id": name, "source": "/apps/test", "type": f"usage.{kind}",
            "subject": "acme", "time": f"2026-10-12T{time}Z", "data": data,
        }
    ).encode()  # fmt: skip


EVENTS = (
    event("call-1", "call.minutes", "09:30:00.5", minutes=12.345),
    event("call-2", "call.minutes", "09:40:00", minutes=2),
    event("run-1", "flow.run", "09:00:00", flow="f", application="agent"),
    event("a/start", "session.started", "09:00:00", session="a", application="agent"),
    event("a/stop", "session.stopped", "09:01:00", session="a", application="agent"),
    event("b/start", "session.started", "10:00:00", session="b", application="agent"),
    event("b/stop", "session.stopped", "11:00:00", session="b", application="agent"),
)
WHY = ("--reason", "a test", "--actor", "m.weber")


def cells(report: dict[str, Any], *path: str) -> Any:
    """Return a value of a report."""
    value: Any = report
    for name in path:
        value = value[name]
    return value


@pytest.fixture
def counted(system: Any) -> Any:
    """Return a system in which the events above are counted."""
    system.start_worker()
    system.usage("send", "-", stdin=b"\n".join(EVENTS))
    system.catch_up()
    return system


def correct(system: Any, *arguments: str, code: int = 0) -> str:
    """Run `usage correct`; return what it wrote, the output before the errors."""
    done = system.usage("correct", *arguments, code=code)
    return (done.stdout + done.stderr).decode()


def test_an_event_is_voided_as_shown_and_once(counted: Any) -> None:
    """Shown first, then published, counted; the same command again publishes nothing."""
    system = counted
    command = ("event", "acme", "--source", "/apps/test", "--id", "call-1", *WHY)
    shown = correct(system, *command, "--dry-run")
    assert "usage.call.minutes of 2026-10-12T09:30:00.5Z" in shown
    assert "  DNIS Service: Call Now minutes  14.345 -> 2\n" in shown
    assert system.report("acme", *MONTH, as_of=LATER)["dnis"]["call_minutes"] == 14.345
    assert "Counted after" in correct(system, *command)
    assert system.report("acme", *MONTH, as_of=LATER)["dnis"]["call_minutes"] == 2
    again = correct(system, *command, code=1)
    assert "The event is voided already, by m.weber: a test" in again
    assert "Traceback" not in again


def test_a_session_is_corrected_as_shown_again_and_removed(counted: Any) -> None:
    """a [09:00 -- 10:30)  b [10:00 -- 11:00)  then a nowhere."""
    system = counted
    command = ("session", "acme", "agent", "a", *WHY)
    times = ("--start", "2026-10-12T09:00:00Z", "--stop", "2026-10-12T10:30:00Z")
    shown = correct(system, *command, *times, "--dry-run")
    assert "  Concurrent Agent Sessions: Agent Application, maximum  1 -> 2\n" in shown
    before = system.report("acme", *MONTH, as_of=LATER)
    assert before["concurrency"]["agent"]["max"] == 1
    assert "Counted after" in correct(system, *command, *times)
    after = system.report("acme", *MONTH, as_of=LATER)
    assert after["concurrency"]["agent"]["max"] == 2
    assert after["sessions"]["agent"] == before["sessions"]["agent"]
    assert "already counted from" in correct(system, *command, *times, code=1)
    assert "Counted after" in correct(system, *command, "--remove")
    removed = system.report("acme", *MONTH, as_of=LATER)
    assert removed["sessions"]["agent"] == {"started": 1, "without_stop": 0}
    new = ("session", "acme", "mobile-web", "log-1", "--start", "2026-10-12T20:00:00Z", *WHY)
    assert "Nothing is known of a session 'log-1'" in correct(system, *new, code=1)
    assert "Counted after" in correct(system, *new, "--new")
    found = system.report("acme", *MONTH, as_of=LATER)["sessions"]["mobile-web"]
    assert found == {"started": 1, "without_stop": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ("event", "acme", "--source", "/apps/test", "--id", "call1"), 1,
            "Did you mean 'call-1' or 'call-2'?",
        ),
        (
            ("event", "acme", "--source", "/app/test", "--id", "call-1"), 1,
            "but one from '/apps/test'",
        ),
        (("event", "amce", "--source", "/apps/test", "--id", "call-1"), 1, "Did you mean 'acme'?"),
        (
            ("event", "acme", "--source", "/apps/test", "--id", "a/start"), 1,
            "usage correct session acme agent 'a'",
        ),
        (("session", "acme", "agent", "c", "--remove"), 1, "Nothing is known of a session 'c'"),
        (("session", "acme", "agnt", "a", "--remove"), 2, "agent"),
        (("session", "acme", "agent", "a"), 2, "Give --start"),
        (
            (
                "session", "acme", "agent", "a",
                "--start", "2026-10-12T09:00:00Z", "--stop", "2026-10-12T08:00:00Z",
            ),
            2, "lies before --start",
        ),
        (("session", "acme", "agent", "a", "--start", "2126-10-12T09:00:00Z"), 2, "in the future"),
    ],
)  # fmt: skip
def test_what_cannot_be_corrected_is_said(
    counted: Any, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """A typo, the wrong order, another account: in one sentence."""
    said = correct(counted, *arguments, *WHY, code=code)
    assert sentence in said
    assert "Traceback" not in said


def test_pending_voids_are_listed(system: Any) -> None:
    """The vectors with an event left out: until it is sent."""
    system.start_worker()
    lines = [line for _, line in vector_files.lines("corrections")]
    missing = [line for line in lines if b'"id":"6"' in line[:40]]
    system.usage("send", "-", stdin=b"\n".join(line for line in lines if line not in missing))
    system.catch_up()
    [pending] = json.loads(correct(system, "list", "fixed", "--json"))
    assert (pending["id"], pending["amounts"]) == ("6", {"call.minutes": 12345})
    assert (pending["time"], pending["reason"]) == ("2026-10-12T09:30:00Z", "wrong length")
    assert "usage.call.minutes\tvectors/corrections\t6\t" in correct(system, "list", "fixed")
    system.usage("send", "-", stdin=b"\n".join(missing))
    system.catch_up()
    assert json.loads(correct(system, "list", "fixed", "--json")) == []
    assert "There is no account 'fixd'" in correct(system, "list", "fixd", code=1)


def test_the_api_shows_and_makes_corrections_for_operators_alone(counted: Any) -> None:
    """Shown without `publish`, made with it; the actor is the token's label; others get 403."""
    config = settings.read(counted.environment)
    made = DashboardCorrections(config, counted.client())
    run = {"source": "/apps/test", "id": "run-1", "reason": "a load test"}
    gone = {
        "application": "agent", "session": "a", "start": None, "stop": None,
        "reason": "a load test",
    }  # fmt: skip
    with dashboard(counted.redis.url, corrections=made) as served:
        tokens = [served.token("acme"), served.token("acme", role=Role.MANAGER)]
        for path, body in (("event", run), ("session", gone)):
            where = f"/api/accounts/acme/corrections/{path}"
            for token in tokens:
                answer = served.client(token).post(where, json=body | {"publish": True})
                assert (answer.status_code, "operator" in answer.text) == (403, True)
            assert served.client().post(where, json=body).status_code == 401
        client = served.client(served.token(label="jane"))
        where = "/api/accounts/acme/corrections/event"
        shown = client.post(where, json=run).json()
        assert (shown["published"], shown["counted"]) == (None, False)
        cells = {
            cell["path"]: (cell["before"], cell["after"]) for cell in shown["reports"][0]["cells"]
        }
        assert cells["flow_runs.total"] == (1, 0)
        answer = client.post(where, json=run | {"publish": True}).json()
        assert (answer["counted"], answer["published"]["topic"]) == (True, "usage.corrections")
        again = client.post(where, json=run)
        assert (again.status_code, "already, by jane: a load" in again.text) == (409, True)
        typo = client.post(where, json=run | {"id": "run1"})
        assert (typo.status_code, "Did you mean 'run-1'?" in typo.text) == (409, True)
        where = "/api/accounts/acme/corrections/session"
        assert client.post(where, json=gone | {"publish": True}).json()["counted"]
        wrong = gone | {"start": "2026-10-12T09:00:00Z", "stop": "2026-10-12T08:00:00Z"}
        assert client.post(where, json=wrong).status_code == 422
        assert client.get("/api/accounts/acme/corrections").json() == {"pending": [], "total": 0}
        assert client.post("/api/accounts/nobody/corrections/event", json=run).status_code == 404
    report = counted.report("acme", *MONTH, as_of=LATER)
    assert (report["flow_runs"]["total"], report["sessions"]["agent"]["started"]) == (0, 1)
