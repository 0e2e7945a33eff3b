"""Upgrades: rollups of an earlier layout give the reports that they gave, and events go on."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interaction_usage.servers.redis_cluster import RedisCluster
from interaction_usage.servers.redis_server import RedisServer
from interaction_usage.store import backup, keys, layouts
from interaction_usage.store.account_read import days_of
from interaction_usage.store.errors import (
    LayoutDiffersError,
    RollupsLockedError,
)
from interaction_usage.store.keys import Namespace
from interaction_usage.store.reads import Rollups
from interaction_usage.store.upgrade import upgradable, upgrade
from rollups.catalog import SESSION_METRICS
from rollups.events import (
    Event,
    EventVoided,
    SessionCorrected,
    SessionStarted,
    SessionStopped,
    SmsSent,
)
from rollups.fold import OffsetEvent
from rollups.timestamps import SECOND
from tests.rollups.delivery import in_order, tangled
from tests.rollups.drawing import NOON, sets_of_events
from tests.store.redis_side import DAY, deliver, nonempty, writing
from tests.store.test_backup import copied, of_accounts, values, without_times
from tests.store.test_backup import write as write_with_positions
from tests.support import earlier_layouts, layout_samples, reference_model, vector_files
from tests.support.examples import examples

Server = RedisServer | RedisCluster
D = 86_400
SAMPLES = sorted((layout_samples.FOLDER / "5").glob("*.backup"))


def ignore(_done: int, _total: int) -> None:
    """Show no progress."""


def upgrade_here(redis: Any) -> Namespace:
    """Upgrade what is in Redis; return where it is then."""
    done = upgrade(redis, ignore)
    assert done is not None
    assert Rollups.live(redis).keys == done.active
    return done.active


@pytest.mark.parametrize("path", SAMPLES, ids=[each.name for each in SAMPLES])
def test_a_sample_in_redis_is_upgraded_where_it_is(redis: Any, server: Server, path: Any) -> None:
    """The reports kept with it come out; sealed days stay sealed, days with sessions uncounted."""
    records = layout_samples.read(path)
    earlier_layouts.put(redis, records)
    before = of_accounts(values(redis, keys.FIRST))
    with pytest.raises(LayoutDiffersError, match=r"layout 5, .* usage upgrade"):
        Rollups.live(redis)
    at = upgrade_here(redis)
    rollups = Rollups(redis, at)
    for case in vector_files.expected(path.name.split(".")[0]):
        reading = rollups.read(case.account, *case.period.slots)
        assert vector_files.members_of(case, reading) == case.report
    after = of_accounts(values(redis, at))
    for name, content in after.items():
        if isinstance(content, dict):
            content.pop(keys.SESSIONS_COUNTED_FROM.encode(), None)
        assert content == before[name]
    assert after.keys() == before.keys()
    header = records[0]
    assert isinstance(header, backup.Header)
    assert {name: (each.offset, each.second) for name, each in rollups.positions().items()} == (
        header.positions
    )


def event(number: int, second: int, data: Any) -> OffsetEvent:
    """Return an event of acme."""
    return OffsetEvent(number, Event("t", str(number), "acme", second * SECOND, data))


def apply(server: Server, *placed: OffsetEvent) -> list[OffsetEvent]:
    """Apply events to the active rollups; return what was refused."""

    async def run() -> list[OffsetEvent]:
        async with writing(server.url) as writer:
            await writer.check_limits()
            return await deliver(writer, "t/0", placed)

    return asyncio.run(run())


def reported(redis: Any, first: int, end: int) -> dict[str, int] | None:
    """Return acme's counters of sessions over some days from noon's on; None for uncounted."""
    slot = NOON // D * 96
    reading = Rollups.live(redis).read("acme", slot + 96 * first, slot + 96 * end)
    sessions = {name: n for name, n in reading.totals.items() if name in SESSION_METRICS}
    return sessions if reading.has_sessions else None


def test_sessions_count_from_the_day_after_the_last_one_that_had_any(
    redis: Any, server: Server
) -> None:
    """What started before is left alone, also where its stop comes later; from midnight on.

    One second before that midnight a session is not counted, and at it one is.
    """
    # old [0 d ---- stop 1 d)   new  [1 d ----
    midnight = NOON - NOON % D + D
    apply(server, event(0, NOON, SessionStarted("old", "agent")), event(1, NOON, SmsSent()))
    made = earlier_layouts.downgraded(copied(redis))
    redis.flushall()
    earlier_layouts.put(redis, made)
    upgrade_here(redis)
    assert reported(redis, 0, 1) is None
    assert reported(redis, 0, 2) is None
    assert reported(redis, 1, 2) == {}
    apply(
        server,
        event(2, NOON + 3600, SessionStopped("old", "agent")),
        event(3, NOON + 7200, SessionStarted("another", "agent")),
        event(4, NOON + D, SessionStarted("new", "agent")),
        event(5, NOON + 2 * D, SessionStarted("third", "agent")),
        event(6, NOON + 2 * D + 60, SessionStopped("third", "agent")),
        event(7, midnight - 1, SessionStarted("before midnight", "agent")),
        event(8, midnight, SessionStarted("at midnight", "agent")),
    )
    assert reported(redis, 0, 3) is None
    assert reported(redis, 1, 3) == {"sessions.agent": 3, "unstopped.agent": 2}


@pytest.mark.parametrize("upgrades", [True, False])
def test_an_account_without_sessions_counts_all_of_them(
    redis: Any, server: Server, upgrades: bool
) -> None:
    """Also those of days that had other events before; by an upgrade and by a restore."""
    apply(server, event(0, NOON, SmsSent()))
    made = earlier_layouts.downgraded(copied(redis))
    redis.flushall()
    if upgrades:
        earlier_layouts.put(redis, made)
        upgrade_here(redis)
    else:
        backup.restore(redis, made)
    apply(server, event(1, NOON, SessionStarted("s", "agent")))
    assert reported(redis, 0, 1) == {"sessions.agent": 1, "unstopped.agent": 1}


@settings(
    deadline=None,
    max_examples=examples(15),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sets_of_events(size=30), st.integers(0, 2**32), st.data())
def test_events_go_on_behind_an_upgrade(
    redis: Any, server: Server, events: list[Event], seed: int, data: st.DataObject
) -> None:
    """Upgraded at any moment, and read again from anywhere before: all counts once.

    Corrections come after it: the earlier layout knows none.
    """
    corrections = [each for each in events if isinstance(each.data, EventVoided | SessionCorrected)]
    batches = tangled([each for each in events if each not in corrections], seed)
    moment = data.draw(st.integers(0, len(batches)))
    batches += in_order(corrections, "c/0")
    redis.flushall()
    write_with_positions(server.url, batches)
    whole = of_accounts(values(redis, keys.FIRST))
    redis.flushall()
    write_with_positions(server.url, batches[:moment])
    made = earlier_layouts.downgraded(copied(redis))
    redis.flushall()
    earlier_layouts.put(redis, made)
    at = upgrade_here(redis)

    async def read_on() -> None:
        async with writing(server.url) as writer:
            await writer.begin([])
            for fence, placed in batches[max(0, moment - 3) :]:
                await writer.apply(fence, placed)

    asyncio.run(read_on())
    assert without_sessions(values(redis, at)) == without_sessions(whole)
    rule: dict[str, reference_model.Account] = {}
    for fence, placed in batches:
        reference_model.apply_events(rule, fence, placed, DAY)
    for name, account in rule.items():
        rollups = Rollups(redis, at)
        first = int(redis.hget(at.head(name), keys.SESSIONS_COUNTED_FROM) or -(1 << 20)) * 96
        span = max(first, NOON // 900 - 5_000), NOON // 900 + 5_000
        found = rollups.read(name, *span, by_slot=True, flows=True)
        assert nonempty(found) == nonempty(reference_model.read(account, *span))


def without_sessions(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what layout 6 added, and what says how the events came."""
    added = {name.encode() for name in (*SESSION_METRICS, keys.SESSIONS_COUNTED_FROM)}
    return {
        key: {field: value for field, value in content.items() if field not in added}
        if isinstance(content, dict)
        else content
        for key, content in without_times(of_accounts(found)).items()
    }


def test_a_full_slot_is_stored_as_if_it_had_always_been(redis: Any, server: Server) -> None:
    """Many deltas of a slot, which layout 6 had in one list, and few, which stay as they are."""
    full = [event(n, NOON + 3 * n, SessionStarted(f"s{n}", "agent")) for n in range(280)]
    few = [event(300 + n, NOON + 900 + n, SessionStarted(f"f{n}", "agent")) for n in range(5)]
    apply(server, *full, *few)
    before = of_accounts(values(redis, keys.FIRST))
    made = earlier_layouts.of_layout_6(copied(redis))
    redis.flushall()
    earlier_layouts.put(redis, made)
    assert of_accounts(values(redis, keys.FIRST)) != before
    assert of_accounts(values(redis, upgrade_here(redis))) == before


def test_a_worker_of_the_earlier_version_sees_the_switch(
    redis: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads which rollups are active, and does not write those of the newer layout."""
    apply(server, event(0, NOON, SmsSent()))
    made = earlier_layouts.downgraded(copied(redis))
    redis.flushall()
    earlier_layouts.put(redis, made)

    async def run() -> None:
        async with writing(server.url) as earlier:
            upgraded = upgrade_here(redis)
            assert await earlier.active_namespace() == upgraded != earlier.keys
            monkeypatch.setattr(keys, "LAYOUT", 5)
            with pytest.raises(LayoutDiffersError, match="Install the version"):
                await earlier.check_limits()

    asyncio.run(run())


def test_to_upgrade_again_does_nothing(redis: Any, server: Server) -> None:
    """Nor without rollups."""
    assert upgrade(redis, ignore) is None
    apply(server, event(0, NOON, SmsSent()))
    before = values(redis, keys.FIRST)
    assert upgradable(redis) is None
    assert upgrade(redis, ignore) is None
    assert values(redis, keys.FIRST) == before
    assert not redis.exists(keys.REBUILD)


def test_one_that_fails_in_the_middle_changes_nothing(redis: Any, server: Server) -> None:
    """What it wrote is dropped; what a killed one left is dropped by the next."""
    for path in SAMPLES[:2]:
        earlier_layouts.put(redis, layout_samples.read(path))
    earlier_layouts.put(redis, layout_samples.read(SAMPLES[4]), Namespace("u2"))
    before = values(redis, keys.FIRST)

    def fail(done: int, _total: int) -> None:
        if done:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (which one does not matter)
        upgrade(redis, fail)
    assert values(redis, keys.FIRST) == before
    assert Rollups.of_any_layout(redis).keys == keys.FIRST
    for number in range(2, 5):
        assert values(redis, Namespace(f"u{number}")) == {}
    assert not redis.exists(keys.REBUILD)
    upgrade_here(redis)


def test_none_begins_while_another_runs(redis: Any, server: Server) -> None:
    """Nor beside a rebuild or a restore: they have the same lock."""
    made = layout_samples.read(SAMPLES[0])
    earlier_layouts.put(redis, made)
    redis.set(keys.REBUILD, "another")
    with pytest.raises(RollupsLockedError):
        upgrade(redis, ignore)
    with pytest.raises(RollupsLockedError):
        backup.restore(redis, made, replace=True)
    assert redis.get(keys.REBUILD) == b"another"


def test_one_that_lost_the_lock_activates_nothing(redis: Any, server: Server) -> None:
    """Another one may have begun."""
    earlier_layouts.put(redis, layout_samples.read(SAMPLES[0]))
    with pytest.raises(backup.BackupError, match="took too long"):
        upgrade(redis, lambda *_: redis.set(keys.REBUILD, "another"))
    assert Rollups.of_any_layout(redis).keys == keys.FIRST
    assert redis.get(keys.REBUILD) == b"another"


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (1, "Rebuild them from the topics: usage rebuild"),
        (keys.OLDEST_LAYOUT - 1, "Rebuild them from the topics: usage rebuild"),
        (keys.OLDEST_LAYOUT, "Upgrade them: usage upgrade"),
        (keys.LAYOUT + 1, "Install the version that wrote them, or a later one"),
    ],
)
def test_each_layout_has_the_way_out(
    redis: Any, server: Server, layout: int, sentence: str
) -> None:
    """For readers, for workers, and for the upgrade itself where there is none."""
    recorded = msgspec.json.encode({keys.LAYOUT_FIELD: layout, **DAY})
    redis.set(keys.FIRST.limits, recorded)
    with pytest.raises(LayoutDiffersError, match=sentence):
        Rollups.live(redis)
    with pytest.raises(LayoutDiffersError, match=sentence):
        apply(server)
    with pytest.raises(LayoutDiffersError, match=sentence):
        list(backup.records(redis))
    if layout != keys.OLDEST_LAYOUT:
        with pytest.raises(LayoutDiffersError, match=sentence):
            upgrade(redis, ignore)


def test_a_reader_sees_the_layout_of_whatever_is_active(redis: Any, server: Server) -> None:
    """Also where that is not the namespace of its last look."""
    apply(server, event(0, NOON, SmsSent()))
    assert Rollups.live(redis).keys == keys.FIRST
    other = Namespace("u2")
    redis.set(keys.LIVE, other.name)
    redis.set(other.limits, msgspec.json.encode({keys.LAYOUT_FIELD: 5}))
    for _ in range(2):
        with pytest.raises(LayoutDiffersError):
            Rollups.live(redis)
    redis.set(other.limits, msgspec.json.encode({keys.LAYOUT_FIELD: keys.LAYOUT}))
    assert Rollups.live(redis).keys == other


def test_every_layout_has_a_step() -> None:
    """From the oldest that is said to be upgraded on; none is left out."""
    for layout in range(keys.OLDEST_LAYOUT, keys.LAYOUT + 1):
        assert layouts.upgraded(layout, [("", "hash", {})]) == [("", "hash", {})]
    with pytest.raises(LayoutDiffersError):
        layouts.upgraded(keys.OLDEST_LAYOUT - 1, [("", "hash", {})])


def test_sealed_days_are_not_counted_from() -> None:
    """Closed or sealed: their sessions may be forgotten."""
    # sealed 3 | 40   a session on day 35
    day = 35 * D
    session = day.to_bytes(5, "big", signed=True) + (day + 60).to_bytes(5, "big", signed=True)
    only_stop = (-(1 << 39)).to_bytes(5, "big", signed=True) + (99 * D).to_bytes(5, "big")
    head = {b"s:0": b"8", b"s:1": b"256"}
    assert days_of(0, b"8") + days_of(1, b"256") == [3, 40]
    table = (":z:0", "hash", {b"k": session, b"l": only_stop})
    for fields, others, counted_from in (
        (head, [table], b"41"),
        ({b"s:0": b"8"}, [table], b"36"),
        ({b"s:0": b"8"}, [], b"4"),
        ({b"o:0": b"8"}, [(":z:0", "hash", {b"l": only_stop})], None),
    ):
        [(_, _, upgraded), *_] = layouts.upgraded(5, [("", "hash", fields), *others])  # type: ignore[list-item]
        assert upgraded.get(b"zc") == counted_from
