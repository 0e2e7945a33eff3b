"""What workers and the dashboard report of themselves to Prometheus: every metric, defined once.

Each says what it means and what to do about it; docs/metrics.md is generated from here. To add one,
add its row, and its values where its process collects them (`stream_app.worker_metrics`,
`interaction_usage.dashboard.measures`).

No label has unbounded values: none names an account, an address or the text of an error.
"""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final, NamedTuple

from prometheus_client import Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"

#: The type of what `rendered` returns.
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

#: The values of a metric: those of its labels, and the number.
Samples = Iterable[tuple[tuple[str, ...], float]]

# A `_created` series beside each counter says nothing that Prometheus does not know.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Row(NamedTuple):
    """A metric: how it is called, what it means, and what to do about it."""

    name: str
    kind: str
    meaning: str
    action: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  #: upper bounds, of a histogram

    def of(self, samples: Samples | float) -> Metric:
        """Return the metric with these values, or with one that has no labels."""
        made = CounterMetricFamily if self.kind == COUNTER else GaugeMetricFamily
        family = made(self.name, self.meaning, labels=self.labels)
        rows = [((), samples)] if isinstance(samples, int | float) else samples
        for values, number in rows:
            family.add_metric(values, number)
        return family

    def histogram(self) -> Histogram:
        """Return a histogram of no observation yet."""
        return Histogram(self.name, self.meaning, self.labels, buckets=self.buckets, registry=None)


_SIZES: Final = (1.0, 10.0, 100.0, 1_000.0, 5_000.0, 20_000.0, 100_000.0)
_SECONDS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
_PLACE: Final = ("topic", "partition")

BUILD: Final = Row(
    "usage_build_info",
    GAUGE,
    "Always 1; the labels are the version of the product and of Python.",
    "More than one version for longer than a deployment takes: a process was left behind.",
    ("version", "python"),
)

# ------------------------------------------------------------------------------------ counting

COUNTED: Final = Row(
    "usage_events_counted_total",
    COUNTER,
    "Valid events of batches that are in the rollups, duplicates included. An event that is read "
    "again, after a rebalance or a restart, is in here again; the rollups count it once.",
    "0 while events are published: look at usage_worker_ready and usage_lag_records.",
)
DUPLICATES: Final = Row(
    "usage_events_duplicate_total",
    COUNTER,
    "Of these, events that another record had reported before. They change nothing. (Some of a "
    "micro-batch that was interrupted by a failure of Redis may be missing.)",
    "A sudden rise: a producer sends again what it has sent. Nothing is counted twice.",
)
REFUSED: Final = Row(
    "usage_events_refused_total",
    COUNTER,
    "Records that are not counted and became dead letters, by the reason of the dead letter. One "
    "that is read again is in here again.",
    "`usage dead-letters list`; have the producer corrected, then `usage dead-letters replay`.",
    ("reason",),
)
DELETED: Final = Row(
    "usage_records_deleted_total",
    COUNTER,
    "Offsets that Kafka had deleted before this worker could count them; each is in a gap.",
    "See usage_gaps_unaccepted.",
)
MICRO_BATCH_EVENTS: Final = Row(
    "usage_micro_batch_events",
    HISTOGRAM,
    "Events of a micro-batch. They grow with the load.",
    "Mostly in the largest buckets: the worker is busy; start another, or see scaling.md.",
    buckets=_SIZES,
)
PREPARE_SECONDS: Final = Row(
    "usage_micro_batch_prepare_seconds",
    HISTOGRAM,
    "Seconds in which a micro-batch was decoded and folded: the worker's own work.",
    "Large where micro-batches are small: the machine lacks processor time.",
    buckets=_SECONDS,
)
WRITE_SECONDS: Final = Row(
    "usage_micro_batch_write_seconds",
    HISTOGRAM,
    "Seconds from the beginning of a micro-batch's writing until Redis had all of it, dead letters "
    "and waiting included.",
    "Large: look at usage_wait_seconds_total and at Redis' slow log.",
    buckets=_SECONDS,
)
QUEUED: Final = Row(
    "usage_queued_records",
    GAUGE,
    "Records fetched and not written yet (or their KiB, if that is more).",
    "At 100,000 for long: Redis or the processor limits the worker.",
)

# --------------------------------------------------------------------------------- the worker

READY: Final = Row(
    "usage_worker_ready",
    GAUGE,
    "1 if the worker counts, or is on standby without partitions; 0 while something keeps it from "
    "counting, which `/readyz` and its log say.",
    "0 for minutes: read `/readyz` of that worker.",
)
STATE: Final = Row(
    "usage_worker_state",
    GAUGE,
    "1 for the state that the worker is in: starting (or ending), joining, seeking, open, closed, "
    "standby.",
    "Counting is `open`. For long in another one, but standby: read its log.",
    ("state",),
)
PARTITIONS: Final = Row(
    "usage_worker_partitions",
    GAUGE,
    "Topic-partitions that the worker reads.",
    "Very uneven: more workers than partitions of a topic, or one has just joined.",
)
OBSTACLES: Final = Row(
    "usage_worker_obstacles",
    GAUGE,
    "Missing topics and rights that keep the worker from using Kafka as it must.",
    "Above 0: `usage doctor` says what to grant.",
)
WAIT_SECONDS: Final = Row(
    "usage_wait_seconds_total",
    COUNTER,
    "Seconds for which batches waited because Redis or Kafka failed to take a write. "
    "It rises while they wait.",
    "Rising: that service is away or overloaded. Nothing is lost, and counting goes on by itself.",
    ("service",),
)
FAILURES: Final = Row(
    "usage_write_failures_total",
    COUNTER,
    "Attempts to write to Redis or to publish to Kafka that failed and were tried again.",
    "See usage_wait_seconds_total.",
    ("service",),
)
REBALANCES: Final = Row(
    "usage_rebalances_total",
    COUNTER,
    "Rebalances of the consumer group that began while this worker was in it.",
    "Many in an hour: workers come and go, or are too slow to answer the group.",
)
REJOINS: Final = Row(
    "usage_rejoins_total",
    COUNTER,
    "Times that the worker asked for a new assignment to determine its start offsets again.",
    "Each has a line in its log that says why.",
)
RECOVERIES: Final = Row(
    "usage_recoveries_total",
    COUNTER,
    "Times that the worker read again from where the rollups end, by cause: `lost-writes` and "
    "`lost-secret` if Redis lost what it had acknowledged, `rollups-switched` by a rebuild, "
    "`cluster-changed`.",
    "The first two: Redis' persistence is not as docs/redis.md asks. What Kafka still has is "
    "counted again.",
    ("cause",),
)
SEALED: Final = Row(
    "usage_sealings_total",
    COUNTER,
    "UTC days of accounts that this worker sealed.",
    "Nothing: it comes in bursts, 35 days after the events.",
)
SEALING_AT: Final = Row(
    "usage_sealing_timestamp_seconds",
    GAUGE,
    "When this worker last looked for days to seal, with everything before them counted.",
    "Long ago for all workers: events wait, or Redis or Kafka does not answer. Days stay open "
    "meanwhile, which takes memory.",
)
STALLED: Final = Row(
    "usage_partitions_stalled",
    GAUGE,
    "Topic-partitions with records of which none was counted in the last seconds, by any worker.",
    "For minutes: see usage_lag_seconds for which, and the log of its worker.",
)

# ---------------------------------------------------- the stream, by the worker that looks for all

LAG: Final = Row(
    "usage_lag_records",
    GAUGE,
    "Offsets published and neither counted nor refused yet. Only one worker looks at a time, and "
    "only that one reports it; missing while that cannot be known.",
    "Growing: more events come than are counted. Start workers, up to the partitions of a topic.",
    _PLACE,
)
BLOCKED: Final = Row(
    "usage_blocked_records",
    GAUGE,
    "Of these, offsets behind an open transaction of a producer, which nobody can read yet. By the "
    "worker that looks.",
    "For long: the producer has to commit or abort; Kafka's kafka-transactions aborts a hanging "
    "one.",
    _PLACE,
)
LAG_SECONDS: Final = Row(
    "usage_lag_seconds",
    GAUGE,
    "Everything that was published to the topic-partition so many seconds ago is counted or "
    "refused. By the worker that looks.",
    "Growing for one partition: it is blocked, or its worker is stuck.",
    _PLACE,
)
COMPLETE_TO: Final = Row(
    "usage_complete_to_timestamp_seconds",
    GAUGE,
    "The watermark: everything that was published before it is counted or refused. By the worker "
    "that looks; missing while it is unknown.",
    "More than 10 s old: reports are `incomplete` until it moves on.",
)
GAPS: Final = Row(
    "usage_gaps_unaccepted",
    GAUGE,
    "Gaps, events that Kafka deleted uncounted, that nobody accepted. By the worker that looks.",
    "`usage gaps list`: get the events back from their producer, or accept that they are lost.",
)
SESSIONS_PRESENT: Final = Row(
    "usage_sessions_present",
    GAUGE,
    "Sessions present now, summed over all accounts. By the worker that looks, which reads about "
    "20 accounts a second: so old is a sum, and there is none until all were read once.",
    "At 0 in the busy hours, while other metrics look well: producers send nothing.",
    ("series",),
)

# --------------------------------------------------------------------------------- the archive

ARCHIVED: Final = Row(
    "usage_archive_records_total",
    COUNTER,
    "Records that `usage archive run` has committed, by table.",
    "0 while events are published: look at usage_archive_ready and its log.",
    ("table",),
)
ARCHIVE_READY: Final = Row(
    "usage_archive_ready",
    GAUGE,
    "1 if the archive is being written; 0 while Kafka or the storage keeps it from that, which "
    "`/readyz` and its log say.",
    "0 for hours: read `/readyz`. What Kafka deletes before it is archived is lost to the archive.",
)
ARCHIVE_LAG: Final = Row(
    "usage_archive_lag_records",
    GAUGE,
    "Offsets published and not archived when last looked.",
    "Growing: one process copies all partitions; look at usage_archive_commit_seconds_total.",
    _PLACE,
)
ARCHIVE_COMMITS: Final = Row(
    "usage_archive_commits_total",
    COUNTER,
    "Commits to the archive's tables.",
    "Nothing. Each adds at most one file; small ones are joined by and by.",
)
ARCHIVE_SECONDS: Final = Row(
    "usage_archive_commit_seconds_total",
    COUNTER,
    "Seconds in which rows were sorted, written and committed.",
    "Most of the time: the storage is slow.",
)
ARCHIVE_FAILURES: Final = Row(
    "usage_archive_failures_total",
    COUNTER,
    "Times that copying failed and began again where the tables end, by cause: `kafka`, `storage`, "
    "or `conflict` with another process.",
    "`conflict` rising: two processes write one archive; stop one. Nothing is copied twice.",
    ("cause",),
)
ARCHIVE_COMMITTED_AT: Final = Row(
    "usage_archive_commit_timestamp_seconds",
    GAUGE,
    "When the last commit was made; missing before the first.",
    "Long ago while usage_archive_lag_records is above 0: read `/readyz`.",
)
ARCHIVE_DELETED: Final = Row(
    "usage_archive_deleted_total",
    COUNTER,
    "Offsets that Kafka had deleted before they were archived.",
    "Above 0: the archive has a gap (`usage archive status`); it ran too seldom for the retention.",
)
ARCHIVE_FILES: Final = Row(
    "usage_archive_files",
    GAUGE,
    "Data files of the archive, by table, when last looked; missing before the first commit.",
    "Thousands: compaction fails (usage_archive_compactions_total, and its log).",
    ("table",),
)
ARCHIVE_COMPACTIONS: Final = Row(
    "usage_archive_compactions_total",
    COUNTER,
    "Times that `usage archive run` joined small files of a table, by outcome.",
    "`failed` rising: its log says why. Copying goes on, and questions become slower.",
    ("outcome",),
)

# ------------------------------------------------------------------------------- the dashboard

REQUESTS: Final = Row(
    "usage_http_requests_total",
    COUNTER,
    "Requests that the dashboard answered, by route and status; `other` where no route matched, "
    "and for HEAD.",
    "Many of 5xx: Redis is away or the server is too busy. Many of 401: somebody guesses tokens.",
    ("route", "code"),
)
REQUEST_SECONDS: Final = Row(
    "usage_http_request_seconds",
    HISTOGRAM,
    "Seconds from a request until its answer began.",
    "Large for reports: many are made at once, or over years; see docs/performance.md.",
    ("route",),
    (0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0),
)
REDIS_UP: Final = Row(
    "usage_dashboard_redis_up",
    GAUGE,
    "1 if Redis answered the dashboard within the last seconds.",
    "0: pages and reports are not shown.",
)
WORKERS: Final = Row(
    "usage_workers",
    GAUGE,
    "Workers with a heartbeat in the last seconds, as the dashboard sees them in Redis.",
    "0: nothing is counted.",
)
STALE: Final = Row(
    "usage_dashboard_stale",
    GAUGE,
    "1 while the live page says that its numbers may be out of date.",
    "The page says why, to operators with the insides; so does `stale` in the API.",
)

CHANGED_REPORTS: Final = Row(
    "usage_issued_reports_changed",
    GAUGE,
    "Issued reports, not revised, that would bill something else now: usage came late or was "
    "corrected. Counted once a minute; missing while it is unknown.",
    "The account's page Issued shows which; `usage reports diff NUMBER` names the events. Revise "
    "them, or leave them as they are.",
)

# ---------------------------------------------------------------------------------- alerts

ALERTS_READY: Final = Row(
    "usage_alerts_ready",
    GAUGE,
    "1 if `usage alerts run` evaluates, or is on standby; 0 while something keeps it from that, "
    "which `/readyz` and its log say.",
    "0 for minutes: no alert is sent. Read `/readyz` of that process.",
)
ALERTS_ACTIVE: Final = Row(
    "usage_alerts_active",
    GAUGE,
    "1 for the one process that evaluates, 0 for those on standby.",
    "A sum of 0 for longer than 10 s: no process evaluates.",
)
ALERTS_RULES: Final = Row(
    "usage_alerts_rules",
    GAUGE,
    "Rules of alerts by status. All rules of accounts are unknown while numbers are stale.",
    "Unknown for minutes: events are waiting, or no worker counts; see usage_lag_records.",
    ("status",),
)
ALERTS_LOOKS: Final = Row(
    "usage_alerts_looks_total",
    COUNTER,
    "Looks at what has changed, about five a second.",
    "0 while usage_alerts_active is 1: the process is stuck; restart it.",
)
ALERTS_LOOK_SECONDS: Final = Row(
    "usage_alerts_look_seconds_total",
    COUNTER,
    "Seconds that these looks took.",
    "More than 0.2 s a look: very many accounts with rules change at once.",
)
ALERTS_WAITING: Final = Row(
    "usage_alerts_waiting",
    GAUGE,
    "Notifications that are not delivered yet; each is tried for a day.",
    "Above 0 for long: `usage alerts deliveries ACCOUNT` says what receivers answer.",
)
ALERTS_GIVEN_UP: Final = Row(
    "usage_alerts_given_up",
    GAUGE,
    "Notifications of the present rules that could not be delivered within a day.",
    "Above 0: whoever was to be notified was not. `usage alerts list --failed` shows the rules.",
)
ALERTS_ATTEMPTS: Final = Row(
    "usage_alerts_attempts_total",
    COUNTER,
    "Attempts to deliver, by way (webhook, email) and outcome.",
    "Many failed: a receiver is away, or the mail server refuses.",
    ("way", "outcome"),
)
ALERTS: Final = (
    BUILD, ALERTS_READY, ALERTS_ACTIVE, ALERTS_RULES, ALERTS_LOOKS, ALERTS_LOOK_SECONDS,
    ALERTS_WAITING, ALERTS_GIVEN_UP, ALERTS_ATTEMPTS,
)  # fmt: skip

#: What a worker reports, and what the dashboard does.
WORKER: Final = (
    BUILD, COUNTED, DUPLICATES, REFUSED, DELETED, MICRO_BATCH_EVENTS, PREPARE_SECONDS,
    WRITE_SECONDS, QUEUED, READY, STATE, PARTITIONS, OBSTACLES, WAIT_SECONDS, FAILURES, REBALANCES,
    REJOINS, RECOVERIES, SEALED, SEALING_AT, STALLED, LAG, BLOCKED, LAG_SECONDS, COMPLETE_TO, GAPS,
    SESSIONS_PRESENT,
)  # fmt: skip
ARCHIVE: Final = (
    BUILD, ARCHIVED, ARCHIVE_READY, ARCHIVE_LAG, ARCHIVE_COMMITS, ARCHIVE_SECONDS,
    ARCHIVE_FAILURES, ARCHIVE_COMMITTED_AT, ARCHIVE_DELETED, ARCHIVE_FILES, ARCHIVE_COMPACTIONS,
)  # fmt: skip
DASHBOARD: Final = (BUILD, REQUESTS, REQUEST_SECONDS, REDIS_UP, WORKERS, STALE, CHANGED_REPORTS)


class _Families:
    """Metrics that were collected, as `generate_latest` takes them."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


_process: Final = ProcessCollector(registry=CollectorRegistry())


def build() -> Metric:
    """Return what this process is made of."""
    return BUILD.of([((version("interaction-usage"), platform.python_version()), 1)])


def process() -> Iterable[Metric]:
    """Return the processor time, memory and files of this process, as Prometheus names them."""
    return _process.collect()


def rendered(families: Iterable[Metric]) -> bytes:
    """Return *families* in Prometheus' text format."""
    return generate_latest(_Families([*families]))
