"""What can go wrong with the archive, under one root.

ArchiveError
├── NotInstalledError         the extra `archive` is missing
├── NoArchiveError            there is no archive at that place
├── ForeignTableError         a table there is not one of this archive
├── StorageError              the storage did not answer, or is full: trying again may help
├── CommitConflictError       another process committed the same records first
└── KafkaBehindError          Kafka ends before what is archived
"""


class ArchiveError(Exception):
    """The root of all errors of this package."""


class NotInstalledError(ArchiveError):
    """The packages that the archive needs are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The archive needs more packages: pip install 'interaction-usage[archive]'"
        )


class NoArchiveError(ArchiveError):
    """Nothing was archived at this place yet."""


class ForeignTableError(ArchiveError):
    """A table at this place has other columns than the archive's."""


class StorageError(ArchiveError):
    """The storage could not be read from or written to."""


class CommitConflictError(ArchiveError):
    """Another process committed first; what this one read may be in the archive already."""


class KafkaBehindError(ArchiveError):
    """A partition in Kafka ends before the offset up to which it is archived."""
