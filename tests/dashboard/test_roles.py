"""Who may change what of an account, and that every change says who made it."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from interaction_usage.dashboard import changes
from interaction_usage.dashboard.limits import MAX_CHANGES
from interaction_usage.dashboard.tokens import Role
from interaction_usage.store import account_settings, keys
from tests.support.event_lines import flow
from tests.support.filling import fill
from tests.support.serving import Dashboard


@pytest.fixture(scope="module")
def served(redis_url: str, served: Dashboard) -> Dashboard:
    """Return a dashboard of one account with an event."""
    fill(redis_url, [flow(1, subject="acme")])
    return served


@pytest.fixture(autouse=True)
def _fresh(served: Dashboard) -> None:
    names = keys.settings("acme"), keys.settings_history("acme"), keys.recent_changes("acme")
    served.redis.delete(*names)


def put(served: Dashboard, token: str, account: str = "acme", **body: object) -> httpx.Response:
    """Change settings with a token."""
    with served.client(token) as client:
        return client.put(f"/api/accounts/{account}", json=body)


EVERYTHING = (
    {"name": "Mine"},
    {"timezone": "Etc/GMT+12"},
    {"dnis": False},
    {"sms": False},
    {"late_usage": "adjust"},
)


@pytest.mark.parametrize("body", [*EVERYTHING, {}])
def test_a_viewer_changes_nothing(served: Dashboard, body: dict[str, object]) -> None:
    """403 in a sentence, whatever is given; a viewer is who no role was given."""
    answer = put(served, served.token("acme"), **body)
    assert answer.status_code == 403
    assert answer.json()["detail"] == (
        "This token may view the account, but not change its settings."
    )
    assert not served.redis.exists(keys.settings("acme"))


@pytest.mark.parametrize("body", EVERYTHING)
def test_a_token_from_before_there_were_roles_is_a_viewers(
    served: Dashboard, body: dict[str, object]
) -> None:
    """As it was kept then: an account and a second."""
    from interaction_usage.dashboard.tokens import digest_of

    served.redis.hset(keys.TOKENS, digest_of("old"), b'{"account":"acme","created":1700000000}')
    served.redis.hset(keys.TOKENS, digest_of("oldop"), b'{"account":null,"created":1700000000}')
    assert put(served, "old", **body).status_code == 403
    assert put(served, "oldop", **body).status_code == 200


def test_a_manager_changes_name_and_time_zone(served: Dashboard) -> None:
    """And nothing else, not even beside them; another account is as if it were none."""
    token = served.token("acme", role=Role.MANAGER)
    changed = put(served, token, name="Acme Ltd", timezone="Europe/Paris").json()
    assert (changed["name"], changed["timezone"]) == ("Acme Ltd", "Europe/Paris")
    assert changed["may_change"] == ["name", "timezone"]
    late = {"late_usage": "adjust"}
    for body in (late, {"dnis": False}, {"sms": False}, {"name": "X", "sms": True}):
        answer = put(served, token, **body)
        assert answer.status_code == 403
        assert answer.json()["detail"].endswith("DNIS and SMS, is set by an operator.")
    expected = ("Acme Ltd", "Europe/Paris", True, True, "revise")
    assert account_settings.get(served.redis, "acme") == expected
    assert put(served, token, "rival", name="X").status_code == 404


def test_only_an_operator_makes_an_account(served: Dashboard) -> None:
    """A manager of one that does not exist is answered as if there were none, and there is none."""
    token = served.token("not-yet", role=Role.MANAGER)
    assert put(served, token, "not-yet", name="X").status_code == 404
    assert not served.redis.exists(keys.settings("not-yet"))
    assert put(served, served.token(), "not-yet", name="X").status_code == 200


def test_the_history_says_who_changed_what(served: Dashboard) -> None:
    """The label of a token and its id, never the token; customers see no operator's name."""
    jane = served.token("acme", role=Role.MANAGER, label="Jane")
    put(served, jane, name="Acme Ltd")
    account_settings.put(served.ledger, "acme", timezone="Europe/Paris")
    ops = served.token(label="ops on call")
    put(served, ops, sms=False, name="Acme Ltd")  # the name stays
    for token, names in ((ops, ["ops on call", "command", "Jane"]),
                         (jane, ["operator", "operator", "Jane"])):  # fmt: skip
        answer = served.get("/accounts/acme/history", token)
        found = answer.json()["changes"]
        assert [each["by"] for each in found] == names
        assert [(each["field"], each["from"], each["to"]) for each in found] == [
            ("sms", True, False), ("timezone", "UTC", "Europe/Paris"),
            ("name", "acme", "Acme Ltd"),
        ]  # fmt: skip
        assert [each["token"] is None for each in found] == [token == jane, True, False]
        assert jane not in answer.text
        assert ops not in answer.text
    assert served.get("/accounts/acme/history", served.token("rival")).status_code == 404


def test_the_history_comes_in_pages(served: Dashboard) -> None:
    """At most 500 in one; what is no id is refused."""
    for number in range(5):
        account_settings.put(served.ledger, "acme", name=f"Name {number}")
    first = served.get_json("/accounts/acme/history", limit="2")
    rest = served.get_json("/accounts/acme/history", before=first["next"])
    found = [each["to"] for each in first["changes"] + rest["changes"]]
    assert found == [f"Name {number}" for number in range(4, -1, -1)]
    assert rest["next"] is None
    for query in ({"before": "0-0"}, {"before": "x"}, {"limit": "501"}, {"limit": "0"}):
        assert served.get("/accounts/acme/history", served.token(), **query).status_code == 422


def test_of_changes_at_once_none_is_lost(served: Dashboard) -> None:
    """Two people save at once: each entry names the value before it."""
    token = served.token("acme", role=Role.MANAGER)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda n: put(served, token, name=f"N{n}").status_code, range(24)))
    assert codes == [200] * 24
    found = served.get_json("/accounts/acme/history")["changes"][::-1]
    assert [each["from"] for each in found] == ["acme", *(each["to"] for each in found[:-1])]
    assert len(found) == 24


def test_an_accounts_own_tokens_change_it_a_bounded_number_of_times(served: Dashboard) -> None:
    """Each change is kept for ever; an operator is not held up."""
    token = served.token("acme", role=Role.MANAGER)
    codes = [put(served, token, name=f"N{n}").status_code for n in range(changes.MOST + 2)]
    assert codes == [200] * changes.MOST + [429] * 2
    answer = put(served, token, name="again")
    assert 0 < int(answer.headers["retry-after"]) <= 3600
    assert put(served, served.token(), name="put right").status_code == 200


def test_what_a_time_zone_moves_is_said_before_it_is_saved(served: Dashboard) -> None:
    """26 hours; asking changes nothing."""
    account_settings.put(served.ledger, "acme", timezone="Etc/GMT+12")
    path = "/accounts/acme/timezone-change"
    found = served.get(path, served.token("acme"), to="Pacific/Kiritimati").json()
    assert [each["seconds"] for each in found["months"]] == [-26 * 3600] * 2
    assert "are on both bills" in found["sentences"][1]
    assert served.get_json(path, to="Etc/GMT+12")["sentences"] == []
    assert served.get(path, served.token(), to="Mars/Olympus").status_code == 422
    assert account_settings.get(served.redis, "acme").timezone == "Etc/GMT+12"


def test_an_account_whose_zone_is_none_any_more_can_get_another(served: Dashboard) -> None:
    """There is nothing to compare the new one with, and nothing fails."""
    served.redis.hset(keys.settings("acme"), "timezone", "Mars/Olympus")
    assert served.get_json("/accounts/acme/timezone-change", to="UTC")["sentences"] == []
    assert put(served, served.token(), timezone="Europe/Paris").status_code == 200
    history = served.get_json("/accounts/acme/history")["changes"]
    assert (history[0]["from"], history[0]["to"]) == ("Mars/Olympus", "Europe/Paris")


def test_without_kafka_a_change_is_refused_and_nothing_changes(served: Dashboard) -> None:
    """503 in a sentence that names no address; reading goes on."""
    token = served.token()
    served.ledger.refusing = True
    try:
        answer = put(served, token, name="Other")
    finally:
        served.ledger.refusing = False
    assert answer.status_code == 503
    assert "nothing was changed" in answer.json()["detail"]
    assert "nowhere" not in answer.text
    assert answer.headers["Retry-After"]
    assert account_settings.get(served.redis, "acme").name == "acme"


def test_changes_at_once_are_bounded(served: Dashboard) -> None:
    """Each waits for Kafka in a thread; whoever comes when all are taken may try again."""
    token, changing = served.token(), served.app.state.changing
    while changing.acquire(blocking=False):
        pass
    try:
        assert put(served, token, name="Other").status_code == 503
    finally:
        changing.release(MAX_CHANGES)
    assert put(served, token, name="Other").status_code == 200
