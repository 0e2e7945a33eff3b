"""`usage upgrade` in the whole system: what a worker counted before it, and what comes after."""

from collections.abc import Callable

import msgspec

from interaction_usage.store import keys
from tests.store.test_backup import copied
from tests.support import earlier_layouts
from tests.support.event_lines import event
from tests.support.system import System


def lines(first: int, end: int) -> bytes:
    """Return so many flow runs, and sessions, which run on."""
    sessions = (
        event(number, "session.started", {"session": f"s{number}", "application": "agent"})
        for number in range(first + 10_000, end + 10_000)
    )
    runs = (
        event(number, "flow.run", {"flow": "f", "application": "agent"})
        for number in range(first, end)
    )
    return b"\n".join((*sessions, *runs))


def test_a_worker_goes_on_where_the_earlier_one_ended(
    system: System, eventually: Callable[..., None]
) -> None:
    """It refuses the rollups before, counts all once behind it, and ends at the next upgrade."""
    earlier = system.start_worker()
    system.usage("send", "-", stdin=lines(0, 200))
    system.catch_up()
    earlier.stop()
    with system.client() as redis:
        made = earlier_layouts.downgraded(copied(redis))
        redis.flushall()
        earlier_layouts.put(redis, made)
        system.usage("send", "-", stdin=lines(150, 300))
        refusing = system.start_worker()
        eventually(lambda: not refusing.alive, "a worker refuses the rollups")
        layouts = f"layout 5, and this version reads layout {keys.LAYOUT}"
        assert f"{layouts}. Upgrade them: usage upgrade" in refusing.log.read_text()
        assert b"usage upgrade" in system.usage("lag", code=1).stderr

        system.usage("upgrade")
        last = system.start_worker()
        system.catch_up()
        report = system.report("acme", "2026-10-01", "2026-10-31")
        assert report["flow_runs"]["total"] == 300
        assert report["concurrency"]["agent"]["max"] == 300
        assert report["sessions"]["agent"] == {"started": None, "without_stop": None}
        system.usage("rebuild", "--verify")

        redis.set("u9:limits", msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT + 1}))
        redis.set(keys.LIVE, "u9")
        eventually(lambda: not last.alive, "the worker ends after the next upgrade")
        log = last.log.read_text()
        layouts = f"layout {keys.LAYOUT + 1}, and this version reads layout {keys.LAYOUT}"
        assert f"The worker ends: the rollups have {layouts}" in log
        assert "Traceback" not in log
