"""What the names of an environment begin with: which prefixes there may be, and who has them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from interaction_usage import prefixes, settings

#: Prints every topic, and a key of each kind, as this environment has them.
_NAMES = """
import inspect, json
from interaction_usage.store import keys
from stream_app.topics import TOPICS
found = [text for name, text in vars(keys).items()
         if isinstance(text, str) and ("usage:" in text and name != "__doc__" or name == "PROBE")]
at = keys.numbered(1)
found += [at.limits, at.secret, at.secret_at("3"), at.accounts, at.positions_at("{2}:0-5460")]
found += [at.everything, at.head("acme"), at.day("acme", 7), at.nets("acme"), keys.FIRST.head("a")]
found += [keys.live_at("2"), keys.log_begun("{2}:0-5460"), keys.ledger("{2}:0-5460")]
makers = [function for name, function in vars(keys).items() if inspect.isfunction(function)
          and function.__module__ == keys.__name__ and name[0] != "_"
          and list(inspect.signature(function).parameters) in (["account"], ["name"], ["digest"])]
found += [function("acme") for function in makers if function is not keys.parse_fence]
print(json.dumps([list(TOPICS), sorted(found), len(makers), keys.active([b"%s"]).number]))
"""


def names(variables: Mapping[str, str], active: str) -> tuple[list[str], list[str], int, int]:
    """Return the topics and the keys that a process with *variables* makes."""
    environment = {**os.environ, "USAGE_ENV_FILE": "", **variables}
    done = subprocess.run(
        [sys.executable, "-c", _NAMES % active], env=environment, capture_output=True, check=True
    )
    topics, found, makers, number = json.loads(done.stdout)
    return topics, found, makers, number


@pytest.mark.servers
def test_every_topic_and_every_key_begins_with_the_prefix() -> None:
    """Also those with a hash tag; and without a prefix everything is called as ever."""
    plain, plain_keys, makers, number = names({}, "u12")
    assert "usage.flows" in plain
    assert {"usage:live", "{usage:tokens}:read", "{usage:account:acme}:history"} <= {*plain_keys}
    assert number == 12

    variables = {"USAGE_TOPIC_PREFIX": "staging.", "USAGE_REDIS_PREFIX": "staging:"}
    topics, found, _, number = names(variables, "staging:u12")
    assert topics == [f"staging.{name}" for name in plain]
    assert len(found) == len(plain_keys) > makers >= 6
    assert [name for name in found if not name.startswith("staging:")] == []
    assert {"staging:{usage:tokens}", "staging:{usage:tokens}:read"} <= {*found}
    assert number == 12


def test_keys_that_stand_together_share_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script writes both, with a prefix and without."""
    from interaction_usage.store.cluster_topology import hash_slot

    for prefix in ("", "staging:"):
        monkeypatch.setattr(prefixes, "KEYS", prefix)
        anchor, beside = prefixes.anchor("usage:gaps"), prefixes.beside("usage:gaps", "read")
        assert anchor.startswith(prefix)
        assert beside.startswith(prefix)
        assert hash_slot(anchor) == hash_slot(beside)


@pytest.mark.parametrize("text", ["", "staging.", "prod-eu_1.", "a" * 100, "."])
def test_a_prefix_of_topics_is_part_of_a_name(text: str) -> None:
    """What Kafka takes in names, and no more than leaves room for them."""
    assert prefixes.parse_topic_prefix(text) == text


@pytest.mark.parametrize("text", ["staging/", "a b", "é.", "a" * 101, "staging.\n", "a:"])
def test_what_kafka_does_not_take_is_no_prefix(text: str) -> None:
    """It is said before Kafka would."""
    with pytest.raises(ValueError, match=r"^must be at most 100 characters"):
        prefixes.parse_topic_prefix(text)


@pytest.mark.parametrize("text", ["", "staging:", "prod:eu-1.a_b:", "usages:", "us:", "u2b:"])
def test_a_prefix_of_keys_ends_with_a_colon(text: str) -> None:
    """It may have several parts."""
    assert prefixes.parse_redis_prefix(text) == text


@pytest.mark.parametrize(
    "text", ["staging", ":", "a::", "a{b}:", "a*:", "a b:", "staging:\n", f"{'a' * 100}:"]
)
def test_other_keys_could_be_meant_by_other_prefixes(text: str) -> None:
    """No hash tag, no pattern, no end within a part."""
    with pytest.raises(ValueError, match=r"^must be at most 100 .* end with a colon"):
        prefixes.parse_redis_prefix(text)


@pytest.mark.parametrize("text", ["u:", "u12:", "usage:", "a:usage:", "usage:account:", "a:u2:b:"])
def test_no_prefix_makes_keys_of_another_environment(text: str) -> None:
    """`usage:account:` + `u:limits` would be the settings of an account `u:limits`."""
    with pytest.raises(ValueError, match=r"must not have the part (u|usage)"):
        prefixes.parse_redis_prefix(text)


def test_the_group_has_the_prefix_of_the_topics() -> None:
    """Workers of two environments are no members of one group, whatever it is called."""
    assert settings.read({}).group == "usage"
    assert settings.read({"USAGE_TOPIC_PREFIX": "staging."}).group == "staging.usage"
    given = {"USAGE_TOPIC_PREFIX": "staging.", "USAGE_GROUP": "billing"}
    assert settings.read(given).group == "staging.billing"


def test_a_wrong_prefix_is_an_error_that_names_the_variable() -> None:
    """As with every other setting."""
    with pytest.raises(settings.InvalidSettingError, match=r"^USAGE_TOPIC_PREFIX must be"):
        settings.read({"USAGE_TOPIC_PREFIX": "staging/"})
    with pytest.raises(settings.InvalidSettingError, match=r"^USAGE_REDIS_PREFIX must not have"):
        settings.read({"USAGE_REDIS_PREFIX": "usage:"})


def test_a_prefix_is_not_changed_in_a_running_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are made when it starts; another prefix is refused, and not ignored."""
    monkeypatch.setenv("USAGE_ENV_FILE", "")
    monkeypatch.setenv("USAGE_REDIS_PREFIX", "staging:")
    with pytest.raises(settings.InvalidSettingError, match="since this process started"):
        settings.read()
