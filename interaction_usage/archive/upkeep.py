"""Compaction by `usage archive run` itself, beside copying.

Commits leave small files: one each, so the fewer records there are the smaller. Once a table has
`SMALL_FILES` that can be joined, they are, in a thread of their own with tables of their own; so
copying and readers go on. Files that were replaced are removed once a day.

A failure is no reason to stop copying: it is tried again later. Of two processes that compact at
once, one is refused.
"""

import asyncio
import logging
import time
from collections import Counter
from typing import Final

from interaction_usage.archive import compaction
from interaction_usage.archive.archive import Archive
from interaction_usage.archive.errors import ArchiveError, CommitConflictError
from interaction_usage.archive.location import Location

log = logging.getLogger(__name__)

#: So many small files of a table are joined.
SMALL_FILES: Final = 100
#: Seconds between two looks at how many there are, and between two removals of replaced files.
INTERVAL_S: Final = 300.0
REMOVE_INTERVAL_S: Final = 86_400.0


class Upkeep:
    """Keeps the number of files of an archive small."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._removed_at = time.monotonic()
        self.compactions: Counter[str] = Counter()  #: by outcome: `done`, `failed`
        self.files: dict[str, int] = {}  #: by table, when last looked

    async def run(self, begin: asyncio.Event) -> None:
        """Compact when it is due, until cancelled; from *begin* on, when there is an archive."""
        await begin.wait()
        while True:
            try:
                await asyncio.to_thread(self.compact_if_due)
            except CommitConflictError:
                self.compactions["failed"] += 1
                log.info("Another process compacts this archive")
            except ArchiveError as error:
                self.compactions["failed"] += 1
                log.warning("The archive's files are not compacted: %s", error)
            await asyncio.sleep(INTERVAL_S)

    def compact_if_due(self) -> None:
        """Join files where there are many small ones. Raises ArchiveError."""
        archive = Archive.open(self._location)
        for table in archive.tables:
            files = table.files()
            groups = list(compaction.groups(files))
            if sum(map(len, groups)) >= SMALL_FILES:
                for group in groups:
                    compaction.join(table, group)
                self.compactions["done"] += 1
                log.info(
                    "Compacted %s: %d files joined into %d",
                    table.name, sum(map(len, groups)), len(groups),
                )  # fmt: skip
                files = table.files()
            self.files[table.name] = len(files)
        if time.monotonic() - self._removed_at >= REMOVE_INTERVAL_S:
            for table in archive.tables:
                table.vacuum()
            self._removed_at = time.monotonic()
