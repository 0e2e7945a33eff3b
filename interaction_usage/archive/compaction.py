"""Compaction: small data files joined into large sorted ones, while reading and writing go on.

Files are joined with their neighbours in the order of arrival, so a large file has the events of
one stretch of time, and a question about a month leaves out the files of other months. A file that
has reached its size is never written again: each row is rewritten once or twice in its life.

A commit removes the small files and adds the large one. Whoever reads an earlier version still
finds its files: they stay for days, until `vacuum`. A process that writes meanwhile is not in the
way, for it adds files only; compactions are numbered, so of two at once the second one is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from interaction_usage.archive.archive import Archive
from interaction_usage.archive.tables import ArchiveTable, DataFile

#: A file with so many rows, or bytes, is left as it is; no file gets many more.
FULL_ROWS: Final = 500_000
FULL_BYTES: Final = 128 * 1024 * 1024


class Compacted(NamedTuple):
    """What was done."""

    joined: int  #: small files
    written: int  #: large files that took their place
    removed: int  #: files that no version of the last days names


def compact(archive: Archive, progress: Callable[[int, int], object]) -> Compacted:
    """Join small files of every table, and remove what is no longer needed.

    *progress* is called with how many files are joined, and how many there are to join.
    Raises CommitConflictError, StorageError.
    """
    archive.reload()
    work = [(table, group) for table in archive.tables for group in groups(table.files())]
    total, joined = sum(len(group) for _, group in work), 0
    for table, group in work:
        join(table, group)
        joined += len(group)
        progress(joined, total)
    removed = sum(table.vacuum() for table in archive.tables)
    return Compacted(joined, len(work), removed)


def groups(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Yield the neighbours among *files* that become one, each group of two files or more."""
    group: list[DataFile] = []
    for file in files:
        is_full = file.rows >= FULL_ROWS // 2 or file.size >= FULL_BYTES // 2
        fits = (
            sum(one.rows for one in group) + file.rows <= FULL_ROWS
            and sum(one.size for one in group) + file.size <= FULL_BYTES
        )
        if group and (is_full or not fits):
            if len(group) > 1:
                yield group
            group = []
        if not is_full:
            group.append(file)
    if len(group) > 1:
        yield group


def join(table: ArchiveTable, group: Sequence[DataFile]) -> None:
    """Put one file in the place of a *group* of `groups`. Raises the errors of `compact`."""
    table.replace(group, table.read_files(group))
