"""What is wrong with a record, in a sentence: these raise RejectedError, or word a part of it.

What is no JSON, or no event at all, is worded where it is found out (`diagnose`).
"""

import re
from typing import Final, NoReturn

from stream_app.rejection import Reason, RejectedError
from stream_app.topics import TOPIC_OF

MAX_EVENT_BYTES: Final = 64 * 1024

# What turns the direction of a line, or ends it, for whoever shows a sentence.
_BAD_LAYOUT = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# CloudEvents' String type: no control characters, no surrogates, no Unicode noncharacters.
BAD_CHARACTER = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
_INSTEAD: Final = "\N{REPLACEMENT CHARACTER}"
_SPEC_ERROR = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def check_string(attribute: str, text: str) -> None:
    """Raise RejectedError unless *text* is a String of CloudEvents that is not empty."""
    if wrong := invalid_string(attribute, text):
        refuse_attribute(wrong)


def invalid_string(name: str, text: str) -> str | None:
    """Return what is wrong with *text* as a String of CloudEvents that is not empty, or None."""
    if not text:
        return f"{name} is empty"
    if bad := BAD_CHARACTER.search(text):
        return f"{name} contains the character U+{ord(bad[0]):04X}"
    return None


def explain(error: Exception, within: str = "") -> NoReturn:
    """Raise RejectedError in an event's own terms for *error*, which a typed decoder raised."""
    match = _SPEC_ERROR.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    path = ".".join(filter(None, (within, path)))
    if missing := _MISSING.match(what):
        path, what = ".".join(filter(None, (path, missing[1]))), "is missing"
    else:
        what = f"is not valid: {what[:1].lower()}{what[1:]}"
    reason = Reason.INVALID_DATA if path.startswith("data") else Reason.INVALID_ATTRIBUTE
    if path.startswith("datacontenttype"):
        reason = Reason.INVALID_ATTRIBUTE
    raise RejectedError(reason, _plain(f"{path or 'the event'} {what}")[:500])


def cause(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:200] if text else type(error).__name__


def shown(text: str) -> str:
    text = _plain(text)
    return f"“{text}”" if len(text) <= 60 else f"“{text[:57]}…”"


def _plain(text: str) -> str:
    """Return *text* without characters that a header or a terminal cannot hold."""
    return _BAD_LAYOUT.sub(_INSTEAD, BAD_CHARACTER.sub(_INSTEAD, text))


def refuse_size(size: int) -> NoReturn:
    raise RejectedError(
        Reason.TOO_LARGE, f"the event has {size} bytes; {MAX_EVENT_BYTES} are the most it may have"
    )


def refuse_type(name: str) -> NoReturn:
    raise RejectedError(
        Reason.UNKNOWN_TYPE, f"type is {shown(name)}, which is no type of usage event"
    )


def refuse_attribute(sentence: str) -> NoReturn:
    raise RejectedError(Reason.INVALID_ATTRIBUTE, sentence)


def refuse_account(account: str) -> NoReturn:
    if account in (".", ".."):
        refuse_attribute(f"subject: {shown(account)} cannot be an account id")
    refuse_attribute(
        "subject: an account id has 1 to 128 of the characters A-Z a-z 0-9 . _ : -, "
        f"not {shown(account)}"
    )


def refuse_two_data() -> NoReturn:
    raise RejectedError(Reason.INVALID_DATA, "data and data_base64 must not both be present")


def refuse_topic(topic: str, name: str) -> NoReturn:
    raise RejectedError(
        Reason.WRONG_TOPIC, f"{name} belongs on the topic {TOPIC_OF[name]}, not on {topic}"
    )


def refuse_future(time: int, timestamp_ms: int) -> NoReturn:
    ahead = -(-(time - timestamp_ms * 1000) // 1_000_000)
    raise RejectedError(
        Reason.FUTURE,
        f"time lies {ahead} seconds after the record's own timestamp; 300 are allowed",
    )
