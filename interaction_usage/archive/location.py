"""Where an archive is: a folder, or a prefix of an S3 bucket."""

import os
from typing import Final, NamedTuple

#: What the names of the tables mean: a row for each record, refused event, and deleted stretch.
EVENTS, DEAD_LETTERS, GAPS = "events", "dead_letters", "gaps"

_S3: Final = "s3://"
#: A commit to S3 is a put that fails if the object is there: two processes cannot both make it.
_CONDITIONAL: Final = {"conditional_put": "etag"}
#: How long S3 may be away until a request fails; whoever copies tries again by itself.
_PATIENCE: Final = {
    "connect_timeout": "5s",
    "timeout": "30s",
    "max_retries": "3",
    "retry_timeout": "20s",
}


class Location(NamedTuple):
    """The place that `USAGE_ARCHIVE` names, without a slash at its end."""

    root: str

    @property
    def is_local(self) -> bool:
        """Whether it is a folder."""
        return not self.root.startswith(_S3)

    @property
    def storage_options(self) -> dict[str, str]:
        """What the storage is opened with; credentials come from the variables `AWS_…`."""
        return {} if self.is_local else _CONDITIONAL | _PATIENCE

    def table(self, name: str) -> str:
        """Return where the table *name* is."""
        return os.path.join(self.root, name) if self.is_local else f"{self.root}/{name}"
