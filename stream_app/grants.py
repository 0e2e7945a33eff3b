"""How an operator grants what Kafka does not allow this client."""

from collections.abc import Sequence


def how_to_grant(kind: str, name: str, operations: Sequence[str]) -> str:
    """Return what to do so that this client may do *operations* on what is called *name*.

    *kind* is `topic`, `group` or `transactional-id`.
    """
    wanted = " ".join(
        f"--operation {each.title() if each.isupper() else each}" for each in operations
    )
    return (
        f"Grant it to this client's principal: kafka-acls --add --allow-principal User:NAME "
        f"{wanted} --{kind} {name}"
    )
