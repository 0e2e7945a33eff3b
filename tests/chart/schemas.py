"""What Kubernetes, KEDA and the Prometheus operator accept, by their own schemas."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

_CUSTOM: dict[str, Any] = json.loads((Path(__file__).parent / "crds.json").read_text())


def problems(document: dict[str, Any], kubernetes: str) -> list[str]:
    """Return what is wrong with an object, by the schemas of that version of Kubernetes."""
    errors = _validator(document["apiVersion"], document["kind"], kubernetes).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors]


@cache
def _validator(api: str, kind: str, kubernetes: str) -> Any:
    # Here, for it takes a second that the collection of other tests would pay.
    from jsonschema import Draft202012Validator

    if custom := _CUSTOM.get(f"{api} {kind}"):
        return Draft202012Validator(custom)
    group, _, version = api.rpartition("/")
    prefix = f"{group.partition('.')[0]}-" if group else ""
    schema = json.loads(
        (_folder(kubernetes) / f"{kind.lower()}-{prefix}{version}.json").read_text()
    )
    return Draft202012Validator(schema, registry=_definitions(kubernetes))


@cache
def _definitions(kubernetes: str) -> Any:
    from referencing import Registry, Resource

    definitions = Resource.from_contents(
        json.loads((_folder(kubernetes) / "_definitions.json").read_text())
    )
    return definitions @ Registry()


def _folder(kubernetes: str) -> Any:
    package = files("kubernetes_validate") / "kubernetes-json-schema"
    return package / f"v{kubernetes}.0-local-strict"
