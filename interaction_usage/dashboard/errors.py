"""What goes wrong in the dashboard, and how a request that failed is answered.

DashboardError              the root
├─ RequestError             a request that is answered with a status and one sentence
│  ├─ AccountNotFoundError  404, the same whether the account does not exist or is not the asker's
│  ├─ InvalidValueError     422, with the place of the invalid value
│  ├─ OtherLayoutError      503, the rollups have a layout that this version does not read
│  └─ BusyError             503 or 429, with `Retry-After` (limits)
├─ LoginRequiredError       a page was requested without a login (pages)
├─ TokenError               a token that cannot be used (tokens)
│  ├─ UnknownTokenError
│  ├─ ExpiredTokenError
│  └─ TokenNotFoundError    no token has the id that was given, or several do
├─ DirectoryError           the list of accounts is still being read (directory)
└─ KafkaUnavailableError    Kafka did not answer how far its topics reach (health)
"""

import json
from collections.abc import Mapping
from typing import Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from interaction_usage.store.errors import LayoutDiffersError

#: Seconds after which an upgrade may be done.
_RETRY_S: Final = 10


class DashboardError(Exception):
    """Any error of the dashboard's own."""


class RequestError(DashboardError):
    """A request that is not carried out: a status, a sentence, and headers if need be."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})

    def detail(self) -> object:
        """Return the member `detail` of the answer."""
        return self.sentence


class AccountNotFoundError(RequestError):
    """An account that does not exist or that the asker may not see; the answer is the same."""

    def __init__(self) -> None:
        super().__init__(404, "There is no such account.")


class InvalidValueError(RequestError):
    """An invalid value, as (place, sentence): place is like ("query", "from")."""

    def __init__(self, place: tuple[str, ...], sentence: str) -> None:
        super().__init__(422, sentence)
        self.place = place

    def detail(self) -> object:
        """Return it in the form that FastAPI uses for values of the wrong type."""
        return [{"loc": list(self.place), "msg": self.sentence, "type": "value_error"}]


class OtherLayoutError(RequestError):
    """Rollups that this version does not read: they are being upgraded, or the server must be."""

    def __init__(self, error: LayoutDiffersError) -> None:
        sentence = str(error)
        super().__init__(
            503, f"{sentence[0].upper()}{sentence[1:]}.", {"Retry-After": str(_RETRY_S)}
        )


async def answer_invalid(_request: Request, problem: Exception) -> Response:
    """Return the answer to a request whose values have the wrong types: where, and what is wanted.

    FastAPI would repeat what was sent, and fail where JSON has no word for that: `NaN`, or half of
    a surrogate pair. So nothing is repeated but names, as ASCII.
    """
    assert isinstance(problem, RequestValidationError)
    detail = [{name: each[name] for name in ("loc", "msg", "type")} for each in problem.errors()]
    content = json.dumps({"detail": detail}, separators=(",", ":"))
    return Response(content, 422, media_type="application/json")


async def answer(_request: Request, problem: Exception) -> Response:
    """Return the answer to a request that failed with a RequestError."""
    assert isinstance(problem, RequestError)
    return JSONResponse({"detail": problem.detail()}, problem.status, problem.headers)
