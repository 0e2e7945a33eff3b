"""The JSON API, one module a resource: accounts, reports, the live object."""

from typing import Any

from fastapi import APIRouter

from interaction_usage.dashboard.api import (
    access,
    accounts,
    alerts,
    corrections,
    evidence,
    issued_reports,
    live,
    refused,
    reports,
)
from interaction_usage.dashboard.schemas.shared import Sentence

_ERRORS: dict[int | str, dict[str, Any]] = {
    401: {
        "model": Sentence,
        "description": "No token, or one that is not valid or has expired.",
    },
    404: {"model": Sentence, "description": "No such account, or not yours."},
    413: {"model": Sentence, "description": "The body is too large."},
    429: {
        "model": Sentence,
        "description": "Too many requests of this token at once, or too many wrong tokens; "
        "`Retry-After` says when to try again.",
    },
    503: {
        "model": Sentence,
        "description": "Too busy, or Redis or Kafka does not answer; `Retry-After` says when "
        "to try again.",
    },
}

router = APIRouter(prefix="/api", responses=_ERRORS)
_RESOURCES = (
    accounts, reports, issued_reports, alerts, corrections, evidence, live, refused, access,
)  # fmt: skip
for _resource in _RESOURCES:
    router.include_router(_resource.router)
