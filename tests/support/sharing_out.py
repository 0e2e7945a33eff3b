"""How the tests are shared out among several processes (`pytest -n 4`).

What belongs together goes to one process: the tests of a file, for they share servers, and of
those that run on each kind of server the ones of the same kind. A process has one broker, which its
tests of whole systems use one after the other; so those come first, in some of the processes, and
what is quick is left for the end, when nobody should wait for somebody else.

Random fault runs are shares of their own where there are many (`make faults`).
"""

import os
import re
from collections.abc import Sequence
from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

#: Processes that run whole systems, as long as there is something else for the others.
_SYSTEMS: Final = 4
_KIND_OF_SERVER: Final = re.compile(r"\[(redis|valkey|cluster)\b")
_FAULT_RUNS: Final = "tests/faults/test_faults.py"


def share_of(test: str) -> str:
    """Return the name of the share that a test, given by its node id, belongs to."""
    file, _, name = test.partition("::")
    if file == _FAULT_RUNS and "FAULTS_RUNS" in os.environ:
        return test
    if kind := _KIND_OF_SERVER.search(name):
        return f"{file} {kind[1]}"
    return file


def has_system(share: str) -> bool:
    """Tell whether a share's tests are of whole systems."""
    return share.startswith(("tests/kafka/", "tests/faults/"))


class Shares(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out share after share, in the order of the tests, to whoever has nothing left to do."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        """Give *node* the first share of its kind, or else of the other one."""
        shares: Sequence[str] = list(self.workqueue)
        wanted = self.nodes.index(node) < _SYSTEMS
        mine = next((share for share in shares if has_system(share) == wanted), shares[0])
        self.workqueue.move_to_end(mine, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        """Give *node* more only when it begins its last test; others may have time before."""
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)
