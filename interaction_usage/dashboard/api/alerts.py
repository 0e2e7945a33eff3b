"""The API of alerts: an account's token reads, an operator's sets, removes and tests."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from interaction_usage.alerts import book, delivery, preview, rules
from interaction_usage.alerts.errors import (
    ForbiddenAddressError,
    InvalidRuleError,
    RuleNotFoundError,
)
from interaction_usage.alerts.rules import Rule
from interaction_usage.alerts.testing import send_test
from interaction_usage.alerts.webhooks import check_url
from interaction_usage.dashboard.api.answers import json_answer, visible_rollups
from interaction_usage.dashboard.auth import Allowed, AllowedToChange, Asker
from interaction_usage.dashboard.errors import InvalidValueError, RequestError
from interaction_usage.dashboard.limits import BusyError
from interaction_usage.dashboard.schemas import alerts as shapes
from interaction_usage.dashboard.schemas.shared import Sentence
from interaction_usage.store import alert_table

#: Seconds for which a test waits for its outcome.
_TEST_S: Final = 12.0
#: Stretches of a preview that are answered.
_MOST_SHOWN: Final = 50
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    403: {
        "model": Sentence,
        "description": "Only an operator may, or another site's page asked.",
    },
    409: {"model": Sentence, "description": "This cannot be done so here; it says why."},
}

router = APIRouter()


@router.get("/accounts/{account}/alerts", response_model=shapes.Alerts, tags=["Alerts"])
def list_alerts(request: Request, account: str, asker: Allowed) -> Response:
    """The rules of an account, with their states."""
    visible_rollups(request, account, asker)
    known = book.read(request.app.state.redis)
    return json_answer(
        {
            "rules": [_members(known, each, asker) for each in _visible(known, account, asker)],
            "evaluated": known.evaluator is not None,
        }
    )


@router.post(
    "/accounts/{account}/alerts", response_model=list[shapes.AlertRule], tags=["Alerts"],
    status_code=201, responses=_REFUSED,
)  # fmt: skip
def set_alert(
    request: Request, account: str, wanted: shapes.RuleOrder, asker: AllowedToChange
) -> Response:
    """Set a rule; one that is there already stays as it is. With an allowance, a rule a share."""
    found = _rules(request, account, wanted, asker)
    _must_be_deliverable(request, wanted.to)
    state = request.app.state
    try:
        with _busy(state):
            stored = book.set_rules(state.ledger, found)
    except InvalidRuleError as error:
        raise _invalid(error) from None
    now = book.read(state.redis)
    answer = json_answer([_members(now, now.watched[each.id], asker) for each in stored])
    answer.status_code = 201
    return answer


@router.post(
    "/accounts/{account}/alerts/preview", response_model=list[shapes.RulePreview], tags=["Alerts"],
    responses=_REFUSED,
)  # fmt: skip
def preview_alert(
    request: Request, account: str, wanted: shapes.RuleOrder, asker: AllowedToChange
) -> Response:
    """How often a rule would have fired in the last 90 days; nothing is set."""
    answer = []
    for rule in _rules(request, account, wanted, asker):
        try:
            found = preview.preview(request.app.state.redis, rule, int(time.time()))
        except ValueError as error:
            raise RequestError(409, f"The account's time zone cannot be used: {error}.") from None
        answer.append(
            {
                "rule": rule.id,
                "sentence": rules.sentence(rule),
                "times": len(found.stretches),
                "said": found.sentence,
                "stretches": [
                    {
                        "since": rules.instant(each.since),
                        "to": None if each.end is None else rules.instant(each.end),
                        "value": None if each.value is None else rules.reported(rule, each.value),
                    }
                    for each in found.stretches[-_MOST_SHOWN:]
                ],
            }
        )
    return json_answer(answer)


@router.get(
    "/accounts/{account}/alerts/deliveries", response_model=list[shapes.AlertAttempt],
    tags=["Alerts"],
)  # fmt: skip
def list_deliveries(request: Request, account: str, asker: Allowed) -> Response:
    """The last 200 attempts to deliver notifications of an account, newest first."""
    visible_rollups(request, account, asker)
    redis = request.app.state.redis
    found = [delivery.decode(each) for each in alert_table.attempts(redis, account)]
    if not asker.is_operator:
        hidden = {
            each.rule.id for each in book.read(redis).of(account) if each.rule.is_for_operators
        }
        found = [
            msgspec.structs.replace(each, to=delivery.place(each.to))
            for each in found
            if each.rule not in hidden
        ]
    return json_answer([delivery.members(each) for each in found])


@router.delete(
    "/accounts/{account}/alerts/{rule}", response_model=shapes.AlertRule, tags=["Alerts"],
    responses=_REFUSED,
)  # fmt: skip
def remove_alert(request: Request, account: str, rule: str, asker: AllowedToChange) -> Response:
    """Remove a rule; nothing more of it is delivered."""
    with _changing(request, account, rule, asker) as (known, watched), _finding():
        book.remove(request.app.state.ledger, [rule], account)
    return json_answer(_members(known, watched, asker))


@router.post(
    "/accounts/{account}/alerts/{rule}/test", response_model=shapes.AlertAttempt, tags=["Alerts"],
    responses=_REFUSED,
)  # fmt: skip
def test_alert(request: Request, account: str, rule: str, asker: AllowedToChange) -> Response:
    """Send a test to where a rule notifies, and answer what became of it."""
    with _changing(request, account, rule, asker) as (known, watched):
        if known.evaluator is None:
            raise RequestError(409, "No `usage alerts run` is running, so nothing is sent.")
        name = f"msg_{uuid4().hex[:24]}"
        attempt = send_test(request.app.state.redis, watched.rule, name, _TEST_S)
    if attempt is None:
        raise RequestError(409, "There is no outcome yet; look at the deliveries in a moment.")
    return json_answer(delivery.members(attempt))


def _visible(known: book.Book, account: str, asker: Asker) -> list[book.Watched]:
    every = known.of(account)
    return [each for each in every if asker.is_operator or not each.rule.is_for_operators]


def _members(known: book.Book, watched: book.Watched, asker: Asker) -> dict[str, Any]:
    found = book.members(known, watched)
    if not asker.is_operator:
        found["by"] = "operator"
        found["to"] = delivery.place(found["to"])
    return found


@contextmanager
def _changing(
    request: Request, account: str, rule_id: str, asker: Asker
) -> Iterator[tuple[book.Book, book.Watched]]:
    """Yield what is known, and a rule that an operator changes or tests. Raises RequestError."""
    _must_be_operator(asker)
    visible_rollups(request, account, asker)
    state = request.app.state
    known = book.read(state.redis)
    with _finding():
        watched = book.find(known.watched, rule_id, account)
    with _busy(state):
        yield known, watched


@contextmanager
def _finding() -> Iterator[None]:
    try:
        yield
    except RuleNotFoundError:
        raise RequestError(404, "There is no such rule.") from None


def _must_be_operator(asker: Asker) -> None:
    if not asker.is_operator:
        raise RequestError(403, "Only an operator sets, removes and tests alerts.")


@contextmanager
def _busy(state: Any) -> Iterator[None]:
    """Let few changes be under way at once. Raises BusyError."""
    if not state.changing.acquire(blocking=False):
        raise BusyError(503, "The server is busy with changes; try again in a moment.")
    try:
        yield
    finally:
        state.changing.release()


def _must_be_deliverable(request: Request, to: str) -> None:
    """Raise RequestError where the process that sends will send nothing to *to*.

    What that allows decides; where none runs, what is allowed here.
    """
    known = book.evaluator_in(request.app.state.redis)
    if known is not None and not (known.can_mail if _is_mail(to) else known.can_webhook):
        name = "USAGE_SMTP_HOST" if _is_mail(to) else "USAGE_ALERTS_SECRET"
        raise RequestError(409, f"Nothing can be sent there: `usage alerts run` has no {name}.")
    if _is_mail(to):
        return
    allowed = known.allowed_networks if known else None
    if allowed is None:
        allowed = request.app.state.alerts_allowed_networks
    try:
        check_url(to, allowed)
    except ForbiddenAddressError as error:
        raise InvalidValueError(("body", "to"), str(error)) from None


def _is_mail(to: str) -> bool:
    return to.startswith("mailto:")


def _rules(request: Request, account: str, wanted: shapes.RuleOrder, asker: Asker) -> list[Rule]:
    """Return the rules that are ordered. Raises RequestError."""
    _must_be_operator(asker)
    visible_rollups(request, account, asker)
    made: dict[str, Any] = {
        "account": account, "kind": wanted.kind, "target": wanted.target or "", "to": wanted.to,
        "minutes": wanted.minutes or 0, "label": wanted.label.strip(),
        "created": int(time.time()), "by": asker.author.name,
    }  # fmt: skip
    try:
        if wanted.allowance is not None:
            allowance = _stored(wanted, "allowance", wanted.allowance)
            shares = rules.thresholds(allowance, tuple(dict.fromkeys(wanted.percents)))
            drafts = [
                Rule(**made, threshold=threshold, allowance=allowance, percent=percent)
                for percent, threshold in shares.items()
            ]
        else:
            threshold = 1 if wanted.kind == "silence" else wanted.threshold
            if threshold is None:
                raise InvalidRuleError("threshold", "a threshold is needed")
            drafts = [Rule(**made, threshold=_stored(wanted, "threshold", threshold))]
        return [rules.check(draft) for draft in drafts]
    except InvalidRuleError as error:
        raise _invalid(error) from None


def _stored(wanted: shapes.RuleOrder, member: str, number: float) -> int:
    """Return *number* as a counter is stored: minutes in thousandths."""
    per = 1
    if wanted.kind == "counter" and wanted.target in rules.METRICS_BY_ID:
        per = rules.METRICS_BY_ID[wanted.target].unit.per
    if member == "allowance" and wanted.kind != "counter":
        raise InvalidRuleError(member, "only a counter has an allowance")
    amount = number * per
    if abs(amount - round(amount)) > 1e-6:
        raise InvalidRuleError(member, "this is counted in whole numbers")
    return round(amount)


def _invalid(error: InvalidRuleError) -> InvalidValueError:
    return InvalidValueError(("body", error.member), str(error))
