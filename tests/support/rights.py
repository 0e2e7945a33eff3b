"""Taking rights on a topic or group away from everybody, at a broker with access control lists."""

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)


def deny(bootstrap: str, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """Take *operations* on a topic or group away from everybody, who may do all others.

    `shared_broker.delete_acls` gives them back.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    denied = [(operation, AclPermissionType.DENY) for operation in operations]
    bindings = [
        AclBinding(
            kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission
        )
        for operation, permission in [*denied, (AclOperation.ALL, AclPermissionType.ALLOW)]
    ]
    for created in admin.create_acls(bindings).values():
        created.result(10)
