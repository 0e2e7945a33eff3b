"""What a request can get wrong, and what is answered.

Refused            the answer's status and one sentence
├─ NoSuchAccount   404, the same whether it does not exist or is not yours
└─ Invalid         422, with the place of the value that cannot be
"""

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import JSONResponse, Response


class Refused(Exception):
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


class NoSuchAccount(Refused):
    """An account that does not exist, or is none of the asker's business: nobody can tell which."""

    def __init__(self) -> None:
        super().__init__(404, "There is no such account.")


class Invalid(Refused):
    """A value that cannot be, as (place, sentence): place is like ("query", "from")."""

    def __init__(self, place: tuple[str, ...], sentence: str) -> None:
        super().__init__(422, sentence)
        self.place = place

    def detail(self) -> object:
        """Return it in the form in which FastAPI tells of values that have the wrong type."""
        return [{"loc": list(self.place), "msg": self.sentence, "type": "value_error"}]


async def answer(_request: Request, problem: Exception) -> Response:
    """Return the answer to a request that was refused."""
    assert isinstance(problem, Refused)
    return JSONResponse({"detail": problem.detail()}, problem.status, problem.headers)
