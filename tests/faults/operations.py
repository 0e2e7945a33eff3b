"""What operators do while events arrive, and what Kafka does to records and rights.

Rebuilds and restores run beside workers, and some are killed. An upgrade comes between the end of
the earlier workers and the start of others, as it does in a deployment.
"""

import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType
from redis.exceptions import RedisError

from interaction_usage.store import keys
from interaction_usage.store.account_read import days_of, fences_in
from interaction_usage.store.backup import BackupError
from interaction_usage.store.errors import ReseekRequired, UnusableRollupsError
from interaction_usage.store.namespaces import drop, drop_leftovers
from interaction_usage.store.reads import Rollups
from rollups.slots import DAYS_PER_BLOCK
from stream_app.broker import topic_ids
from stream_app.errors import BrokerUnavailableError
from stream_app.topics import CLICKS, DEAD_LETTERS, FLOWS, SESSIONS
from tests.faults.commands import COMMAND, last_line
from tests.faults.issuing import Issuing
from tests.faults.run import BROKER, REDIS, Lost
from tests.store.test_backup import copied
from tests.support import earlier_layouts
from tests.support.rights import deny
from tests.support.sealing import seal
from tests.support.shared_broker import delete_acls

BUSY_TOPICS = (SESSIONS, FLOWS, CLICKS)
#: The UTC days of the events, which are in one block: an account's are sealed in one step.
DAYS = {20_727, 20_728}
[_BLOCK] = {day // DAYS_PER_BLOCK for day in DAYS}

_RIGHTS = "rights"
#: What INFO says of a rewrite of the append-only file that is not done.
_REWRITING = ("in_progress", "scheduled")
_MARGIN_S = 60  # by which days are sealed early, so that one that just changed is not left open


@dataclass
class Operations(Issuing):
    """Does what operators do."""

    # ---------------------------------------------------- rebuild, backup, restore

    def rebuild(self) -> None:
        """`usage rebuild` beside the workers; some are killed."""
        incomplete = not self.seals and self.rng.random() < 0.6
        self.begin(("rebuild", *(["--incomplete"] if incomplete else [])))

    def restore(self) -> None:
        """`usage restore` of what was backed up earlier in the run; some are killed."""
        if not self._backup.exists():
            return self.back_up()
        self.lost.clear()  # the backup may have what was not counted when it was deleted
        self.begin(("restore", str(self._backup), "--replace"))
        if self.rng.random() < 0.5:
            self.back_up()
        return None

    @property
    def _backup(self) -> Any:
        return self.system.folder / "usage.backup"

    def back_up(self) -> None:
        """`usage backup`, of whatever is counted by now."""
        if self._is_there(REDIS):
            done = self.system.usage("backup", str(self._backup), "--force", code=None)
            self.note(f"usage backup: {last_line(done.stderr.decode())}")

    # --------------------------------------------------------------------- upgrade

    def upgrade(self) -> None:
        """All workers end; the rollups are as an earlier version left them, and are upgraded."""
        if not self._is_there(REDIS) or self._is_away(COMMAND):
            return None
        for worker in self.running:
            if worker in self.awake and self.rng.random() < 0.5:
                worker.stop()
            worker.kill()
        with self.system.client() as client:
            if client.exists(keys.REBUILD):
                return self.note("no upgrade: something else replaces the rollups")
            try:
                records = copied(client)
            except BackupError:
                return self.note("no upgrade: there are no rollups")
            active = Rollups.of_any_layout(client).keys
            drop_leftovers(client, active)
            drop(client, active)
            client.delete(keys.LIVE)
            earlier_layouts.put(client, earlier_layouts.downgraded(records))
            # No worker writes positions first and then accounts, so no crash may cut that in two.
            client.bgrewriteaof()
            while any(client.info("persistence")[f"aof_rewrite_{is_so}"] for is_so in _REWRITING):
                time.sleep(0.05)
        self.was_upgraded = True
        assert self.upgrade_rollups() == 0
        for _ in range(self.rng.choice((1, 2))):
            self.add_worker()
        return None

    def upgrade_rollups(self) -> int:
        """`usage upgrade`, to its end; return its exit code.

        It refuses while a lock is there that a killed command left, and Redis brought back.
        """
        done = self.system.usage("upgrade", code=None)
        said = done.stderr.decode()
        self.note(f"usage upgrade: {last_line(said)}")
        assert done.returncode == 0 or "lock of a killed one" in said, said
        return done.returncode

    # --------------------------------------------------------------------- sealing

    def seal_days(self) -> None:
        """The days of some accounts are sealed: what comes later is refused."""
        if not self._is_there(REDIS):
            return
        try:
            with self.system.client() as client:
                live = Rollups.live(client)
                ready = [name for name in live.accounts() if self._are_open(client, live, name)]
            some = [account for account in ready if self.rng.random() < 0.3]
            # Others, restored meanwhile, may not have come as far as these accounts.
            count = seal(self.system, *some, later=_MARGIN_S, only_in=live.keys)
            self.note(f"{count} days of {some} are sealed")
        except (RedisError, OSError, ReseekRequired, UnusableRollupsError) as error:
            self.note(f"no days are sealed: {error!r}")

    def _are_open(self, client: Any, live: Rollups, account: str) -> bool:
        """Tell whether all days of the events are there, so that none can be opened later.

        As where a worker seals, nothing of the account is counted that lies behind the positions.
        """
        head = client.hgetall(live.keys.head(account))
        positions = live.positions()
        has_passed = all(
            name in positions and last < positions[name].offset
            for name, last in fences_in(head).items()
        )
        return has_passed and DAYS.issubset(
            days_of(_BLOCK, head.get(f"{keys.OPEN_DAYS}{_BLOCK}".encode()))
        )

    # ---------------------------------------------------------------------- rights

    def take_a_right(self) -> None:
        """A worker may not read a topic, join its group or refuse anything for some seconds."""
        if self._is_away(_RIGHTS) or not self._is_there(BROKER):
            return
        kind, name, operation = self.rng.choice(
            (
                (ResourceType.TOPIC, self.rng.choice(BUSY_TOPICS), AclOperation.READ),
                (ResourceType.GROUP, self.system.group, AclOperation.READ),
                (ResourceType.TOPIC, DEAD_LETTERS, AclOperation.WRITE),
            )
        )
        self.note(f"nobody may {operation.name} {name}")
        self._insist(lambda: deny(self.system.kafka.bootstrap, kind, name, operation))
        self._ends_in(self.rng.uniform(1, 5), _RIGHTS, self._give_rights_back)

    def _give_rights_back(self) -> None:
        if not self._is_there(BROKER):
            return self._ends_in(1, _RIGHTS, self._give_rights_back)
        self._insist(lambda: delete_acls(self.system.kafka.bootstrap))
        return self.note("everybody may do everything again")

    # -------------------------------------------------------------------- deletion

    def delete_counted(self) -> None:
        """Kafka deletes what is counted, as retention does: no report changes."""
        if not self._is_there(BROKER) or not self._is_there(REDIS):
            return
        topic, share = self.rng.choice(BUSY_TOPICS), self.rng.choice((1, 1, 0.5))
        try:
            with self.system.client() as client:
                positions = Rollups.live(client).positions()
            topic_id = topic_ids(self._admin(), [topic]).get(topic)
            ends = {
                number: int(at.offset * share)
                for name, at in positions.items()
                for of, number, named_id in [keys.parse_fence(name)]
                if (of, named_id) == (topic, topic_id) and at.offset * share >= 1
            }
            self._delete(topic, ends)
        except (RedisError, BrokerUnavailableError, UnusableRollupsError) as error:
            self.note(f"nothing is deleted: {error!r}")

    def delete_uncounted(self) -> None:
        """All workers die, and Kafka deletes what they have not counted, with all the rest."""
        topic = self.rng.choice(BUSY_TOPICS)
        if self._is_away(topic) or not self._is_there(BROKER):
            return
        count = len(self.running)
        for worker in self.running:
            worker.kill()
        self.note("all workers are killed")
        self.wait(self.rng.uniform(0.5, 2))
        try:
            begins = self._delete(topic, None)
            if self._is_there(REDIS) and not self._is_away(COMMAND):
                self._note_lost(topic, begins)
        except (BrokerUnavailableError, RedisError, UnusableRollupsError) as error:
            self.note(f"it is not known what is deleted: {error!r}")
        for _ in range(max(count, 1)):
            self.add_worker()

    def _note_lost(self, topic: str, begins: dict[int, int]) -> None:
        """Note what no worker has counted, nor can count any more: it must be in gaps."""
        topic_id = topic_ids(self._admin(), [topic]).get(topic, "")
        with self.system.client() as client:
            positions = Rollups.live(client).positions()
        for number, begin in begins.items():
            counted = positions.get(keys.fence(topic, number, topic_id))
            first = counted.offset if counted else 0
            if first < begin:
                self.note(f"{topic}/{number}: {first} to {begin - 1} are lost")
                self.lost.append(Lost(topic, number, topic_id, first, begin))

    def _delete(self, topic: str, ends: dict[int, int] | None) -> dict[int, int]:
        """Delete what is before *ends*, or everything, of *topic*; return where it begins then."""
        self.publisher.deleted.add(topic)
        admin = self._admin()
        try:
            if ends is None:
                partitions = admin.list_topics(timeout=20).topics[topic].partitions
                ends = dict.fromkeys(partitions, -1)
            asked = [TopicPartition(topic, number, end) for number, end in ends.items()]
            done = admin.delete_records(asked) if asked else {}
            begins = {at.partition: each.result(20).low_watermark for at, each in done.items()}
            self.note(f"Kafka deletes the beginning of {topic}, up to {begins}")
            return begins
        except (KafkaException, TimeoutError, KeyError) as error:
            self.note(f"the broker did not say whether it deletes of {topic}: {error!r}")
            return {}
