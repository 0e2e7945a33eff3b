"""Backups: everything that a bill needs, written as records that any Redis or cluster can take.

What is read first decides that nothing is lost or counted twice when a backup is restored, however
much is counted meanwhile:

1. The positions. Kafka is read again from there, so they must not be ahead of any account.
2. Each account, as of one moment: its fences say which events it has, and skip these when they are
   read again; its identities and sessions are those of the same moment.
3. Settings, their history, tokens (their hashes), gaps, alerts and issued reports, which the
   rollups do not depend on.

Values are kept as what they mean to Redis (hash, set, string), not as its own dump, which only
servers of the same or a newer version can read.
"""

from interaction_usage.store.backup.making import records, rollups
from interaction_usage.store.backup.record_format import (
    Account,
    BackupError,
    End,
    Header,
    Record,
    pack,
    unpack,
)
from interaction_usage.store.backup.restoring import replace_rollups, restore

__all__ = [
    "Account",
    "BackupError",
    "End",
    "Header",
    "Record",
    "pack",
    "records",
    "replace_rollups",
    "restore",
    "rollups",
    "unpack",
]
