"""What can be wrong with the Redis that holds the rollups."""

from collections.abc import Mapping

from redis.exceptions import RedisError


class UnfitRedis(Exception):
    """A Redis that could lose rollups by its settings, or is too old for the scripts."""


class LimitsDiffer(Exception):
    """The session limits in force are not the ones that the rollups were made with."""

    def __init__(self, recorded: Mapping[str, int], wanted: Mapping[str, int]) -> None:
        self.recorded = dict(recorded)
        self.wanted = dict(wanted)
        told = ", ".join(
            f"{application} {recorded.get(application)} s (set: {limit} s)"
            for application, limit in wanted.items()
            if recorded.get(application) != limit
        )
        super().__init__(
            f"the rollups were made with other session limits: {told}. Set these again, or make "
            "the rollups anew with the new ones: usage rebuild"
        )


class LayoutDiffers(Exception):
    """The rollups were laid out by another version of this program."""

    def __init__(self) -> None:
        super().__init__(
            "the rollups were made by another version, which kept them in another way. Make them "
            "anew from the topics: usage rebuild"
        )


class BeginAgain(RedisError):
    """What was written may not all be there: begin where Redis says that the rollups end."""


class LostWrites(BeginAgain):
    """Redis does not have what it acknowledged: it restarted, or a replica was promoted early."""

    def __init__(self, behind: Mapping[str, tuple[int, int]]) -> None:
        told = ", ".join(
            f"{name} is at {stored}, not {acknowledged}"
            for name, (stored, acknowledged) in sorted(behind.items())[:3]
        )
        super().__init__(f"Redis lost writes it had acknowledged: {told}")


class LostSecretError(BeginAgain):
    """Redis does not have the secret that this worker hashes with: it was emptied."""

    def __init__(self) -> None:
        super().__init__("Redis lost everything it had: the secret of the rollups is another one")


class Rebuilt(BeginAgain):
    """Other rollups were put in force."""

    def __init__(self) -> None:
        super().__init__("The rollups were rebuilt")


class NodesChanged(BeginAgain):
    """The nodes of the cluster, or the accounts they have, are not those they were."""

    def __init__(self, what: str) -> None:
        super().__init__(f"The Redis cluster has changed: {what}")
