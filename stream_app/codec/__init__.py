"""A Kafka record in, a valid usage event out, or the reason why not.

Both modes of the CloudEvents Kafka protocol binding are read: *structured* (the value is the whole
event in the JSON format) and *binary* (the attributes are `ce_` headers, the value is `data`). A
record without any CloudEvents header is taken as structured, so that plain tools are producers too.

Two ways lead to the same answer:

- `decode` reads one record. The common case is one pass of a typed JSON decoder over the value;
  only if that fails is the record looked at again, slowly, to say in a sentence what is wrong.
- `decode_all` reads the records of a batch, which is what a worker does. It knows the shape that
  nearly all events have, and has one test for it; a record that does not pass goes to `decode`. So
  it accepts nothing that `decode` refuses, and never says why: every rule's sentence, and the order
  of the rules, are `decode`'s alone.

Why `decode_all` is as it is. Nearly half of what an event costs is the typed decoder, which makes
the objects that are kept; the rest is Python around it, where steps count. So what a batch can
answer at once is asked once (is it all ASCII, is the largest small enough), times are parsed in a
column, and what is left is one `if` for each event, which calls nothing written in Python. Each
value is decoded by itself. To join them into one JSON array is no faster once there is a separator
between them that no producer can forge; and without one, two broken values could make an event.
All use one decoder of all types: one for the only type of a topic would not ask for `type`.

Source: CloudEvents 1.0.2, "JSON Event Format" and "Kafka Protocol Binding".
"""

from stream_app.codec.batch import decode_all, decode_any
from stream_app.codec.envelope import Headers, Record
from stream_app.codec.record import decode
from stream_app.codec.sent import EARLIEST, MAX_MINUTES
from stream_app.codec.sentences import MAX_EVENT_BYTES

__all__ = [
    "EARLIEST",
    "MAX_EVENT_BYTES",
    "MAX_MINUTES",
    "Headers",
    "Record",
    "decode",
    "decode_all",
    "decode_any",
]
