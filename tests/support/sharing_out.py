"""How the tests are shared out among several processes (`pytest -n 4`).

What belongs together goes to one process: the tests of a file, for they share servers, and of
those that run on each kind of server the ones of the same kind. Those of whole systems are two
chains, so that no more than two systems run at a time, each with a broker of its process.
"""

import re
from zlib import crc32

from xdist.scheduler import LoadScopeScheduling

#: Processes that may run a whole system at a time.
_SYSTEMS = 2
_KIND_OF_SERVER = re.compile(r"\[(redis|valkey|cluster)\b")


def share_of(test: str) -> str:
    """Return the name of the share that a test, given by its node id, belongs to."""
    file, _, name = test.partition("::")
    if file.startswith(("tests/kafka/", "tests/faults/")):
        return f"systems {crc32(test.encode()) % _SYSTEMS}"
    if kind := _KIND_OF_SERVER.search(name):
        return f"{file} {kind[1]}"
    return file


class Shares(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out share after share, in the order of the tests, to whoever has nothing left to do."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)
