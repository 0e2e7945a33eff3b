"""An OpenAPI document as the documentation page shows it: operations by tag. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """A parameter of an operation."""

    name: str
    place: str  #: path or query
    kind: str
    required: bool
    description: str


class Member(NamedTuple):
    """A member of an answer."""

    name: str
    kind: str
    description: str


class Operation(NamedTuple):
    """One method of one path."""

    id: str
    method: str
    path: str
    summary: str
    parameters: list[Parameter]
    body: list[Member]
    answer: list[Member]
    statuses: list[tuple[str, str]]


def operations(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """Return the operations of *document* by their first tag, in the order of the document."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(
                _operation(document, path, method, operation)
            )
    return groups


def _operation(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Operation:
    parameters = [
        Parameter(
            each["name"], each["in"], _kind(each["schema"]), each.get("required", False),
            each.get("description", ""),
        )
        for each in operation.get("parameters", ())
    ]  # fmt: skip
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answer = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    statuses = [(code, each["description"]) for code, each in operation["responses"].items()]
    return Operation(
        operation["operationId"], method.upper(), path,
        operation.get("description") or operation["summary"],
        parameters, _members(document, body.get("schema", {})),
        _members(document, answer.get("schema", {})), statuses,
    )  # fmt: skip


def _members(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Member]:
    schema = schema.get("items", schema)
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [
        Member(name, _kind(member), member.get("description", ""))
        for name, member in schema.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in a few words what a schema takes."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null") + (
            ", or null" if "null" in kinds else ""
        )
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema.get("format", kind))
