"""`usage upgrade`, and what every reader says of rollups that this version does not read."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from click.testing import Result
from redis.client import Redis

from interaction_usage.store import keys
from interaction_usage.store.reads import Rollups
from tests.support import earlier_layouts, layout_samples
from tests.support.serving import dashboard

Usage = Callable[..., Result]
SAMPLE = layout_samples.FOLDER / "5" / "basics.open.backup"
MONTH = ("--month", "2026-10")


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    """Yield a client of a Redis with rollups of layout 5."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        earlier_layouts.put(client, layout_samples.read(SAMPLE))
        yield client


def record(redis: Any, layout: int) -> None:
    """Say that the rollups have another layout."""
    redis.set(keys.FIRST.limits, msgspec.json.encode({keys.LAYOUT_FIELD: layout}))


def test_it_says_what_it_did(usage: Usage, redis: Any) -> None:
    """And what to do next; the old rollups are gone, and to repeat it does nothing."""
    assert usage("export", "acme", *MONTH, "-o", "-").exit_code == 1
    done = usage("upgrade")
    assert done.exit_code == 0
    assert "Upgrading the rollups of 2 accounts from layout 5 to 7" in done.stderr
    assert "Start the workers of this version now" in done.stderr
    assert not list(redis.scan_iter(keys.FIRST.everything))
    report = usage("export", "acme", *MONTH, "--format", "json", "-o", "-")
    assert report.exit_code == 0
    members = msgspec.json.decode(report.stdout)
    assert members["flow_runs"]["total"] == 6
    assert members["sessions"]["agent"] == {"started": None, "without_stop": None}
    again = usage("upgrade")
    assert (again.exit_code, again.stderr) == (
        0,
        "Nothing to upgrade: the rollups have layout 7.\n",
    )


def test_a_dry_run_changes_nothing(usage: Usage, redis: Any) -> None:
    """It says what would be done."""
    before = {key: redis.dump(key) for key in redis.scan_iter("*")}
    done = usage("upgrade", "--dry-run")
    assert done.exit_code == 0
    assert "Would upgrade the rollups of 2 accounts from layout 5 to 7" in done.stderr
    assert {key: redis.dump(key) for key in redis.scan_iter("*")} == before


def test_an_empty_redis_needs_no_upgrade(usage: Usage, redis: Any) -> None:
    """A new deployment may run it like any other."""
    redis.flushall()
    done = usage("upgrade")
    assert (done.exit_code, done.stderr) == (0, "Nothing to upgrade: there are no rollups yet.\n")
    assert not redis.dbsize()


@pytest.mark.parametrize(("layout", "advice"), [(4, "usage rebuild"), (8, "Install the version")])
def test_what_it_cannot_upgrade_stays(usage: Usage, redis: Any, layout: int, advice: str) -> None:
    """With exit code 1, and the way out."""
    record(redis, layout)
    done = usage("upgrade")
    assert done.exit_code == 1
    assert f"layout {layout}" in done.stderr
    assert advice in done.stderr
    assert Rollups.of_any_layout(redis).keys == keys.FIRST


def test_it_waits_for_nobody_who_has_the_lock(usage: Usage, redis: Any) -> None:
    """One line, exit code 1."""
    redis.set(keys.REBUILD, "another")
    done = usage("upgrade")
    assert done.exit_code == 1
    assert "a rebuild, a restore or an upgrade is running" in done.stderr
    assert done.stderr.endswith("The active rollups are unchanged.\n")


@pytest.mark.parametrize(
    ("layout", "advice"), [(5, "Upgrade them: usage upgrade"), (8, "Install the version")]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "acme", *MONTH, "-o", "-"),
        ("export", "--all", *MONTH, "-d", "reports"),
        ("watch", "acme", "--once"),
        ("account", "list"),
        ("account", "show", "acme"),
        ("account", "history", "acme"),
        ("token", "create", "--account", "acme"),
        ("backup", "usage.backup"),
    ],
    ids=" ".join,
)
def test_every_reader_refuses_rollups_of_another_layout(
    usage: Usage, redis: Any, arguments: tuple[str, ...], layout: int, advice: str,
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In one line with the way out, exit code 1, and without a file."""
    monkeypatch.chdir(tmp_path)
    record(redis, layout)
    done = usage(*arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert f"the rollups have layout {layout}, and this version reads layout 7. {advice}" in (
        done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_dashboard_refuses_them_too(redis: Any, redis_url: str) -> None:
    """503 with the sentence, in the API and on its pages, until they are upgraded."""
    with dashboard(redis_url) as served:
        token = served.token()
        paths = (
            "/accounts", "/accounts/acme", "/accounts/acme/live", "/accounts/acme/live/stream",
            "/accounts/acme/report?from=2026-10-01&to=2026-10-31",
        )  # fmt: skip
        for path in paths:
            answer = served.get(path, token)
            assert answer.status_code == 503, path
            assert "Upgrade them: usage upgrade." in answer.json()["detail"]
            assert answer.headers["Retry-After"]
        record(redis, keys.LAYOUT)
        for path in paths:
            if "stream" not in path:
                assert served.get(path, token).status_code == 200
