"""What the names of an environment begin with, in Kafka and in Redis.

Several environments, such as staging and production, may share a Kafka, a Redis, or both:
`USAGE_TOPIC_PREFIX` stands before the name of every topic and of the consumer group,
`USAGE_REDIS_PREFIX` before every key. They are read once, when this module is first imported, so
names are constants like all others and cost nothing where events are counted. Whatever is named in
Kafka or in Redis gets its name from here: topics from `topic`, keys from `key` and its neighbours,
which only `store.keys` calls.

A prefix that cannot be used is as good as none here: `settings.read`, which comes before any use of
a server, says what is wrong with it.
"""

import os
import re
from typing import Final

from interaction_usage import env_file

TOPIC_VARIABLE: Final = "USAGE_TOPIC_PREFIX"
REDIS_VARIABLE: Final = "USAGE_REDIS_PREFIX"

_TOPIC_FORM: Final = re.compile(r"[A-Za-z0-9._-]{0,100}", re.ASCII)
_REDIS_FORM: Final = re.compile(r"(?:[A-Za-z0-9._-]+:)*", re.ASCII)
_REDIS_LONGEST: Final = 100
#: What keys without a prefix begin with: a prefix with such a part could name another one's keys.
_TAKEN: Final = re.compile(r"(?:^|:)(u[0-9]*|usage):")


def parse_topic_prefix(text: str) -> str:
    """Return the prefix of topics that *text* is. Raises ValueError."""
    if not _TOPIC_FORM.fullmatch(text):
        raise ValueError(
            "must be at most 100 characters of A-Z a-z 0-9 . _ -, for example staging."
        )
    return text


def parse_redis_prefix(text: str) -> str:
    """Return the prefix of keys that *text* is. Raises ValueError.

    It ends with a colon, and no part of it is what keys go on with: so no key of one environment
    is a key of another, whose prefix may be longer.
    """
    if not _REDIS_FORM.fullmatch(text) or len(text) > _REDIS_LONGEST:
        raise ValueError(
            f"must be at most {_REDIS_LONGEST} characters of A-Z a-z 0-9 . _ - : and end with a "
            "colon, for example staging:"
        )
    if taken := _TAKEN.search(text):
        raise ValueError(f"must not have the part {taken[1]}:, which keys without a prefix have")
    return text


def of_process() -> tuple[str, str]:
    """Return the prefixes in the settings of this process as they are now; none if unusable."""
    try:
        given = {**os.environ, **env_file.below(os.environ)}
        topics = parse_topic_prefix(given.get(TOPIC_VARIABLE, ""))
        return topics, parse_redis_prefix(given.get(REDIS_VARIABLE, ""))
    except (env_file.EnvFileError, ValueError):
        return "", ""


TOPICS, KEYS = of_process()


def topic(name: str) -> str:
    """Return how the topic *name* is called in this environment."""
    return f"{TOPICS}{name}"


def key(name: str) -> str:
    """Return how the key *name* is called in this environment."""
    return f"{KEYS}{name}"


def anchor(name: str) -> str:
    """Return the same for a key that others stand beside: on a cluster, on the same node.

    It has a hash tag where there is a prefix. Without one the whole name is what is hashed.
    """
    return f"{KEYS}{{{name}}}" if KEYS else name


def beside(name: str, rest: str) -> str:
    """Return the key that stands beside the anchor *name*."""
    return f"{KEYS}{{{name}}}:{rest}"


def environment() -> dict[str, str]:
    """Return the variables with which another process has the same prefixes."""
    return {TOPIC_VARIABLE: TOPICS, REDIS_VARIABLE: KEYS}
