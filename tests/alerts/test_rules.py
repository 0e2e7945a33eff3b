"""Rules: what is taken, how they read, and addresses that webhooks are not sent to."""

import asyncio
import json

import msgspec
import pytest

from interaction_usage.alerts import addresses, notices, rules
from interaction_usage.alerts.errors import ForbiddenAddressError, InvalidRuleError
from interaction_usage.alerts.notices import Notice
from interaction_usage.alerts.rules import OPERATIONS, Rule
from interaction_usage.alerts.states import Notification
from interaction_usage.alerts.webhooks import Webhooks, check_url

HOOK = "https://example.com/hook"
LEVEL = Rule("acme", "level", 25, HOOK, "agent-sessions")


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"account": OPERATIONS}, "account"),
        ({"kind": "lag"}, "account"),
        ({"target": "agents"}, "target"),
        ({"kind": "counter", "target": "run"}, "target"),
        ({"threshold": 0}, "threshold"),
        ({"minutes": 1441}, "minutes"),
        ({"kind": "maximum", "minutes": 5}, "minutes"),
        ({"kind": "silence", "target": ""}, "minutes"),
        ({"kind": "stale", "account": OPERATIONS}, "minutes"),
        ({"kind": "stale", "minutes": 5}, "account"),
        ({"label": "two\nlines"}, "label"),
        ({"to": "ftp://example.com"}, "to"),
        ({"to": "https://user:secret@example.com/"}, "to"),
        ({"to": "https://example.com\\@127.0.0.1/"}, "to"),
        ({"to": "https://[::1/hook"}, "to"),
        ({"to": "https://example.com:x/hook"}, "to"),
        ({"to": "https://example.com:70000/hook"}, "to"),
        ({"to": "https://:443/hook"}, "to"),
        ({"to": "mailto:nobody"}, "to"),
        ({"to": "mailto:a@b.example\r\nBcc: c@d.example"}, "to"),
    ],
)
def test_what_cannot_be_watched_is_refused(changes: dict[str, object], member: str) -> None:
    """With the member that is wrong."""
    with pytest.raises(InvalidRuleError) as refused:
        rules.check(msgspec.structs.replace(LEVEL, **changes))
    assert refused.value.member == member


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Agent Application and Ticket Guidance: 25 or more at once"),
        ({"minutes": 10, "target": "agent"},
         "Agent Application: 25 or more at once for 10 minutes"),
        ({"kind": "maximum", "target": "agent"},
         "Agent Application: this month's maximum is 25 or more"),
        ({"kind": "counter", "target": "call.minutes", "threshold": 2500},
         "Call Now minutes: 2.5 minutes or more this month"),
        ({"kind": "counter", "target": "runs", "threshold": 800, "percent": 80, "allowance": 1000},
         "Flow runs: 800 or more this month (80 % of 1,000)"),
        ({"kind": "silence", "target": "", "minutes": 1}, "No events for 1 minute"),
        ({"kind": "stale", "account": OPERATIONS, "target": "", "minutes": 5},
         "Stale numbers for 5 minutes: no rule of an account can be evaluated"),
    ],
)  # fmt: skip
def test_a_rule_in_words(changes: dict[str, object], words: str) -> None:
    """As lists, pages and notifications say it."""
    rule = rules.check(msgspec.structs.replace(LEVEL, **changes))
    assert rules.sentence(rule) == words
    assert rules.decode(rules.encode(rule)) == rule


def test_the_same_rule_is_one_rule() -> None:
    """Whoever sets it, and when; another threshold is another rule."""
    again = msgspec.structs.replace(LEVEL, created=9, by="ann", label="x")
    assert again.id == LEVEL.id
    assert msgspec.structs.replace(LEVEL, threshold=26).id != LEVEL.id


def test_shares_of_an_allowance_are_rounded_up() -> None:
    """80 % of 7 is reached at 6."""
    assert rules.thresholds(7, (80, 100)) == {80: 6, 100: 7}


def test_an_email_says_what_a_late_event_has_changed() -> None:
    """And what is so now; its id is the same for every attempt."""
    note = Notification("msg_1", "triggered", 1_790_000_000, 1_789_990_000, 27, True, False)
    mail = notices.mail(Notice(LEVEL, note), "usage@example.com")
    assert mail["Subject"] == f"Triggered: acme, {rules.sentence(LEVEL)}"
    assert mail["Message-ID"] == "<msg_1@usage.invalid>"
    assert "The rule is ok now." in mail.get_content()
    body = json.loads(json.dumps(notices.body(Notice(LEVEL, note))))
    assert (body["data"]["status"], body["data"]["late"], body["data"]["value"]) == ("ok", True, 27)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "ff02::1", "fec0::1", "::7f00:1", "5f00::1", "64:ff9b:1::7f00:1",
        "64:ff9b:1:7f00:0:100::", "2001:0:7f00:1::1", "::ffff:0:127.0.0.1", "192.0.0.8", "3fff::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_forbidden(address: str) -> None:
    """Whatever form they come in."""
    with pytest.raises(ForbiddenAddressError):
        addresses.check(address, (), is_plain=False)


def test_what_is_allowed() -> None:
    """Addresses outside; networks that are named, and only these over plain http."""
    addresses.check("93.184.216.34", (), is_plain=False)
    addresses.check("2606:2800:220:1::1", (), is_plain=False)
    addresses.check("10.1.2.3", ("10.1.0.0/16",), is_plain=True)
    addresses.check("::ffff:10.1.2.3", ("10.1.0.0/16",), is_plain=True)
    with pytest.raises(ForbiddenAddressError):
        addresses.check("10.2.2.3", ("10.1.0.0/16",), is_plain=False)
    with pytest.raises(ForbiddenAddressError, match="https"):
        addresses.check("93.184.216.34", (), is_plain=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f.1", "127.1", "017700000001",
        "[::ffff:7f00:1]", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
        "\u2460\u2461\u2466.0.0.1",
    ],
)  # fmt: skip
def test_no_name_of_this_machine_gets_through(host: str) -> None:
    """Names are resolved as the system does it, and the result is checked; odd numbers are none."""
    rule = msgspec.structs.replace(LEVEL, to=f"https://{host}:1/hook")
    if host != "localhost":  # a name: it is checked when something is sent
        with pytest.raises(ForbiddenAddressError, match="inside"):
            check_url(rule.to, ())
        check_url(rule.to, ("127.0.0.0/8", "::1/128"))
    note = Notification("msg_1", "test", 1, 1)
    outcome = asyncio.run(Webhooks("s" * 24, ()).send(Notice(rule, note)))
    assert not outcome.ok
    assert "is inside" in outcome.answer or "not a canonical" in outcome.answer
